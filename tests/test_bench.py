"""That bench measures what it says it measures; how fast, no test says."""

import sys

import pytest

from utils import bench
from utils.pocket import export, folder


def test_the_bare_loop_and_our_stream_make_the_same_number_of_tokens(monkeypatch):
    monkeypatch.setattr(bench, "TOKENS", 20)
    ours, raw = bench.streams(export.made(folder(bench.MODEL), "onnx-fp32"))
    assert ours() > 0 and raw() > 0


def test_the_first_output_is_timed_not_the_end():
    code = "import time; print('x', flush=True); time.sleep(2)"
    assert 0 < bench._first_output_s([sys.executable, "-c", code]) < 2


def test_a_command_that_prints_nothing_is_no_measurement():
    with pytest.raises(RuntimeError, match=r"printed nothing \(exit status 3\)"):
        bench._first_output_s([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_bare_script_answers(tmp_path):
    script = [sys.executable, "-c", bench.BARE, str(export.made(folder(bench.MODEL), "onnx-fp32")), "What is an SLM?"]
    assert bench._first_output_s(script) > 0


def test_import_time_is_measured_in_a_fresh_process():
    assert 0 < bench._import_s("json") < 60


def test_run_puts_every_promise_in_a_row(monkeypatch):
    """With two measurements replaced, because they start `python -m utils`, which would set up an environment."""
    times = {"utils": 0.01, "ipywidgets": 0.1}
    monkeypatch.setattr(bench, "TOKENS", 10)
    monkeypatch.setattr(bench, "_import_s", times.get)
    monkeypatch.setattr(bench, "_first_output_s", lambda command: 3.0 if "ask" in command else 2.0)
    imports, cold, stream, control = bench.run(pairs=1)
    assert imports.kept and imports.result.ratio == pytest.approx(0.1)
    assert cold.result.ratio == 1.5 and cold.kept is False
    assert stream.result.ratio > 0 and stream.target == 0.95
    assert control.kept is None
