"""That bench measures what it says it measures; how fast, no test says."""

import sys

import pytest

from utils import bench
from utils.pocket import export, folder


def test_the_bare_loop_and_our_stream_make_the_same_number_of_tokens(monkeypatch):
    monkeypatch.setattr(bench, "TOKENS", 20)
    ours, raw = bench.streams(export.onnx(folder(bench.MODEL), "fp32"))
    assert ours() > 0 and raw() > 0


def test_the_first_output_is_timed_not_the_end():
    code = "import time; print('x', flush=True); time.sleep(2)"
    assert 0 < bench._first_output_s([sys.executable, "-c", code]) < 2


def test_a_command_that_prints_nothing_is_no_measurement():
    with pytest.raises(RuntimeError, match=r"printed nothing \(exit status 3\)"):
        bench._first_output_s([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_bare_script_answers(tmp_path):
    script = [sys.executable, "-c", bench.BARE, str(export.onnx(folder(bench.MODEL), "fp32")), "What is an SLM?"]
    assert bench._first_output_s(script) > 0


def test_import_time_is_measured_in_a_fresh_process():
    assert 0 < bench._import_s("json") < 60
