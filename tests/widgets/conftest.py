"""A backend that says what a test tells it to, and a progress folder of its own for every test."""

import threading
import time

import pytest

from utils.core import Chunk
from utils.errors import NotRunning
from utils.widgets import Compare


class Scripted:
    """A backend by contract. `pieces` may hold exceptions, which it raises; a closed `gate` holds it back."""

    name, model, source = "scripted", "test-model", "pocket"

    def __init__(self, pieces, reason="stop"):
        self.pieces, self.reason = pieces, reason
        self.calls, self.open_streams, self.gate = [], 0, threading.Event()
        self.gate.set()

    def stream(self, messages, options):
        self.calls.append((messages, options))
        self.open_streams += 1
        try:
            for count, piece in enumerate(self.pieces, 1):
                assert self.gate.wait(10), "the test never opened the gate"
                if isinstance(piece, Exception):
                    raise piece
                last = count == len(self.pieces)
                yield Chunk(piece, tokens=count, finish_reason=self.reason if last else None)
        finally:
            self.open_streams -= 1

    def close(self):
        raise AssertionError("a widget must not close a backend that it was given")


class Place:
    """A backend for each place that is opened. `says` maps a model to pieces; a closed `gate` holds the pieces back,
    a closed `door` the loading of models."""

    source = "pocket"

    def __init__(self):
        self.says, self.log, self.open = {}, [], 0
        self.gate, self.door = threading.Event(), threading.Event()
        self.gate.set(), self.door.set()

    def __call__(self, route, model, *, mode=None):
        if model == "gone":
            raise NotRunning("It is not running. Start it with: go")
        assert self.door.wait(10)
        self.log.append(f"open {route} {model}")
        self.open += 1
        return One(self, route, model or "usual")


class One:
    source = "pocket"

    def __init__(self, place, route, model):
        self.place, self.name, self.model = place, route, model

    def stream(self, messages, options):
        self.place.log.append(f"ask {self.model}")
        self.asked, self.options = messages, options
        pieces = self.place.says.get(self.model, ["An ", "answer"])
        for count, piece in enumerate(pieces, 1):
            assert self.place.gate.wait(10)
            if isinstance(piece, Exception):
                raise piece
            yield Chunk(piece, tokens=count, finish_reason="stop" if count == len(pieces) else None)

    def close(self):
        self.place.open -= 1


@pytest.fixture
def place():
    return Place()


@pytest.fixture
def comparison(place):
    made = Compare(["onnx/one", "onnx/two"], opened=place)
    yield made
    made.close()
    assert soon(lambda: place.open == 0)


def soon(what, within_s=5):
    """Whether it becomes true."""
    end = time.monotonic() + within_s
    while not what() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(what())


@pytest.fixture(name="soon")
def soon_fixture():
    return soon


@pytest.fixture
def shown():
    """The answer as it stands on the page."""
    return lambda written: "".join(piece.value for piece in written.view.box.children[1:])


@pytest.fixture
def scripted():
    return Scripted


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLM_CACHE", str(tmp_path / "cache"))
