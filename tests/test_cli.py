import json
import os
import shutil
import subprocess
import sys

import pytest

from utils import cli, pocket
from utils.core import Chunk
from utils.measure import summary

MODEL = "pocket-phi-3-mini"


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("SLM_MODE", "offline")


def run(capsys, *arguments):
    try:
        status = cli.main(list(arguments))
    except SystemExit as exit:  # argparse
        status = exit.code
    out, err = capsys.readouterr()
    return status, out, err


def test_ask_prints_the_models_text_and_who_answered(capsys):
    status, out, err = run(capsys, "ask", "What", "is", "an", "SLM?", "--max-tokens", "12")
    assert status == 0 and out.strip()
    assert err.splitlines()[-1].startswith(f"[POCKET] {MODEL} on onnx: ") and "tokens" in err


@pytest.mark.parametrize(
    "arguments", [["--route", "transformers"], ["--model", f"{MODEL}:int4"], ["--temperature", "0.7"]]
)
def test_ask_takes_route_model_and_temperature(capsys, arguments):
    status, out, err = run(capsys, "ask", "Hello", "--max-tokens", "6", *arguments)
    assert status == 0 and out.strip()
    assert arguments[1] in err or arguments[0] == "--temperature"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x", "--route", "onix"], "There is no route 'onix'. Did you mean 'onnx'?"),
        (["x", "--model", "phi-9"], "There is no model 'phi-9'. There are: "),
        (["x", "--model", "phi-3.5-mini"], "phi-3.5-mini is not a pocket model, and mode 'offline' uses only those."),
        (["x", "--mode", "airplane"], "mode is 'airplane', but it must be one of auto, offline, live."),
        (["x", "--max-tokens", "0"], "max_tokens is 0, but it must be a whole number, 1 or more."),
        (["x", "--max-tokens", "-1"], "max_tokens is -1, but it must be a whole number, 1 or more."),
        (["x", "--temperature", "nan"], "temperature is nan, but it must be a number from 0 to 100."),
        (["x", "--temperature", "-1"], "temperature is -1.0, but it must be a number from 0 to 100."),
        ([""], "The prompt is empty. Write a question, such as 'What is an SLM?'."),
        (["a\0b"], "The prompt holds a NUL character"),
        (["a\udcffb"], "The prompt holds half a character (lone surrogate U+DCFF). Remove it."),
        (["hut " * 3000], f"tokens long, but {MODEL} can hold 1,024, its answer included. Shorten the prompt."),
        (["x" * 1_000_000], f"The prompt is 1,000,000 characters long, but {MODEL} can hold 1,024 tokens"),
    ],
)
def test_bad_input_is_one_plain_sentence_and_a_status(capsys, arguments, said):
    status, out, err = run(capsys, "ask", *arguments)
    assert (status, out) == (1, "")
    assert said in err and "Traceback" not in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["ask"], ["ask", "x", "--max-tokens", "many"], ["sing"], [], ["bench", "--pairs", "x"]]
)
def test_wrong_usage_is_status_2(capsys, arguments):
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "") and "usage: python -m utils" in err


@pytest.mark.parametrize("damage", ["missing", "truncated", "pointer", "pickle"])
@pytest.mark.parametrize("route", ["onnx", "transformers"])
def test_missing_and_damaged_weights(capsys, monkeypatch, tmp_path, damage, route):
    folder = shutil.copytree(pocket.folder(MODEL), tmp_path / MODEL)
    monkeypatch.setattr(pocket, "folder", lambda name: folder)
    monkeypatch.setenv("SLM_CACHE", str(tmp_path / "cache"))
    file = folder / "model.safetensors"
    if damage == "missing":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(file.read_bytes()[:5000])
    elif damage == "pointer":
        file.write_text("version https://git-lfs.github.com/spec/v1\n")
    else:
        file.rename(folder / "pytorch_model.bin")
    status, out, err = run(capsys, "ask", "Hello", "--route", route)
    words = {"missing": "has no model", "truncated": "is damaged", "pointer": "git-lfs pointer", "pickle": "pickle"}
    assert (status, out) == (1, "") and words[damage] in err
    assert not (tmp_path / "cache").exists()


def test_control_characters_of_the_model_do_not_reach_the_terminal(capsys, monkeypatch):
    class Evil:
        name, model, source = "evil", "evil", "live"

        def stream(self, messages, options):
            yield Chunk("\x1b[2J\x07red\x9b31m\u202e\r\n\tok")

    monkeypatch.setattr(cli, "connect", lambda *arguments, **options: Evil())
    _, out, err = run(capsys, "ask", "x")
    assert out == "\ufffd[2J\ufffdred\ufffd31m\ufffd\ufffd\n\tok\n"
    assert err == "[LIVE] evil on evil: the first after 0.000 s, incomplete\n" or "incomplete" in err


def test_ctrl_c_is_status_130(capsys, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "connect", stop)
    assert run(capsys, "ask", "x") == (130, "", "\nStopped.\n")


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_reader_that_leaves_is_no_traceback():
    code = "import sys; from utils.cli import main; sys.exit(main(['ask', 'Tell me a story about a fox.']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(1)
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode == 1


def test_doctor_prints_a_line_for_each_finding_and_no_key(capsys, monkeypatch):
    monkeypatch.setenv("NVIDIA_API_KEY", "nvapi-this-must-not-be-seen")
    status, out, _ = run(capsys, "doctor")
    assert status == 0
    assert any(line.split()[:2] == ["ok", "NVIDIA_API_KEY"] for line in out.splitlines())
    assert "must-not-be-seen" not in out


def test_doctor_speaks_json(capsys):
    status, out, _ = run(capsys, "doctor", "--json")
    rows = json.loads(out)
    assert status == 0 and {"name", "status", "detail", "fix", "state"} == set(rows[0])
    assert {"Ollama", "NVIDIA NIM", "GitHub Models"} <= {row["name"] for row in rows}


def test_doctor_fails_when_something_needed_is_missing(capsys, monkeypatch):
    from utils import checkup

    monkeypatch.setattr(checkup, "PACKAGES", {"no-such-package": "1.0"})
    status, out, _ = run(capsys, "doctor")
    assert status == 1 and "MISSING  no-such-package" in out


def test_bench_prints_a_table_and_writes_json(capsys, monkeypatch, tmp_path):
    from utils import bench

    kept = bench.Row("a ÷ b", "s", summary([(1.0, 1.0), (1.1, 1.0), (1.0, 1.1)]), "most", 1.2)
    broken = bench.Row("c ÷ d", "tokens/s", summary([(1.0, 2.0)] * 6), "least", 0.95)
    control = bench.Row("control", "tokens/s", summary([(1.0, 1.0)] * 3))
    monkeypatch.setattr(bench, "run", lambda pairs, parts, against: iter([[kept, broken], [control]]))
    _, out, _ = run(capsys, "bench")
    lines = out.splitlines()
    assert "kept: at most 1.2  (no difference shown)" in lines[1]
    assert "NOT KEPT: at least 0.95" in lines[2] and "no difference" not in lines[2]
    assert lines[4].startswith("control") and "kept" not in lines[4].lower()
    _, same, _ = run(capsys, "bench", "--json", str(tmp_path / "bench.json"))
    rows = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert same == out
    assert [row["kept"] for row in rows] == [True, False, None]
    assert rows[1]["result"]["ratio"] == 0.5


def test_what_bench_has_measured_is_there_when_it_is_stopped(capsys, monkeypatch, tmp_path):
    from utils import bench

    def stopped(pairs, parts, against):
        yield [bench.Row("a ÷ b", "s", summary([(1.0, 1.0)] * 6), "most", 1.2)]
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "run", stopped)
    _, out, _ = run(capsys, "bench", "--json", str(tmp_path / "bench.json"))
    assert out.splitlines()[1].startswith("a ÷ b")
    assert len(json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))) == 1


def test_bench_says_before_it_measures_that_a_file_cannot_be_written(capsys, monkeypatch, tmp_path):
    from utils import bench

    monkeypatch.setattr(bench, "run", lambda *args: pytest.fail("measured"))
    status, _, err = run(capsys, "bench", "--json", str(tmp_path / "no" / "bench.json"))
    assert status == 1 and "bench.json cannot be written: No such file or directory" in err


def test_pocket_commands_are_handed_on(capsys, monkeypatch):
    import utils.pocket.cli

    monkeypatch.setattr(utils.pocket.cli, "main", lambda argv: print(argv) or 7)
    assert run(capsys, "pocket", "train", "x")[:2] == (7, "['train', 'x']\n")
