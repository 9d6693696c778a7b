"""Requests of all kinds, made from the server's own description, and bytes that are no requests: nothing breaks it.

FUZZ=50000 makes a long run of it: so many requests from the description, and as many with bytes.
"""

import os
import random
import socket
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from starlette.testclient import TestClient

from utils import pocket, server
from utils.core import Chunk
from utils.server import app
from utils.server.engine import Engine

EXAMPLES = int(os.environ.get("FUZZ", 150))
OPERATIONS = sum(len(rows) for rows in app.ROUTES.values())
NAME = "pocket-phi-3-mini"


class Quick:
    """A backend that says the same to everyone, at once."""

    name, model, source = "quick", NAME, "pocket"

    def stream(self, messages, options):
        yield Chunk("Hel", 1)
        yield Chunk("lo", 2, prompt_tokens=1, finish_reason="stop")

    def stream_text(self, text, options):
        return self.stream([], options)

    def stream_ids(self, ids, options):
        return self.stream([], options)

    def prompt_ids(self, messages):
        return [1, 2, 3]

    def text_ids(self, text):
        return [4, 5]

    def close(self):
        pass


SETTINGS = ("temperature", "top_p", "seed", "stop", "num_predict", "num_ctx")
VALUES = (0, 1, -1, 0.5, 1e300, 10**400, True, "x", "", ["x"], [5], {"a": 1}, None)


def likelier(body):
    """The same request, mostly about a model that is there and with settings that the server reads."""
    if not isinstance(body, dict):
        return body
    dice = random.Random(repr(body))
    changed = body | ({"model": NAME} if dice.random() < 0.8 else {})
    for field in {"options", "parameters"} & body.keys():
        changed[field] = {name: dice.choice(VALUES) for name in dice.sample(SETTINGS, 2)}
    if "keep_alive" in body:
        changed["keep_alive"] = dice.choice((*VALUES, "5m", "999999999h", "-1"))
    return changed


engine = Engine(lambda name: Quick(), pocket.folder, [NAME])


async def quick(name):
    """In place of the real one, which takes seconds to load."""
    return lambda text, cut: ([1.0], len(text))


engine._embedder = quick
course = app.make(engine, hosts=["*"])
schema = schemathesis.openapi.from_asgi("/openapi.json", course)


@schema.parametrize()
@settings(
    max_examples=max(EXAMPLES // OPERATIONS, 1),
    deadline=None,
    derandomize=EXAMPLES < 1000,
    suppress_health_check=list(HealthCheck),
    database=None,
)
def test_no_request_breaks_the_server(case):
    case.body = likelier(case.body)
    answer = case.call()
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and case.method != "HEAD":
        assert "error" in answer.json() or answer.status_code == 405


@pytest.fixture(scope="module")
def served():
    server_ = server.start()
    server_.engine._load = lambda name: Quick()
    yield server_
    server_.stop()


def bytes_of(dice):
    """Something like a request, with some of it wrong."""
    whole = (
        b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60\r\n\r\n"
        b'{"model": "pocket-phi-3-mini", "messages": [{"role": "user"}]}'
    )
    kind = dice.randrange(4)
    if kind == 0:
        return dice.randbytes(dice.randrange(1, 300))
    if kind == 1:
        return whole[: dice.randrange(len(whole))]
    at = dice.randrange(len(whole))
    if kind == 2:
        return whole[:at] + dice.randbytes(dice.randrange(1, 5)) + whole[at:]
    return whole[:at] + whole[at + dice.randrange(1, 20) :]


def test_no_bytes_break_the_server(served):
    dice, place = random.Random(1), urlsplit(served.url)
    statuses = set()
    for _ in range(EXAMPLES):
        with (
            socket.create_connection((place.hostname, place.port), timeout=0.02) as connection,
            suppress(TimeoutError, ConnectionError),  # it waits for the rest, or has hung up
        ):
            connection.sendall(bytes_of(dice))
            statuses.add(connection.recv(12)[9:])
    assert statuses & {b"200", b"400"} and not [status for status in statuses if status.startswith(b"5")]
    with TestClient(app.make(served.engine, hosts=["*"])) as client:
        assert client.get("/health").status_code == 200
