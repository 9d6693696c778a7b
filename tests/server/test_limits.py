"""What is too much, too odd or too many: refused in words, in the format's own shape, while others are answered."""

import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from urllib.parse import urlsplit

import ollama
import openai
import pytest

from utils import server
from utils.core import Chunk
from utils.server import engine, patience

MODEL = "pocket-phi-3-mini"
ASKED = [{"role": "user", "content": "What is an SLM?"}]
CHATS = ("/v1/chat/completions", "/chat/completions", "/api/chat")


@pytest.fixture(scope="module")
def served():
    server_ = server.start()
    yield server_
    server_.stop()


def ask(served, method, path, body=None, **headers):
    """The status, the headers and the JSON of an answer."""
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=60)
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    connection.request(method, path, data, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    found = json.loads(answer.read() or b"{}")
    connection.close()
    return answer.status, answer.headers, found


def told(path, error):
    """The message of an error, once its shape has been looked at."""
    if path.startswith("/api/"):
        assert error.keys() == {"error"}
        return error["error"]
    if path.startswith("/v1/"):
        assert error["error"].keys() == {"message", "type", "param", "code"}
    else:
        assert error["error"].keys() == {"code", "message", "status"}
    return error["error"]["message"]


# ---- options out of their range


OLLAMAS = {
    "num_predict": (-3, -77, 0, 10**12, 10**400, 1.5, "x", True),
    "temperature": (-1, 99, 2.5, 1e300, 10**400, "x", True, [1]),
    "top_p": (-1, 0, 5, 10**400, True, "x"),
    "seed": (10**400, 0.5, True, "x", [5]),
    "stop": (5, True, [5], {"a": 1}, [""], ["x"] * 17, "x" * 1001, "ab" * 500_000),
    "num_ctx": (-5, 0, "x", 10**400),
    "top_k": (-1, 10**400, 0.5, "x"),
    "min_p": (-1, 5, "x"),
    "repeat_penalty": (-3, 1e300, "x"),
    "mirostat": (9, -1, "x"),
    "presence_penalty": (-99, 1e300),
    "frequency_penalty": (-99, "x"),
}
OPENAIS = {
    **{name: OLLAMAS[name] for name in ("temperature", "top_p", "seed", "stop")},
    "max_tokens": (-1, 0, 10**18, 10**400, 1.5, "x", True),
    "max_completion_tokens": (-1, 0, 10**18),
    "frequency_penalty": (-99, 1e300, "x"),
    "presence_penalty": (-99, 1e300, "x"),
    "logit_bias": (1e9, {"5": 1e9}, {"5": "x"}, [5]),
    "logprobs": (-5, 99, "x"),
    "top_logprobs": (-5, 99, "x"),
    "n": (-1, 0, 17, 10**400, "x"),
}


@pytest.mark.parametrize("name", OLLAMAS)
@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/api/create"])
def test_an_option_of_ollamas_that_makes_no_sense_is_refused(served, path, name):
    for odd in OLLAMAS[name]:
        body = {"model": MODEL, "messages": ASKED, "prompt": "x", "stream": False, "options": {name: odd}}
        if path == "/api/create":
            body = {"model": "odd", "from": MODEL, "parameters": {name: odd}, "stream": False}
        status, _, answer = ask(served, "POST", path, body)
        assert status == 400, (odd, answer)
        assert {"num_predict": "max_tokens"}.get(name, name) in told(path, answer).replace("num_predict", "max_tokens")


@pytest.mark.parametrize("name", OPENAIS)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions", "/v1/completions"])
def test_an_option_of_openais_or_azures_that_makes_no_sense_is_refused(served, path, name):
    for odd in OPENAIS[name]:
        body = {"model": MODEL, "messages": ASKED, "prompt": "x", name: odd}
        status, _, answer = ask(served, "POST", path, body)
        assert status == 400, (odd, answer)
        assert told(path, answer).startswith("n: ") if name == "n" else name in told(path, answer)


@pytest.mark.parametrize(
    "options",
    [
        {"num_predict": -1, "stop": ["."]},
        {"num_predict": -2, "stop": ["."]},
        {"temperature": 0, "top_k": 0, "top_p": 1, "seed": -1, "repeat_last_n": -1},
        {"temperature": 2, "num_ctx": 2048, "min_p": 0.1, "repeat_penalty": 1.1, "mirostat": 2, "num_predict": 2},
        {"stop": ["x" * 1000] * 16, "num_predict": 2},
    ],
)
def test_options_that_make_sense_are_taken(served, options):
    body = {"model": MODEL, "messages": ASKED, "stream": False, "options": options}
    assert ask(served, "POST", "/api/chat", body)[0] == 200


def test_an_option_that_nobody_knows_is_said_where_a_model_is_made(served):
    with pytest.raises(ollama.ResponseError, match=r"^parameters\.num_elephants: extra inputs are not permitted"):
        ollama.Client(served.url).create("odd", from_=MODEL, parameters={"num_elephants": 3})


# ---- bodies that would cost too much


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/api/chat", {"messages": [{"role": "user", "content": "x"}] * 2001}, "messages"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}] * 2001}, "messages"),
        ("/api/generate", {"prompt": "x", "template": "{{" + " " * 30_000}, "template"),
        ("/api/generate", {"prompt": "x", "template": "{{" * 15_000}, "template"),
        ("/api/create", {"from": MODEL, "template": "x" * 30_000}, "template"),
        ("/api/create", {"from": MODEL, "system": "\ud800"}, "half a character"),
        ("/api/chat", {"messages": ASKED, "format": {"type": "array", "minItems": 10**9}}, "minItems"),
        ("/api/chat", {"messages": ASKED, "format": {"type": "object", "properties": [1]}}, "wrong at properties"),
        ("/api/chat", {"messages": ASKED, "format": {"type": "string", "pattern": "["}}, "wrong at pattern"),
        ("/api/create", {"from": ""}, "from"),
        ("/api/create", {"from": MODEL, "license": "MIT"}, "FROM, SYSTEM, TEMPLATE and PARAMETER only"),
        ("/api/create", {"from": MODEL, "messages": ASKED}, "FROM, SYSTEM, TEMPLATE and PARAMETER only"),
        ("/api/create", {"from": MODEL, "model": "../../etc/passwd"}, "letters, digits"),
        ("/api/create", {"from": MODEL, "model": "C:\\x"}, "letters, digits"),
        ("/api/generate", {"model": "", "prompt": "x"}, "model"),
        ("/api/embed", {"model": "", "input": "x"}, "model"),
        ("/api/show", {"model": ""}, "model"),
    ],
)
def test_what_is_too_much_or_says_too_little_is_refused(served, path, body, said):
    status, _, answer = ask(served, "POST", path, {"model": MODEL, "stream": False} | body)
    assert status == 400 and said in told(path, answer)
    assert "\n" not in told(path, answer)


@pytest.mark.parametrize(
    ("system", "said"),
    [
        (b"\xed\xa0\x80", "not JSON: invalid unicode code point"),  # half a character again, not escaped
        (b"\xff", "not JSON: invalid unicode code point"),
        (b"\\udc00\\ud800", "half a character"),
        (b"\\ud800" * 3, "half a character"),
    ],
)
def test_what_is_no_text_is_not_kept(served, system, said):
    """Once kept, it would break every later answer that tells of it."""
    body = b'{"model": "half", "from": "%s", "stream": false, "system": "%s"}' % (MODEL.encode(), system)
    status, _, answer = ask(served, "POST", "/api/create", body)
    assert status == 400 and said in told("/api/create", answer)
    assert ask(served, "POST", "/api/show", {"model": "half"})[0] == 404


def test_a_body_of_many_small_parts_is_refused_before_it_takes_memory(served):
    began = time.process_time()
    status, _, answer = ask(served, "POST", "/api/generate", b'{"context":[' + b"[]," * 5_000_000 + b"[]]}")
    assert status == 413 and "parts" in told("/api/generate", answer)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("template", ["{{" + " " * 19_000, "{{" * 9_000])
def test_a_small_request_does_not_hold_up_the_others(served, template):
    body = {"model": MODEL, "prompt": "x", "template": template, "stream": False, "options": {"num_predict": 1}}
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(ask, served, "POST", "/api/generate", body)
        began = time.monotonic()
        assert ask(served, "GET", "/health")[0] == 200
        assert time.monotonic() - began < 3
        assert asked.result()[0] in (200, 400)


# ---- errors say what they are


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(("GET", path, 404) for path in ("/nonsense", "/v1/nonsense", "/api/nonsense")),
        *(("GET", path, 405) for path in CHATS),
    ],
)
def test_an_error_says_the_status_that_it_comes_with(served, method, path, status):
    got, _, answer = ask(served, method, path)
    assert got == status and path in told(path, answer)
    assert path.startswith(("/v1/", "/api/")) or answer["error"]["status"] == status
    assert not path.startswith("/v1/") or answer["error"]["type"] in ("invalid_request_error", "not_found_error")


@pytest.mark.parametrize("path", ["/v1/models", "/info", "/api/tags", "/health"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example.org"}, 400),
        ({"host": "localhost.evil.example.org:80"}, 400),
        ({"host": "["}, 400),
        ({"origin": "https://evil.example.org"}, 403),
    ],
)
def test_other_names_and_pages_are_refused_in_the_formats_shape(served, path, headers, status):
    got, _, answer = ask(served, "GET", path, **headers)
    assert got == status and told(path, answer)
    for host in ("localhost", "LOCALHOST:80", "127.0.0.1:5", "[::1]:7"):
        assert ask(served, "GET", path, host=host)[0] == 200


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_key_may_hold_other_letters(encoding):
    locked = server.start(key="schlüssel")
    try:
        assert ask(locked, "GET", "/v1/models", api_key="schlüssel".encode(encoding))[0] == 200
        assert ask(locked, "GET", "/v1/models", api_key="schlussel")[0] == 401
    finally:
        locked.stop()


def test_an_empty_key_is_none():
    open_ = server.start(key="")
    try:
        assert ask(open_, "GET", "/v1/models")[0] == 200
        assert ask(open_, "GET", "/v1/models", api_key="x")[0] == 200
    finally:
        open_.stop()


# ---- more clients than there is room for


class Held:
    """A backend that answers when it is let go."""

    name, model, source = "held", "held", "pocket"

    def __init__(self):
        self.go = threading.Event()

    def stream(self, messages, options):
        self.go.wait(30)
        yield Chunk("Hello", 1, prompt_tokens=1, finish_reason="stop")

    def close(self):
        pass


@pytest.mark.parametrize("path", CHATS)
def test_a_queue_that_is_full_says_when_to_come_back(monkeypatch, path):
    monkeypatch.setattr(engine, "WAITING", 3)
    held, course = Held(), server.start(slots=1)
    course.engine._backends[MODEL] = held
    body = {"model": MODEL, "messages": ASKED, "stream": False}
    try:
        with ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(ask, course, "POST", path, body) for _ in range(8)]
            until = time.monotonic() + 10
            while sum(one.done() for one in asked) < 4 and time.monotonic() < until:
                time.sleep(0.02)
            refused = [one.result() for one in asked if one.done()]
            held.go.set()
            answers = [one.result() for one in asked]
    finally:
        course.stop()
    assert sorted(status for status, _, _ in answers) == [200] * 4 + [429] * 4
    for _, headers, answer in refused:
        assert headers["retry-after"] == "2" and "Too many requests" in told(path, answer)


def test_openais_client_comes_back_by_itself(monkeypatch):
    monkeypatch.setattr(engine, "WAITING", 0)
    course = server.start(slots=1)
    course.engine._backends[MODEL] = Held()
    course.engine._backends[MODEL].go.set()
    threading.Timer(1, monkeypatch.setattr, (engine, "WAITING", 64)).start()
    try:
        with openai.OpenAI(base_url=f"{course.url}/v1", api_key="x", max_retries=2) as client:
            assert client.chat.completions.create(model=MODEL, messages=ASKED).choices[0].message.content == "Hello"
    finally:
        course.stop()


@pytest.mark.parametrize("path", ["/v1/models", "/info", "/api/tags"])
def test_too_many_connections_are_told_when_to_come_back(served, monkeypatch, path):
    place = urlsplit(served.url)
    monkeypatch.setattr(patience, "CONNECTIONS", 2)
    with ExitStack() as idle:
        for _ in range(2):
            idle.enter_context(socket.create_connection((place.hostname, place.port)))
        time.sleep(0.2)
        status, headers, answer = ask(served, "GET", path)
        assert status == 503 and headers["retry-after"] == "2" and "Too many clients" in told(path, answer)
    until = time.monotonic() + 5
    while ask(served, "GET", path)[0] == 503 and time.monotonic() < until:
        time.sleep(0.05)
    assert ask(served, "GET", path)[0] == 200
