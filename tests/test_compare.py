"""Sweeps: what is asked, in which order, what is kept, and how an interrupted one goes on."""

import json
from typing import ClassVar

import pytest

from utils import compare
from utils.core import Chunk, Options
from utils.errors import BadInput, NotRunning


class Echo:
    """Answers with its model's name and the prompt; `broken` prompts fail."""

    name, source = "echo", "pocket"
    log: ClassVar = []

    def __init__(self, route, model, *, mode=None):
        self.model, self.broken = model or "usual", ("bad",)
        self.log.append(f"open {self.model}")

    def stream(self, messages, options):
        text = messages[-1]["content"]
        self.log.append(text)
        if text == "stop":
            raise KeyboardInterrupt
        yield Chunk("Hm", tokens=1)
        if text in self.broken:
            raise NotRunning("It is not running. Start it.")
        yield Chunk(f" {text}", tokens=2, prompt_tokens=5, finish_reason="stop")

    def close(self):
        self.log.append(f"close {self.model}")


@pytest.fixture(autouse=True)
def log():
    Echo.log = []
    return Echo.log


def sweep(*places, prompts=("a", "b"), **more):
    return compare.sweep(places, prompts, progress=False, opened=Echo, **more)


def test_every_place_is_asked_everything_and_closed_before_the_next(log):
    lines = sweep("echo/one", "echo/two", repeats=2)
    assert log == ["open one", "a", "a", "b", "b", "close one", "open two", "a", "a", "b", "b", "close two"]
    assert [(line["place"], line["prompt"], line["repeat"]) for line in lines][:3] == [
        ("echo/one", "a", 1),
        ("echo/one", "a", 2),
        ("echo/one", "b", 1),
    ]
    first = lines[0]
    assert (first["text"], first["tokens"], first["finish_reason"], first["error"]) == ("Hm a", 2, "stop", None)
    assert first["tokens_per_s"] > 0 and first["machine"]["cores"] and first["options"]["max_tokens"] == 128


def test_a_name_has_a_route_and_perhaps_a_model():
    assert compare.split("onnx") == ("onnx", None)
    assert compare.split("nim/microsoft/phi-4") == ("nim", "microsoft/phi-4")
    assert compare.place("onnx", "pocket-phi-3-mini:int4") == "onnx/pocket-phi-3-mini:int4"


def test_an_interrupted_sweep_goes_on_where_it_was(tmp_path, log):
    file = tmp_path / "sweep.jsonl"
    with pytest.raises(KeyboardInterrupt):
        sweep("echo/one", prompts=("a", "stop", "b"), file=file)
    assert log[-1] == "close one" and len(file.read_text().splitlines()) == 1
    log.clear()
    lines = sweep("echo/one", prompts=("a", "b"), file=file)
    assert log == ["open one", "b", "close one"] and [line["text"] for line in lines] == ["Hm a", "Hm b"]
    log.clear()
    assert [line["text"] for line in sweep("echo/one", file=file)] == ["Hm a", "Hm b"]
    assert log == []


def test_other_options_are_another_question(tmp_path, log):
    file = tmp_path / "sweep.jsonl"
    sweep("echo", file=file)
    log.clear()
    sweep("echo", file=file, options=Options(max_tokens=5))
    assert log == ["open usual", "a", "b", "close usual"]


def test_a_line_that_was_cut_off_is_asked_again(tmp_path, log):
    file = tmp_path / "sweep.jsonl"
    sweep("echo", file=file)
    file.write_text(file.read_text()[:-30], encoding="utf-8")
    log.clear()
    assert len(sweep("echo", file=file)) == 2 and log == ["open usual", "b", "close usual"]
    assert [json.loads(line)["prompt"] for line in file.read_text(encoding="utf-8").splitlines()] == ["a", "b"]


def test_what_fails_is_a_line_with_words_and_is_asked_again(tmp_path, log):
    file = tmp_path / "sweep.jsonl"
    bad, good = sweep("echo", prompts=("bad", "a"), file=file)
    assert (bad["text"], bad["error"]) == ("Hm", "It is not running. Start it.") and good["error"] is None
    log.clear()
    sweep("echo", prompts=("bad", "a"), file=file)
    assert log == ["open usual", "bad", "close usual"]


def test_a_route_that_is_not_there_does_not_end_the_sweep():
    def opened(route, model, *, mode=None):
        if route == "gone":
            raise NotRunning("gone is not running.")
        return Echo(route, model)

    lines = compare.sweep(["gone", "echo"], "a", progress=False, opened=opened)
    assert [line["error"] for line in lines] == ["gone is not running.", None]


@pytest.mark.parametrize(
    ("places", "prompts", "repeats"), [([], "a", 1), ("echo", [], 1), ("echo", "a", 0)], ids=["place", "prompt", "none"]
)
def test_nothing_to_ask_is_said(places, prompts, repeats):
    with pytest.raises(BadInput, match="at least one route, one prompt and one repeat"):
        compare.sweep(places, prompts, repeats=repeats, opened=Echo)


def test_another_file_is_not_added_to(tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text('{"name": "mine"}\n{"name": "too"}\n')
    with pytest.raises(BadInput, match=r"mine.jsonl, line 1 is no line of a sweep"):
        sweep("echo", file=file)
    assert file.read_text() == '{"name": "mine"}\n{"name": "too"}\n'


def test_the_table_has_units():
    made = compare.table(sweep("echo", prompts=("a", "bad")))
    assert list(made["text"]) == ["Hm a", "Hm"] and made["first_token_ms"].iloc[0] > 0
    assert list(made["error"].isna()) == [True, False]
