"""That bench measures what it says it measures; how fast, no test says."""

import json
import os
import sys

import pytest

from utils import bench, cli
from utils.backends.llama_cpp import LlamaCppBackend
from utils.backends.onnx import OnnxBackend
from utils.backends.transformers import TransformersBackend
from utils.bench import agreement, costs, large, lessons, rehearsal, rows, server, starts, streams
from utils.core import Options, complete
from utils.measure import summary
from utils.widgets import growing


@pytest.fixture(autouse=True)
def short(monkeypatch):
    for part in (streams, large, agreement):
        monkeypatch.setattr(part, "TOKENS", 20)
    monkeypatch.setattr(large, "LAYERS", 2)


def test_both_loops_and_the_script_make_the_tokens_they_count():
    backend = OnnxBackend(streams.pocket("onnx-fp32"))
    for speed in (streams.stream(backend), streams.whole(backend), streams.onnx_loop(backend)):
        assert speed() > 0
    assert agreement.onnx_script(backend)() > 0


def test_transformers_helper_makes_the_same_ids_as_our_loop():
    backend = TransformersBackend(streams.pocket())
    speed, ids = streams.transformers_helper(backend)
    backend.force_length = True
    assert speed() > 0 and len(ids) == 20
    assert ids == list(backend.generate(backend.prompt_ids(streams.MESSAGES), Options(max_tokens=20)))


def test_agreement_is_measured_at_both_sizes(monkeypatch):
    monkeypatch.setattr(agreement, "AGAINST", {"ort": agreement.beside_ort})
    pocket, large = agreement.rows(1)
    assert pocket.what.endswith("script, pocket") and large.what.endswith("script, 250 M")
    assert pocket.promise == large.promise == "within 3%" and pocket.result.ours > 0


@pytest.mark.parametrize("beside", [agreement.beside_llama_cpp, agreement.beside_openvino, agreement.beside_optimum])
def test_other_runtimes_say_their_own_speed(beside):
    row = beside(1)
    assert row.result.ours > 0 and row.result.theirs > 0 and row.promise == "within 3%"


def test_beside_llama_cpp_both_sides_ask_one_server_the_same_and_nothing_is_kept(monkeypatch):
    """So neither flags, such as those of flash attention, nor a prompt in a cache can make the difference."""
    servers, asked = [], []
    opened = LlamaCppBackend._open

    def watched(self, path, body):
        if path == "/completion" and len(body["prompt"]) > 1:  # a single token warms up
            servers.append(self)
            asked.append({name: body[name] for name in ("prompt", "n_predict", "ignore_eos", "cache_prompt")})
        return opened(self, path, body)

    monkeypatch.setattr(LlamaCppBackend, "_open", watched)
    agreement.beside_llama_cpp(1, agreement.small)
    assert len(asked) == 4 and all(body == asked[0] for body in asked) and len(set(map(id, servers))) == 1
    assert asked[0]["cache_prompt"] is False and asked[0]["n_predict"] == 20


def test_short_prompts_share_a_generator(monkeypatch):
    """Building one for each was once most of the time."""
    built, made = [], OnnxBackend._new
    monkeypatch.setattr(OnnxBackend, "_new", lambda self, *asked: built.append(1) or made(self, *asked))
    backend = OnnxBackend(streams.pocket("onnx-fp32"))
    answers = [complete(backend, f"What is {i} + 2?", costs.SHORT) for i in range(5)]
    assert len(built) == 1 and all(answer.prompt_tokens > 5 for answer in answers)


def test_lessons_at_the_same_time_use_one_thread_each():
    """With as many threads as cores each, two of them took ten times as long."""
    wanted = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    assert wanted.items() <= lessons._environment().items()
    assert wanted.items() <= os.environ.items(), "conftest.py sets it for all tests"


def test_the_server_is_measured_from_outside(monkeypatch):
    for name, value in {"CLIENTS": 3, "REQUESTS": 6, "WARM": 2, "IDLE": 20}.items():
        monkeypatch.setattr(server, name, value)
    first, each, crowd, slots, idle, growth, startup = server.rows(1)
    assert first.result.theirs > 0 and each.result.theirs > 0 and first.at == each.at == "added"
    assert crowd.result.ratio >= 1 and idle.result.theirs == 65536 and growth.result.ratio > 0
    assert slots.result.ours > 0 and slots.result.theirs > 0 and slots.kept is None
    assert 0.1 < startup.result.ours < 60 and startup.result.theirs == 2


def test_the_first_output_is_timed_not_the_end():
    code = "import time; print('x', flush=True); time.sleep(2)"
    assert 0 < starts.first_output_s([sys.executable, "-c", code]) < 2


def test_a_command_that_prints_nothing_is_no_measurement():
    with pytest.raises(RuntimeError, match=r"printed nothing \(exit status 3\)"):
        starts.first_output_s([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_bare_script_answers():
    exported = str(streams.pocket("onnx-fp32").folder)
    assert starts.first_output_s([sys.executable, "-c", starts.BARE, exported, "What is an SLM?"]) > 0


def test_import_time_is_measured_in_a_fresh_process():
    assert 0 < starts.import_s("json") < 60


def test_the_work_of_a_notebook_is_the_time_of_its_cells(tmp_path):
    def cell(source, *tags):
        return {"cell_type": "code", "source": [source], "metadata": {"tags": list(tags)}}

    cells = [cell("import time"), cell("time.sleep(0.3)"), cell("time.sleep(60)", "nbval-skip")]
    (tmp_path / "00_x.ipynb").write_text(json.dumps({"cells": cells}))
    assert 0.3 < lessons._work_s(tmp_path / "00_x.ipynb") < 30


def test_what_the_widget_costs_is_measured_with_the_messages_it_sends(monkeypatch):
    monkeypatch.setattr(costs, "ANSWER", 400)
    sent, twice_half = costs.wire()
    assert 0 < costs.widget_us() < 1000 and 0.002 < sent < 1 and sent == pytest.approx(twice_half, rel=0.5)


def test_the_widget_is_redrawn_twenty_times_a_second():
    """Counted by the clock of the tokens, so that this is no measurement of this machine."""
    assert costs.redraws() == pytest.approx(20, rel=0.05)


def test_every_tenth_of_a_second_would_be_seen(monkeypatch):
    monkeypatch.setattr(growing, "REDRAW_S", 0.1)
    assert costs.redraws() == pytest.approx(10, rel=0.05)


def test_a_sweep_and_the_naive_loop_answer_the_same_prompts(monkeypatch):
    asked = []
    monkeypatch.setattr(costs, "sweep", lambda *args, **named: asked.append(len(args[1])))
    linear, reuse = costs.sweeps(1)
    assert asked == [1000, 100] * 2 and linear.at == "most"
    assert reuse.result.ours > 0 and reuse.result.theirs > 0 and reuse.at == "least"


def test_whole_processes_are_weighed():
    heavy, light = (
        costs.megabytes([sys.executable, "-c", f"x = bytearray({n}); import time; time.sleep(0.2)"])
        for n in (200_000_000, 1)
    )
    assert 150 < heavy - light < 250


def test_a_process_that_fails_is_not_weighed():
    with pytest.raises(RuntimeError, match="ended with exit status 3"):
        costs.megabytes([sys.executable, "-c", "raise SystemExit(3)"])


def test_trust_counts_false_alarms_and_what_was_missed(monkeypatch):
    monkeypatch.setattr(costs, "REPEATED", 4)
    alarms, missed = costs.trust()
    assert {alarms.result.ours, missed.result.ours} <= {0, 0.25, 0.5, 0.75, 1}


def test_predictions_are_compared_with_what_is_measured_then(monkeypatch, tiny):
    for name in ("SMALLER", "MINI", "WHOLE"):
        monkeypatch.setattr(rehearsal, name, tiny)
    monkeypatch.setattr(rehearsal, "predict", lambda machine, known, speed, other: speed)
    unseen, deeper, building = rehearsal.rows(1)
    assert 0.1 < building.result.ours < 3 and building.result.theirs == 6, "gigabytes of the process that builds"
    assert unseen.result.ours > 0 and deeper.result.theirs > 0 and unseen.promise == deeper.promise == "within 20%"


def test_one_tool_alone_can_be_asked_for(monkeypatch, capsys):
    asked = []
    monkeypatch.setitem(agreement.AGAINST, "ort", lambda pairs: asked.append(pairs) or row(1.0, "within", 0.03))
    assert cli.main(["bench", "--against", "ort", "--pairs", "3"]) == 0 and asked == [3]

    def missing(pairs):
        raise ModuleNotFoundError(name="openvino_genai")

    monkeypatch.setitem(agreement.AGAINST, "openvino", missing)
    assert cli.main(["bench", "--against", "openvino"]) == 1
    assert "needs the package openvino_genai, which is missing" in capsys.readouterr().err
    assert tuple(agreement.AGAINST) == bench.TOOLS


def lacking(pairs, *more):
    raise ModuleNotFoundError(name="openvino_genai")


def test_what_is_missing_is_a_row_and_no_promise_kept(monkeypatch, capsys):
    monkeypatch.setattr(agreement, "AGAINST", {"openvino": lacking, "ort": lambda *args: row(1.0, "within", 0.03)})
    assert cli.main(["bench", "agreement"]) == 1
    _, pocket, other, *_ = capsys.readouterr().out.splitlines()
    assert pocket.startswith("our figure ÷ that of openvino, pocket")
    assert "NOT MEASURED: it needs the package openvino_genai, which is missing" in pocket and "kept" in other
    missing = json.loads(rows.as_json(agreement.rows(1)))[0]
    assert (missing["kept"], missing["result"], missing["missing"]) == (False, None, "openvino_genai")


def test_no_part_leaves_out_what_is_missing(monkeypatch):
    for part, name in ((streams, "beside_transformers"), (costs, "in_turn"), (server, "slots")):
        monkeypatch.setattr(part, name, lacking)
    for part in (streams, costs):
        monkeypatch.setattr(part, "compare", lambda *args: row(1.0).result)
    monkeypatch.setattr(server, "latency", lambda *args: [])
    for name in ("crowd", "idle", "growth", "startup"):
        monkeypatch.setattr(server, name, lambda *args: row(1.0))
    made = [*streams.rows(1), *costs.memory(1), *server.rows(1)]
    assert [one.what[:12] for one in made if one.missing] == ["our stream ÷", "three routes", "all answers "]


def row(ratio, at="", target=0.0):
    return rows.Row("x", "s", summary([(ratio, 1.0)] * 3), at, target)


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        (row(1.3, "most", 1.2), False),
        (row(1.1, "most", 1.2), True),
        (row(0.97, "least", 0.98), False),
        (row(1.02, "within", 0.03), True),
        (row(0.96, "within", 0.03), False),
        (row(9.0), None),
        (row(1.2, "added", 0.3), True),
        (row(1.5, "added", 0.3), False),
    ],
)
def test_a_promise_is_kept_or_not(row, kept):
    assert row.kept is kept
    assert ("NOT KEPT" in rows.as_table([row])) == (kept is False)
    assert json.loads(rows.as_json([row]))[0]["kept"] is kept


def test_the_exit_status_tells_whether_all_promises_are_kept(monkeypatch, capsys):
    for ratio, status in (1.1, 0), (1.3, 1):
        monkeypatch.setattr(starts, "rows", lambda pairs, ratio=ratio: [row(ratio, "most", 1.2)])
        assert cli.main(["bench", "starts"]) == status
    assert "NOT KEPT: at most 1.2" in capsys.readouterr().out
