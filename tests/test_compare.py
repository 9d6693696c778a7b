"""Sweeps: what is asked, in which order, what is kept, and how an interrupted one goes on."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest
import tqdm.auto

from utils import catalog, compare
from utils.alone import Memory
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
    asked = ["Hello", "a", "a", "b", "b"]
    assert log == ["open one", *asked, "close one", "open two", *asked, "close two"]
    assert [(line["place"], line["prompt"], line["repeat"]) for line in lines][:3] == [
        ("echo/one", "a", 1),
        ("echo/one", "a", 2),
        ("echo/one", "b", 1),
    ]
    first = lines[0]
    assert (first["text"], first["tokens"], first["finish_reason"], first["error"]) == ("Hm a", 2, "stop", None)
    assert first["tokens_per_s"] > 0 and first["machine"]["cores"] and first["options"]["max_tokens"] == 128
    assert [line["text"] for line in lines[:4]] == ["Hm a", "Hm a", "Hm b", "Hm b"], "the warm-up is no line"


def test_a_warm_up_that_fails_leaves_the_words_to_the_questions(monkeypatch, log):
    monkeypatch.setattr("utils.core.WARM_UP", "bad")
    bad, good = sweep("echo", prompts=("bad", "a"))
    assert bad["error"] == "It is not running. Start it." and good["error"] is None
    assert log == ["open usual", "bad", "bad", "a", "close usual"]


def test_what_has_to_be_paid_is_asked_nothing_but_the_prompts(monkeypatch, log):
    monkeypatch.setattr(Echo, "paid", True, raising=False)
    sweep("echo")
    assert log == ["open usual", "a", "b", "close usual"]


def test_a_line_says_how_many_threads_worked():
    by_place = {line["place"]: line["threads"] for line in sweep("echo", "llama.cpp", prompts="a", mode="offline")}
    assert by_place == {"echo": None, "llama.cpp": os.cpu_count()}


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
    assert log == ["open one", "Hello", "b", "close one"] and [line["text"] for line in lines] == ["Hm a", "Hm b"]
    log.clear()
    assert [line["text"] for line in sweep("echo/one", file=file)] == ["Hm a", "Hm b"]
    assert log == []


def test_another_mode_is_another_question(tmp_path, log, monkeypatch):
    file = tmp_path / "sweep.jsonl"
    monkeypatch.setenv("SLM_MODE", "offline")
    sweep("echo", file=file)
    log.clear()
    assert sweep("echo", file=file, mode="offline") and log == []
    assert [line["mode"] for line in sweep("echo", file=file, mode="live")] == ["live"] * 2
    assert log == ["open usual", "Hello", "a", "b", "close usual"]


@pytest.fixture
def ollama(monkeypatch):
    """A server that says it has the route's model; until it is started, nobody answers there."""
    row = catalog.load().routes["ollama"]
    names = {"models": [{"name": catalog.load().models[row.live].ids["ollama"]}]}

    class Tags(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200), self.end_headers()
            self.wfile.write(json.dumps(names).encode())

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Tags, bind_and_activate=False)
    server.server_bind()
    monkeypatch.setenv("OLLAMA_HOST", f"http://127.0.0.1:{server.server_port}")
    answering = threading.Thread(target=server.serve_forever, daemon=True)

    def start():
        server.server_activate()
        answering.start()

    yield start
    if answering.is_alive():
        server.shutdown()
    server.server_close()


def test_what_a_pocket_model_said_counts_until_the_real_one_can_be_reached(tmp_path, log, ollama):
    file = tmp_path / "sweep.jsonl"
    sweep("ollama", file=file, mode="auto")
    log.clear()
    assert sweep("ollama", file=file, mode="auto") and log == []
    ollama()
    assert sweep("ollama", file=file, mode="auto") and log == ["open usual", "Hello", "a", "b", "close usual"]


def test_taking_up_a_sweep_starts_no_server(tmp_path, log, ollama, monkeypatch):
    """It only asks who would answer now."""
    file = tmp_path / "sweep.jsonl"
    sweep("ollama", file=file, mode="auto")
    log.clear()
    monkeypatch.setattr("utils.backends.address._course_server", lambda: pytest.fail("it was started"))
    assert len(sweep("ollama", file=file, mode="auto")) == 2 and log == []


def test_other_options_are_another_question(tmp_path, log):
    file = tmp_path / "sweep.jsonl"
    sweep("echo", file=file)
    log.clear()
    sweep("echo", file=file, options=Options(max_tokens=5))
    assert log == ["open usual", "Hello", "a", "b", "close usual"]


def test_a_line_that_was_cut_off_is_asked_again(tmp_path, log):
    file = tmp_path / "sweep.jsonl"
    sweep("echo", file=file)
    file.write_text(file.read_text()[:-30], encoding="utf-8")
    log.clear()
    assert len(sweep("echo", file=file)) == 2 and log == ["open usual", "Hello", "b", "close usual"]
    assert [json.loads(line)["prompt"] for line in file.read_text(encoding="utf-8").splitlines()] == ["a", "b"]


def test_what_fails_is_a_line_with_words_and_is_asked_again(tmp_path, log):
    file = tmp_path / "sweep.jsonl"
    bad, good = sweep("echo", prompts=("bad", "a"), file=file)
    assert (bad["text"], bad["error"]) == ("Hm", "It is not running. Start it.") and good["error"] is None
    log.clear()
    sweep("echo", prompts=("bad", "a"), file=file)
    assert log == ["open usual", "Hello", "bad", "close usual"]


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


def test_a_mode_that_nobody_knows_is_said_before_anything_is_asked(tmp_path, log, monkeypatch):
    with pytest.raises(BadInput, match=r"^mode is 'ofline', but it must be one of"):
        sweep("echo", file=tmp_path / "sweep.jsonl", mode="ofline")
    monkeypatch.setenv("SLM_MODE", "airplane")
    with pytest.raises(BadInput, match=r"^SLM_MODE is 'airplane', but it must be one of"):
        sweep("echo")
    assert log == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line", ['{"name": "mine"}', json.dumps(sorted(compare.NEEDED)), '"mine"', "7", "null", "no JSON"]
)
def test_another_file_is_not_added_to(tmp_path, line):
    file = tmp_path / "mine.jsonl"
    file.write_text(f"{line}\n{line}\n")
    with pytest.raises(BadInput, match=r"mine.jsonl, line 1 is no line of a sweep"):
        sweep("echo", file=file)
    assert file.read_text() == f"{line}\n{line}\n"


@pytest.mark.parametrize("name", ["source", "mode", "place"])
def test_a_line_that_lacks_something_is_no_line_of_a_sweep(tmp_path, name):
    file = tmp_path / "sweep.jsonl"
    line = sweep("echo", prompts="a", mode="auto", file=file)[0]
    file.write_text(json.dumps({key: value for key, value in line.items() if key != name}) + "\n", encoding="utf-8")
    with pytest.raises(BadInput, match="line 1 is no line of a sweep"):
        sweep("echo", prompts="a", mode="auto", file=file)


@pytest.fixture
def bars(monkeypatch):
    made = []

    class Bar(tqdm.auto.tqdm):
        def __init__(self, *args, **named):
            super().__init__(*args, **named)
            made.append(self)

        def close(self):
            self.closed = True
            super().close()

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    return made


def test_the_bar_begins_where_the_file_ends_and_goes_even_when_stopped(tmp_path, bars, capsys):
    file = tmp_path / "sweep.jsonl"
    with pytest.raises(KeyboardInterrupt):
        compare.sweep("echo", ["a", "stop", "b"], file=file, opened=Echo)
    compare.sweep("echo", ["a", "b", "c"], file=file, opened=Echo)
    assert [(bar.initial, bar.n, bar.total, bar.closed) for bar in bars] == [(0, 1, 3, True), (1, 3, 3, True)]
    assert "1/3" in capsys.readouterr().err


def test_there_is_no_bar_where_none_is_wanted_or_nothing_to_do(tmp_path, capsys):
    file = tmp_path / "sweep.jsonl"
    sweep("echo", file=file)
    compare.sweep("echo", ["a", "b"], file=file, opened=Echo)
    assert capsys.readouterr().err == ""


def test_the_table_has_units():
    made = compare.table(sweep("echo", prompts=("a", "bad")))
    assert list(made["text"]) == ["Hm a", "Hm"] and made["first_token_ms"].iloc[0] > 0
    assert list(made["error"].isna()) == [True, False]


def test_a_table_of_nothing_has_its_columns():
    assert list(compare.table([])) == list(compare.table(sweep("echo"))) and len(compare.table([])) == 0


def test_what_was_weighed_apart_stands_beside_the_answers():
    made = compare.table(sweep("echo/one", "echo/two", prompts="a"), [Memory("two on echo", 90_000_000, 8_000_000)])
    assert list(made["memory_mb"].isna()) == [True, False]
    assert (made["memory_mb"].iloc[1], made["files_mb"].iloc[1]) == (90, 8)
    assert "memory_mb" not in compare.table(sweep("echo"))


def test_places_are_weighed_one_by_one(monkeypatch):
    monkeypatch.setattr(compare.alone, "weigh", lambda *asked: asked)
    first, second = compare.memory(["onnx", "llama.cpp/pocket-phi-3-mini:q4_0"], "Hi", tokens=3, mode="offline")
    assert first == ("onnx", None, compare.Question("Hi", 3), "offline")
    assert second == ("llama.cpp", "pocket-phi-3-mini:q4_0", compare.Question("Hi", 3), "offline")
