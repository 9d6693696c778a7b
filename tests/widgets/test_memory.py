"""Memory beside the speed: of a process of its own, which says the same every time."""

import pytest

from utils.core import Options
from utils.widgets import Compare


@pytest.fixture
def real():
    comparison = Compare(["onnx", "onnx/pocket-phi-3-mini:int4"], mode="offline", options=Options(max_tokens=8))
    yield comparison
    comparison.close()


def test_memory_is_that_of_a_process_of_its_own(real):
    """Not what this process grew by, which is little the second time."""
    real.run()
    assert [one["memory_mb"] for one in real.runs[0]["columns"]] == [None, None]
    real.memory_button.click()
    real._running.wait()
    first = [one["memory_mb"] for one in real.runs[0]["columns"]]
    assert all(30 < megabytes < 2000 for megabytes in first) and "Memory measured." in real.status.value
    assert all(one["weights_mb"] > 1 for one in real.runs[0]["columns"])
    assert f"peak memory {first[0]:,.0f} MB" in real.columns[0].facts.value and "MB of memory" in real.chart.value
    assert list(real.table()["memory_mb"]) == first and f" {first[0]:.0f}" in str(real)
    real.measure_memory()
    real._running.wait()
    assert [one["memory_mb"] for one in real.runs[0]["columns"]] == pytest.approx(first, rel=0.1)


def test_measuring_ends_with_stop(real, soon):
    real.run()
    real.memory_button.click()
    assert soon(lambda: "Measuring the memory of onnx ..." in real.status.value.replace("&#x27;", "'"))
    real.stop_button.click()
    real.job.join(5)
    assert not real.job.is_alive() and "Stopped." in real.status.value
    assert [one["memory_mb"] for one in real.runs[0]["columns"]] == [None, None]


def test_what_cannot_be_measured_is_said(real):
    real.run()
    run = real.runs[0]
    run["columns"][0] |= {"place": "nim", "source": "live"}
    run["columns"][1] |= {"source": None}
    real.measure_memory()
    real._running.wait()
    assert "On the route nim a server has the model" in real.status.value and "gave no answer" in real.status.value
    run["columns"][0] |= {"place": "onnx", "source": "pocket", "model": "phi-3.5-mini"}
    real.measure_memory()
    real._running.wait()
    assert "pocket-phi-3-mini on onnx answers now, not phi-3.5-mini. Press Run" in real.status.value
    assert run["columns"][0]["memory_mb"] is None
    run["pictures"] = ["a.png"]
    real.measure_memory()
    real._running.wait()
    assert "without pictures only" in real.status.value
    run["machine"] = {"system": "another"}
    real.measure_memory()
    real._running.wait()
    assert "another machine" in real.status.value


def test_a_stand_in_is_measured_in_the_mode_that_was_asked_in(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    comparison = Compare(["onnx/phi-3.5-mini"], mode="auto", options=Options(max_tokens=8))
    comparison.run()
    comparison.measure_memory()
    comparison._running.wait()
    (answer,) = comparison.runs[0]["columns"]
    assert answer["model"] == "pocket-phi-3.5-mini" and 30 < answer["memory_mb"] < 2000
    assert "Memory measured." in comparison.status.value
    comparison.close()


CHANGES = {
    "another precision": lambda comparison, file: setattr(comparison.columns[1].precision, "value", "int4"),
    "a column more": lambda comparison, file: comparison.more.click(),
    "a column less": lambda comparison, file: comparison.fewer.click(),
    "a file without runs": lambda comparison, file: comparison.load(file),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_only_a_run_that_is_shown_is_measured(comparison, tmp_path, change):
    comparison.run()
    assert not comparison.memory_button.disabled
    file = tmp_path / "runs.json"
    file.write_text('{"runs": [], "votes": []}')
    change(comparison, file)
    assert comparison.memory_button.disabled
    comparison.measure_memory()
    assert comparison._shown is None and not comparison._running.busy


def test_a_run_of_the_history_is_measured_whatever_was_picked_meanwhile(comparison):
    comparison.run()
    comparison.columns[0].model.value = "three"
    comparison.history.value = 0
    assert not comparison.memory_button.disabled and comparison._shown is comparison.runs[0]


def test_another_process_cannot_open_what_a_notebook_opens(comparison):
    assert comparison.memory_button.layout.display == "none"
