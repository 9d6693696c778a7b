"""A backend that says what a test tells it to, and a progress folder of its own for every test."""

import threading

import pytest

from utils.core import Chunk


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


@pytest.fixture
def scripted():
    return Scripted


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLM_CACHE", str(tmp_path / "cache"))
