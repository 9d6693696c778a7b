"""A model asked in a process of its own."""

import shutil

import pytest

from utils import alone, backends, pocket
from utils.alone import Question, ask, peak_memory, weigh
from utils.core import Chunk
from utils.errors import BackendError, Unsupported
from utils.pocket import export

MINI = "pocket-phi-3-mini"


def test_every_question_is_asked_as_often_as_wanted():
    short, long = ask("onnx", MINI, [Question("Hello", 10, 2), Question("hut " * 50, 3, 1)], "offline")
    assert len(short.first_token_s) == len(short.tokens_per_s) == 2 and len(long.first_token_s) == 1
    assert long.prompt_tokens > short.prompt_tokens + 40
    assert all(value > 0 for value in (*short.tokens_per_s, *long.first_token_s))


def test_the_memory_is_that_of_the_other_process():
    ballast = bytearray(400_000_000)  # what this process has does not count
    assert 50e6 < peak_memory("onnx", MINI, Question("Hello", 10), "offline") < len(ballast)


@pytest.mark.parametrize(
    ("route", "name", "megabytes"),
    [
        ("onnx", MINI, 15.9),  # exported in 32 bit
        ("llama.cpp", f"{MINI}:q4_0", 2.4),
        ("mlx", MINI, 7.9),  # as it is in the repository
    ],
)
def test_a_model_is_weighed_in_memory_and_on_the_disk(route, name, megabytes):
    found = weigh(route, name, Question("Hello", 3), "offline")
    assert found.name == f"{name} on {route}"
    assert found.files / 1e6 == pytest.approx(megabytes, rel=0.02) and found.files < found.peak


def test_only_what_was_loaded_is_weighed(tmp_path):
    """Of two forms in a folder llama.cpp takes the first."""
    for form in ("gguf-q4_0", "gguf-q8_0"):
        (made,) = export.made(pocket.folder(MINI), form).glob("*.gguf")
        shutil.copy(made, tmp_path / f"{form}.gguf")
    found = weigh("llama.cpp", str(tmp_path), Question("Hello", 3), "offline")
    assert found.files == (tmp_path / "gguf-q4_0.gguf").stat().st_size


def test_a_server_cannot_be_weighed_from_here():
    with pytest.raises(Unsupported, match="On the route ollama a server has the model"):
        weigh("ollama", None, Question("Hello", 3))


def test_no_run_finds_what_an_earlier_one_has_left(monkeypatch):
    """Runtimes and servers keep prompts: of the same one the second first token would come at once."""
    asked = []

    class Fake:
        name, model, source = "fake", "mini", "pocket"

        def stream(self, messages, options):
            asked.append(messages[-1]["content"])
            yield Chunk("a", tokens=1, prompt_tokens=5)
            yield Chunk("b", tokens=2, finish_reason="length")

        def close(self):
            pass

    monkeypatch.setattr(backends, "connect", lambda *args, **named: Fake())
    said = alone._answered("fake", "mini", "offline", [{"prompt": "hut hut", "tokens": 2, "runs": 3}])
    assert said["files"] == [] and len(said["answers"][0]["first"]) == 3
    assert len(asked) == 4 and len({prompt.split()[0] for prompt in asked}) == 4, "they differ from the first word on"


def test_what_goes_wrong_there_is_raised_here():
    with pytest.raises(Unsupported, match="mlx has no such models"):
        ask("mlx", "pocket-phi-3.5-vision", [Question("Hello", 3)], "offline")
    with pytest.raises(BackendError, match="Did you mean 'pocket-phi-3-mini'"):
        ask("onnx", "pocket-phi-3-mimi", [Question("Hello", 3)], "offline")
