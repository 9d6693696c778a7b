"""A model asked in a process of its own."""

import pytest

from utils.alone import Question, ask, peak_memory
from utils.errors import BackendError, Unsupported

MINI = "pocket-phi-3-mini"


def test_every_question_is_asked_as_often_as_wanted():
    short, long = ask("onnx", MINI, [Question("Hello", 10, 2), Question("hut " * 50, 3, 1)], "offline")
    assert len(short.first_token_s) == len(short.tokens_per_s) == 2 and len(long.first_token_s) == 1
    assert long.prompt_tokens > short.prompt_tokens + 40
    assert all(value > 0 for value in (*short.tokens_per_s, *long.first_token_s))


def test_the_memory_is_that_of_the_other_process():
    ballast = bytearray(400_000_000)  # what this process has does not count
    assert 50e6 < peak_memory("onnx", MINI, Question("Hello", 10), "offline") < len(ballast)


def test_what_goes_wrong_there_is_raised_here():
    with pytest.raises(Unsupported, match="mlx has no such models"):
        ask("mlx", "pocket-phi-3.5-vision", [Question("Hello", 3)], "offline")
    with pytest.raises(BackendError, match="Did you mean 'pocket-phi-3-mini'"):
        ask("onnx", "pocket-phi-3-mimi", [Question("Hello", 3)], "offline")
