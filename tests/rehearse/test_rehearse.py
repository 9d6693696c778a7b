"""A rehearsal from the first word to the last: what is measured, estimated, kept, removed and refused."""

import math
import os
from pathlib import Path

import psutil
import pytest

import utils
from utils import cli, rehearse
from utils.errors import BadInput, ExportFailed, UnknownModel, Unsupported
from utils.rehearse import Rehearsal, forms
from utils.roofline import Machine


@pytest.fixture(autouse=True)
def scaled_down(monkeypatch, tmp_path, tiny):
    """The course's names for a tiny shape, in a cache of its own."""
    monkeypatch.setenv("SLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(rehearse, "_shape", lambda name: tiny)
    monkeypatch.setattr(rehearse, "RUNS", 1)


def left() -> list[Path]:
    return [path for path in utils.catalog.cache_folder().iterdir() if path.name.startswith(rehearse.LEFT)]


@pytest.mark.parametrize("form", ["onnx-int4", "llama.cpp-q4_0", "transformers-bf16"])
def test_the_whole_is_measured_and_removed(form):
    said = []
    made = rehearse.rehearse("phi-3.5-mini", form, prompts=(8, 40), say=said.append)
    assert made.layers == made.measured == 6 and not made.estimated
    assert made.tokens_per_s > 0 and made.limit > 0 and 5e5 < made.disk < 1e7 < made.memory < 4e9
    short, long = made.first_token_s
    assert long - short == 32 and all(wait > 0 for wait in made.first_token_s.values())
    assert "6 of 6 layers" in said[0] and "noise" in str(made) and "measured with all 6 layers" in str(made)
    assert left() == []


def test_both_roofs_are_shown(monkeypatch, tiny):
    """Memory and processor: with 4 bits it is often the processor that ends it."""
    monkeypatch.setattr(rehearse, "probe", lambda: Machine(bandwidth=50e9, compute=150e9))
    made, load = rehearse.rehearse(prompts=(8,), layers=4, say=str), forms.load(tiny, forms.FORMS[0])
    assert made.limit == pytest.approx(50e9 / load.weights)
    assert made.processor_limit == pytest.approx(150e9 / (2 * load.parameters))
    for words, limit in (("memory allows", made.limit), ("processor allows", made.processor_limit)):
        assert f"{words}{limit:{24 - len(words)}.1f} tokens/s at most" in str(made)


def test_it_can_be_kept_and_asked(tmp_path):
    rehearse.rehearse("phi-3.5-mini", "onnx", keep=tmp_path / "mine", prompts=(8,), say=str)
    backend = utils.connect("onnx", tmp_path / "mine")
    assert utils.complete(backend, "Hello", utils.Options(max_tokens=5)).tokens
    with pytest.raises(BadInput, match="is not empty, and nothing is overwritten"):
        rehearse.rehearse("phi-3.5-mini", "onnx", keep=tmp_path / "mine", say=str)


def test_the_whole_is_estimated_from_two_depths():
    made = rehearse.rehearse("phi-3.5-mini", "llama.cpp", layers=4, prompts=(8,), say=str)
    assert made.estimated and (made.measured, made.layers) == (4, 6)
    assert "estimated for 6 layers from models of 2 and 4" in str(made)


def test_what_a_layer_adds_is_carried_on():
    few, more = (
        Rehearsal("m", "onnx-int4", n, n, 1 / (1 + n), {9: 2 + 3 * n}, 100 + 7 * n, 5 + n, 0.0) for n in (4, 8)
    )
    whole = rehearse._carried_on(few, more, 32)
    assert whole.tokens_per_s == pytest.approx(1 / 33) and whole.first_token_s == {9: 98}
    assert whole.memory == 324 and whole.disk == 37 and (whole.layers, whole.measured) == (32, 8)


def test_what_cannot_be_estimated_is_no_number_below_nothing():
    """On a busy machine a model of more layers may have been the faster one."""
    few, more = (Rehearsal("m", "onnx-int4", n, n, speed, {9: 1.0}, n, n, 0.0) for n, speed in ((4, 5.0), (8, 9.0)))
    whole = rehearse._carried_on(few, more, 32)
    assert math.isnan(whole.tokens_per_s) and whole.first_token_s == {9: 1.0}
    assert "other programs were at work. Measure again." in str(whole) and "Measure again" not in str(more)


@pytest.mark.parametrize("layers", [0, 2, 5, 8, -4])
def test_layers_that_cannot_be_are_said(layers):
    with pytest.raises(BadInput, match=r"must be an even number from 4 to 6"):
        rehearse.rehearse("phi-3.5-mini", layers=layers)


def test_names_that_are_not_known_are_said(monkeypatch):
    with pytest.raises(Unsupported, match=r"No rehearsal as 'onnx-int3'. There are: onnx-int4, "):
        rehearse.rehearse("phi-3.5-mini", "onnx-int3")
    monkeypatch.undo()
    with pytest.raises(UnknownModel, match="no published shape of 'phi-9'"):
        rehearse.rehearse("phi-9")
    with pytest.raises(Unsupported, match="mixture of experts"):
        rehearse.rehearse("phi-3.5-moe")


def test_too_little_room_is_said_before_anything_is_made(monkeypatch, tiny):
    huge = tiny | {"hidden_size": 64_000, "intermediate_size": 640_000, "num_hidden_layers": 600}
    monkeypatch.setattr(rehearse, "_shape", lambda name: huge)
    with pytest.raises(ExportFailed, match=r"GB of disk, and .* are free. Rehearse fewer layers, or set SLM_CACHE"):
        rehearse.rehearse("phi-3.5-mini")
    monkeypatch.setattr(forms.shutil, "disk_usage", lambda path: os.terminal_size((0, 0)))
    with pytest.raises(AttributeError):  # the disk was really asked
        rehearse.rehearse("phi-3.5-mini")
    assert left() == []


@pytest.mark.parametrize(
    ("form", "layers", "seen"),
    [
        ("onnx-int4", 32, 4.1),
        ("onnx-int4", 8, 4.25),  # while it was built
        ("onnx-fp32", 8, 4.5),
        ("llama.cpp-q4_0", 32, 6.2),
        ("llama.cpp-q4_0", 16, 3.1),
        ("llama.cpp-q8_0", 8, 2.1),
        ("llama.cpp-f32", 8, 5.0),
        ("transformers-bf16", 8, 2.6),
        ("transformers-fp32", 8, 6.8),
    ],
)
def test_as_much_memory_is_asked_for_as_was_seen(form, layers, seen):
    """Gigabytes resident at most, in all processes, with that many layers of phi-3.5-mini on a machine of two cores."""
    shape = utils.catalog.load().models["phi-3.5-mini"].shape | {"num_hidden_layers": layers}
    _, memory = forms.room(shape, forms.named(form))
    building = forms.BUILDING * forms.parameters(shape | {"num_hidden_layers": 2})
    assert seen * 1e9 <= memory <= max(1.3 * seen * 1e9, building) and building < 6e9


def test_nothing_is_left_when_it_is_stopped(monkeypatch):
    def stop(*args):
        assert left()
        raise KeyboardInterrupt

    monkeypatch.setattr(rehearse, "_measured", stop)
    with pytest.raises(KeyboardInterrupt):
        rehearse.rehearse("phi-3.5-mini", "llama.cpp", say=str)
    assert left() == []


def test_what_a_killed_process_has_left_is_removed(tmp_path):
    gone = max(psutil.pids()) + 100_000
    for pid in (gone, os.getpid()):
        (tmp_path / "cache" / f"{rehearse.LEFT}{pid}-abc").mkdir(parents=True)
    with rehearse._scratch():
        assert len(left()) == 2  # ours and that of a process that lives
    assert [path.name for path in left()] == [f"{rehearse.LEFT}{os.getpid()}-abc"]


def test_the_command_prints_it(capsys):
    assert cli.main(["rehearse", "--route", "llama.cpp-q4_0", "--layers", "4"]) == 0
    out, err = capsys.readouterr()
    assert "phi-3.5-mini as llama.cpp-q4_0" in out and "tokens/s" in out and "Measuring 4 layers" in err
    assert cli.main(["rehearse", "--layers", "3"]) == 1
