"""The export appears whole or not at all: two at once, Ctrl-C, a killed process, a full disk, a damaged cache."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import psutil
import pytest

from utils import cli, pocket
from utils.errors import BadInput, ExportFailed
from utils.pocket import builder, export

NAME = "pocket-phi-3-mini"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "exports"


@pytest.fixture
def builds(monkeypatch):
    """Stands in for the builder, which takes seconds: writes two files and remembers that it was called."""
    calls = []

    def run(folder, precision, target, final):
        calls.append(precision)
        time.sleep(0.2)
        (target / "model.onnx").write_bytes(b"x" * 100)
        (target / "genai_config.json").write_text("{}")

    monkeypatch.setitem(builder.MAKERS, "onnx", run)
    return calls


def make(precision="fp32"):
    return export.made(pocket.folder(NAME), f"onnx-{precision}")


def left_in(cache):
    return sorted(p.name for p in cache.iterdir() if p.suffix != ".lock" and p.name != export.MEMORY)


def test_an_export_is_made_once_and_found_again(cache, builds):
    assert not export.cached(pocket.folder(NAME), "onnx-fp32")
    made = make()
    assert made.parent == cache and left_in(cache) == [made.name]
    assert sorted(p.name for p in made.iterdir()) == ["export.json", "genai_config.json", "model.onnx"]
    assert make() == made and builds == ["fp32"]
    assert export.cached(pocket.folder(NAME), "onnx-fp32")


def test_precisions_lie_beside_each_other(cache, builds):
    assert make("fp32") != make("int4")
    assert len(left_in(cache)) == 2


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"])
def test_a_changed_model_is_another_export(cache, builds, tmp_path, name):
    folder = shutil.copytree(pocket.folder(NAME), tmp_path / NAME)
    (folder / "training.json").unlink()  # which has the weights' hash: with it, other weights are damaged ones
    before = export.made(folder, "onnx-fp32")
    content = bytearray((folder / name).read_bytes())
    content[-2] ^= 1  # one bit, late in the file: in the weights, a number; in JSON, a blank or a bracket
    if name.endswith(".json"):
        content = json.dumps({**json.loads((folder / name).read_bytes()), "changed": True}).encode()
    (folder / name).write_bytes(content)
    assert export.made(folder, "onnx-fp32") != before


def test_an_unchanged_model_is_not_hashed_again(cache, builds, monkeypatch):
    made = make()
    make()  # the first call could not remember: there was no folder yet
    monkeypatch.setattr(export, "_hash", lambda files, seed: pytest.fail("hashed again"))
    assert make() == made


@pytest.mark.parametrize("content", ["", "{", "[]", "[1]", '{"a": 1}'])
def test_a_damaged_memory_costs_nothing_but_time(cache, builds, content):
    made = make()
    (cache / export.MEMORY).write_text(content)
    assert make() == made and builds == ["fp32"]


def test_two_at_once_build_once(cache, builds):
    found = []
    threads = [threading.Thread(target=lambda: found.append(make())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert builds == ["fp32"] and len(found) == 4 and len(set(found)) == 1


def test_a_damaged_export_is_made_again(cache, builds):
    made = make()
    (made / "model.onnx").write_bytes(b"x" * 50)
    assert not export.cached(pocket.folder(NAME), "onnx-fp32")
    assert make() == made and (made / "model.onnx").stat().st_size == 100
    assert builds == ["fp32", "fp32"]


def test_what_a_killed_process_left_is_cleared(cache, builds):
    final = make()
    shutil.rmtree(final)
    (cache / f".{final.name}-abc").mkdir()
    (cache / f".{final.name}-abc" / "model.onnx.data").write_bytes(b"half")
    assert make() == final and left_in(cache) == [final.name]


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ExportFailed("no"), KeyError("x")]
)
def test_whatever_stops_the_builder_nothing_is_left(cache, monkeypatch, error):
    def run(folder, precision, target, final):
        (target / "model.onnx").write_bytes(b"half")
        raise error

    monkeypatch.setitem(builder.MAKERS, "onnx", run)
    with pytest.raises((ExportFailed, KeyboardInterrupt)):
        make()
    assert left_in(cache) == []


def test_too_little_space_is_said_before_anything_is_written(cache, builds, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    with pytest.raises(ExportFailed) as caught:
        make()
    assert str(caught.value).startswith(f"The disk is full: {NAME}-onnx-fp32-")
    assert str(caught.value).endswith("Free some space, or set SLM_CACHE to a folder on another disk.")
    assert builds == [] and left_in(cache) == []


def test_a_cache_that_cannot_be_written_is_said(tmp_path, monkeypatch, builds):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("SLM_CACHE", str(tmp_path / "file"))
    with pytest.raises(ExportFailed, match=r"could not be exported to .*file"):
        make()


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("...\nOSError: [Errno 28] No space left on device\n", "The disk is full"),
        ("...\nOSError: [Errno 122] Disk quota exceeded\n", "The disk is full"),
        ("...\nModuleNotFoundError: No module named 'onnx_ir'\n", "The export needs the package onnx_ir"),
        ("line one\nValueError: strange model\n", "could not be exported to .*: ValueError: strange model. Nothing"),
        ("", "it gave no reason"),
    ],
)
def test_the_builders_own_words_become_a_reason(tmp_path, output, said):
    assert re.search(said, builder.reason(output, tmp_path / "final"))


ASK = f"import sys; from utils.cli import main; sys.exit(main(['ask', '--model', '{NAME}', 'Hello']))"


@pytest.mark.skipif(os.name == "nt", reason="signals and limits of POSIX")
def test_ctrl_c_in_the_middle_of_a_real_export_leaves_nothing_and_the_next_run_repairs(cache, tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ASK], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any("builder" in " ".join(child.cmdline()) for child in psutil.Process(process.pid).children()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped." in errors and "Traceback" not in errors
    assert left_in(cache) == []
    assert not _processes_that_mention(str(tmp_path))

    again = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, timeout=300)
    assert again.returncode == 0 and again.stdout.strip()
    assert len(left_in(cache)) == 1


def _processes_that_mention(text):
    return [p.info for p in psutil.process_iter(["cmdline"]) if any(text in part for part in p.info["cmdline"] or [])]


@pytest.mark.skipif(os.name == "nt", reason="signals and limits of POSIX")
def test_a_disk_that_fills_up_during_a_real_export_leaves_nothing(cache):
    """No file of this process and its children may grow past 1 MB, as on a disk that is nearly full."""
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)); " + ASK
    done = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "The disk is full: " in done.stderr and "SLM_CACHE" in done.stderr and "Traceback" not in done.stderr
    assert left_in(cache) == []


def test_a_copy_is_whole_and_overwrites_nothing(cache, builds, tmp_path):
    target = tmp_path / "mine"
    export.copy(pocket.folder(NAME), "onnx-fp32", target)
    assert sorted(p.name for p in target.iterdir()) == ["genai_config.json", "model.onnx"]
    with pytest.raises(BadInput, match="is not empty, and nothing is overwritten"):
        export.copy(pocket.folder(NAME), "onnx-int4", target)
    assert builds == ["fp32"]


def test_a_copy_that_fails_leaves_nothing(cache, builds, tmp_path, monkeypatch):
    def fail(source, draft, ignore):
        draft.mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", fail)
    with pytest.raises(ExportFailed, match=r"could not be written to .*: No space left on device"):
        export.copy(pocket.folder(NAME), "onnx-fp32", tmp_path / "mine")
    assert [p.name for p in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ((NAME, "--to", "gguf-f32", "mine"), 0, f"{NAME} as gguf-f32 is in mine."),
        (("nowhere", "--to", "gguf-f32", "mine"), 1, "There is no model folder nowhere."),
        ((".", "--to", "onnx-int4", "mine"), 1, "has no readable config.json"),
        ((NAME, "--to", "gguf-q8_0", "."), 1, ". is not empty, and nothing is overwritten."),
    ],
)
def test_the_command_exports_or_says_why_not(tmp_path, monkeypatch, capsys, arguments, status, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "something").write_text("")
    assert cli.main(["pocket", "export", *arguments]) == status
    assert said in "".join(capsys.readouterr())
    assert (tmp_path / "mine").exists() == (status == 0)
