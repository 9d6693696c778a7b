"""Requests of all kinds, made from the server's own description, and bytes that are no requests: nothing breaks it.

FUZZ=50000 makes a long run of it: so many requests from the description, as many with schemas, as many with bytes.
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
from utils.backends.local import Text, chunks, turns
from utils.backends.schema import fits, narrowed
from utils.server import app
from utils.server.engine import Engine

EXAMPLES = int(os.environ.get("FUZZ", 150))
OPERATIONS = sum(len(rows) for rows in app.ROUTES.values())
NAME = "pocket-phi-3-mini"
TOKENS = 40  # of an answer to a schema: most come to an end


class Quick:
    """A backend that says the same to everyone, at once, but looks at all that it is given as a real one does."""

    name, model, source, context, closed, sees = "quick", NAME, "pocket", 1024, False, False

    def stream(self, messages, options):
        return self.stream_text("".join(turn["content"] for turn in turns(self, messages)), options)

    def stream_text(self, text, options):
        turns(self, [{"role": "user", "content": text}])
        if options.schema is not None:
            narrowed(options.schema)
        said = {1: "Hel", 2: "lo"}
        return chunks(iter([1, 2, 3]), Text(said.get, lambda ids: "".join(map(said.get, ids)), options.stop), {3}, 1)

    def stream_ids(self, ids, options):
        return self.stream_text("x", options)

    def prompt_ids(self, messages):
        return [1, 2, 3]

    def text_ids(self, text):
        return [4, 5]

    def close(self):
        pass


SETTINGS = ("temperature", "top_p", "seed", "stop", "num_predict", "num_ctx")
VALUES = (0, 1, -1, 0.5, 1e300, 10**400, True, "x", "", ["x"], [5], {"a": 1}, None)
STOPS = ("l", "lo", "Hello", "x" * 900, "ab" * 9000, ["l", "lo"], ["x"] * 17, [""], ["\ud800"], 5)
TEMPLATES = (
    *(
        "{{ .Prompt }}",
        "{{ if .System }}{{ .System }}{{ else }}x{{ end }}{{- .Response -}}",
        "{{ end }}",
        "{{ range }}",
    ),
    *(
        "{{" + " " * 5000,
        "{{" * 5000,
        "x" * 21_000,
        "{{ .Prompt }}" * 1000,
        "{{ if .Prompt }}" * 1000,
        "}}{{",
        "\ud800",
    ),
)
TYPES = ("string", "integer", "number", "boolean", "null", "array", "object", "nonsense")
KEYWORDS = {
    "type": (*TYPES, *TYPES, ["string", "null"], [], [{}]),
    "minLength": VALUES,
    "maxLength": (*VALUES, 3),
    "pattern": ("^a+$", "[0-9]+", "(", "^a|b$", r"\d{3,}", "(a+)+$", "(?=a)", "x" * 400, "a{99999999999}", 5),
    "format": ("date", "email", "uuid", "uri", "nonsense", 5),
    "minimum": (*VALUES, 10**18),
    "exclusiveMaximum": VALUES,
    "multipleOf": VALUES,
    "minItems": (*VALUES, 10**9),
    "maxItems": VALUES,
    "uniqueItems": (True, False, "x"),
    "required": (["a"], ["a", "b"], [{}], 5, []),
    "minProperties": VALUES,
    "maxProperties": VALUES,
    "enum": ([1, "x", None], [], 5, [{"a": [1]}]),
    "const": VALUES,
    "$ref": ("#", "#/properties/a", "#/$defs/a", "#/nonsense", "https://example.org/x", 5),
    "$schema": (*(f"http://json-schema.org/draft-0{number}/schema#" for number in (3, 4, 6, 7)), "nonsense", []),
    "title": ("x", 5),
}
INNER = ("items", "additionalProperties", "not", "contains")
LISTED = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
NAMED = ("properties", "patternProperties", "$defs", "definitions")


def schema_of(dice, depth=3):
    """Something like a JSON schema, often a wrong one."""
    if dice.random() < 0.05:
        return dice.choice((True, False, 5, "x", None, [], {}))
    made = {name: dice.choice(KEYWORDS[name]) for name in dice.sample(list(KEYWORDS), dice.choice((0, 0, 1, 1, 2)))}
    made |= {"type": dice.choice(TYPES)} if dice.random() < 0.7 else {}
    for _ in range(dice.choice((0, 1, 1, 2)) if depth else 0):
        more, kind = [schema_of(dice, depth - 1) for _ in range(dice.randrange(3))], dice.random()
        if kind < 0.3:
            made[dice.choice(INNER)] = schema_of(dice, depth - 1)
        elif kind < 0.6:
            made[dice.choice(LISTED)] = more
        else:
            name = dice.choice(NAMED)
            made[name] = dict(zip(("^a", "^b") if name == "patternProperties" else "ab", more, strict=False))
    return made


def parts_of(dice):
    """A schema that is right, whose parts say something of the same fields or items."""

    def some(**described):
        return {name: dice.choice(values) for name, values in described.items() if dice.random() < 0.3}

    kinds = ({"type": "string"}, {"type": "integer"}, {"const": 1}, {"minimum": 3, "maximum": 9})

    def part():
        lists = some(prefixItems=[[kind] for kind in kinds], items=(*kinds, False))
        fields = some(properties=[{"a": kind} for kind in kinds], patternProperties=[{"^b": kind} for kind in kinds])
        return lists | fields | some(additionalProperties=(*kinds, False), required=(["a"],), minItems=(1, 2))

    return {"type": dice.choice(("object", "array")), **part(), dice.choice(("allOf", "anyOf")): [part(), part()]}


def likelier(body):
    """The same request, mostly about a model that is there and with settings that the server reads."""
    if not isinstance(body, dict):
        return body
    dice = random.Random(repr(body))
    changed = body | ({"model": NAME} if dice.random() < 0.8 else {})
    for field in {"options", "parameters"} & body.keys():
        changed[field] = {name: dice.choice(VALUES) for name in dice.sample(SETTINGS, 2)}
        changed[field] |= {"stop": dice.choice(STOPS)} if dice.random() < 0.5 else {}
    if "keep_alive" in body:
        changed["keep_alive"] = dice.choice((*VALUES, "5m", "999999999h", "-1", "1h30m", ".5s"))
    for field, values in {"stop": STOPS, "template": TEMPLATES, "system": ("Be short.", "\ud800")}.items():
        if field in body and dice.random() < 0.8:
            changed[field] = dice.choice(values)
    if "messages" in body and dice.random() < 0.8:
        changed["messages"] = [{"role": "user", "content": dice.choice(("Hello!", "x", "\ud800", "\0", " "))}]
    if "prompt" in body and dice.random() < 0.8:
        changed["prompt"] = "Hello!"
    if "format" in body:
        changed["format"] = schema_of(dice)
    if "response_format" in body:
        shaped = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema_of(dice)}}
        changed["response_format"] = dice.choice((shaped, shaped, {"type": "json_object"}))
    return changed


engine = Engine(lambda name: Quick(), pocket.folder, [NAME])
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


def test_no_schema_breaks_the_runtime():
    """The real one, whose grammar is made of what the narrowing leaves; what comes to an end fits what was given."""
    course = server.start()
    statuses, ended = set(), 0
    with TestClient(app.make(course.engine, hosts=["*"])) as client:
        for number in range(EXAMPLES):
            given = (parts_of if number % 2 == 0 else schema_of)(random.Random(number))
            settings_ = {"num_predict": TOKENS, "seed": number}
            body = {"model": NAME, "prompt": "Hello!", "format": given, "options": settings_, "stream": False}
            answer = client.post("/api/generate", json=body)
            assert answer.status_code in (200, 400), (body, answer.text)
            statuses.add(answer.status_code)
            if given and answer.status_code == 200 and answer.json()["done_reason"] == "stop":
                assert fits(answer.json()["response"], given), (body, answer.text)
                ended += 1
    course.stop()
    assert statuses == {200, 400} and ended


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
