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
    run["pictures"] = ["a.png"]
    real.measure_memory()
    real._running.wait()
    assert "without pictures only" in real.status.value
    run["machine"] = {"system": "another"}
    real.measure_memory()
    real._running.wait()
    assert "another machine" in real.status.value


def test_another_process_cannot_open_what_a_notebook_opens(comparison):
    assert comparison.memory_button.layout.display == "none"
