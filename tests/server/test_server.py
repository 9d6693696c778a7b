"""The course server, asked by the official clients: they are what it has to satisfy."""

import asyncio
import http.client
import json
import threading
import time
from urllib.parse import urlsplit

import ollama
import openai
import pytest
from azure.ai.inference import ChatCompletionsClient
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError

import utils
from utils import server
from utils.core import Chunk
from utils.errors import BackendError, RateLimited, UnknownModel
from utils.server import engine, wire
from utils.server.engine import Engine, Job

MODEL = "pocket-phi-3-mini"
ASKED = [{"role": "user", "content": "What is an SLM?"}]
SCHEMA = {
    "type": "object",
    "properties": {"open": {"type": "boolean"}},
    "required": ["open"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def served():
    server_ = server.start()
    yield server_
    server_.stop()


@pytest.fixture(scope="module")
def expected():
    backend = utils.connect("onnx", MODEL, mode="offline")
    yield utils.complete(backend, ASKED, utils.Options(max_tokens=512))
    backend.close()


@pytest.fixture
def client(served):
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="x", max_retries=0) as client:
        yield client


@pytest.fixture
def azure(served):
    with ChatCompletionsClient(served.url, AzureKeyCredential("x"), retry_total=0) as client:
        yield client


@pytest.fixture
def native(served):
    return ollama.Client(served.url)


# ---- the same answer in three formats, whole and in pieces


def test_openai_whole(client, expected):
    answer = client.chat.completions.create(model=MODEL, messages=ASKED, temperature=0)
    assert answer.choices[0].message.content == expected.text and answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens == expected.tokens and answer.usage.prompt_tokens == expected.prompt_tokens
    assert answer.object == "chat.completion" and answer.model == MODEL and answer.usage.total_tokens > 0


@pytest.mark.parametrize("usage", [True, False])
def test_openai_in_pieces(client, expected, usage):
    options = {"stream_options": {"include_usage": True}} if usage else {}
    events = list(client.chat.completions.create(model=MODEL, messages=ASKED, temperature=0, stream=True, **options))
    text = [event.choices[0].delta.content or "" for event in events if event.choices]
    assert "".join(text) == expected.text and len(text) > 5
    assert events[0].choices[0].delta.role == "assistant" and len({event.id for event in events}) == 1
    assert [event.usage.completion_tokens for event in events if event.usage] == [expected.tokens] * usage


def test_openai_asynchronously(served, expected):
    async def ask():
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="x") as client:
            return await asyncio.gather(
                *(client.chat.completions.create(model=MODEL, messages=ASKED, temperature=0) for _ in range(3))
            )

    assert {answer.choices[0].message.content for answer in asyncio.run(ask())} == {expected.text}


def test_azure_whole_and_in_pieces(azure, expected):
    answer = azure.complete(messages=ASKED, model=MODEL, temperature=0)
    assert answer.choices[0].message.content == expected.text and answer.usage.completion_tokens == expected.tokens
    events = list(azure.complete(messages=ASKED, model=MODEL, temperature=0, stream=True))
    assert "".join(e.choices[0].delta.content or "" for e in events if e.choices) == expected.text
    assert events[-1].usage.completion_tokens == expected.tokens
    assert azure.get_model_info().model_name == MODEL


def test_ollama_whole_and_in_pieces(native, expected):
    options = {"temperature": 0}
    answer = native.chat(MODEL, ASKED, options=options)
    assert answer.message.content == expected.text and answer.eval_count == expected.tokens
    assert answer.done and answer.done_reason == "stop"
    assert answer.total_duration >= answer.prompt_eval_duration + answer.eval_duration > 0
    parts = list(native.chat(f"{MODEL}:latest", ASKED, options=options, stream=True))
    assert "".join(part.message.content for part in parts) == expected.text and len(parts) > 5
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]


def test_ollama_asynchronously(served, expected):
    async def ask():
        client = ollama.AsyncClient(served.url)
        return [part async for part in await client.chat(MODEL, ASKED, options={"temperature": 0}, stream=True)]

    assert "".join(part.message.content for part in asyncio.run(ask())) == expected.text


def test_options_are_honoured(client, azure, native, expected):
    stop = expected.text[10:14]
    short = client.chat.completions.create(model=MODEL, messages=ASKED, temperature=0, max_completion_tokens=5)
    assert short.usage.completion_tokens == 5 and short.choices[0].finish_reason == "length"
    cut = azure.complete(messages=ASKED, model=MODEL, temperature=0, stop=[stop])
    assert cut.choices[0].message.content == expected.text[: expected.text.index(stop)]
    draws = {native.chat(MODEL, ASKED, options={"temperature": 1.5, "seed": 7}).message.content for _ in range(2)}
    assert len(draws) == 1
    shaped = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    answer = client.chat.completions.create(model=MODEL, messages=ASKED, response_format=shaped)
    assert set(json.loads(answer.choices[0].message.content)) == {"open"}
    assert set(json.loads(native.chat(MODEL, ASKED, format=SCHEMA).message.content)) == {"open"}


def test_models_are_listed(client, native):
    assert [model.id for model in client.models.list()] == list(utils.pocket.NAMES)
    assert client.models.retrieve(MODEL).id == MODEL
    assert [model.model for model in native.list().models] == [f"{name}:latest" for name in utils.pocket.NAMES]
    native.chat(MODEL, ASKED, options={"num_predict": 1})
    assert f"{MODEL}:latest" in [model.model for model in native.ps().models]
    assert native.show(MODEL).modelinfo["phi3.context_length"] == 1024


# ---- what is wrong, said in each format's own shape


@pytest.mark.parametrize(
    ("asked", "kind", "status"),
    [
        ({"model": "nonsense"}, openai.NotFoundError, 404),
        ({"messages": []}, openai.BadRequestError, 400),
        ({"max_tokens": -1}, openai.BadRequestError, 400),
        ({"temperature": -2}, openai.BadRequestError, 400),
        ({"top_p": 7}, openai.BadRequestError, 400),
        ({"n": 2}, openai.BadRequestError, 400),
        ({"messages": [{"role": "user", "content": "hut " * 3000}]}, openai.BadRequestError, 400),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, openai.BadRequestError, 400),
        ({"messages": "Hello"}, openai.BadRequestError, 400),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_openai_errors(client, asked, kind, status, stream):
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**{"model": MODEL, "messages": ASKED, "stream": stream} | asked)
    assert caught.value.status_code == status and set(caught.value.body) == {"message", "type", "param", "code"}
    assert "\n" not in caught.value.body["message"]


def test_azure_and_ollama_errors(azure, native):
    with pytest.raises(HttpResponseError) as caught:
        azure.complete(messages=ASKED, model="nonsense")
    assert caught.value.status_code == 404 and "There is no model 'nonsense'" in caught.value.message
    with pytest.raises(ollama.ResponseError, match="There is no model 'nonsense'") as said:
        native.chat("nonsense", ASKED)
    assert said.value.status_code == 404


def ask(served, method, path, body=b"", **headers):
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=10)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer, data


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions", "/api/chat"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"model": 5}', b'{"temperature": NaN}', b"[" * 9000])
def test_what_is_no_request_is_refused(served, path, body):
    answer, data = ask(served, "POST", path, body)
    assert answer.status == 400 and "error" in json.loads(data)


def test_other_addresses_methods_and_hosts_are_refused(served):
    for path in ("/nonsense", "/v1/nonsense", "/api/nonsense", "/../../etc/passwd"):
        answer, data = ask(served, "GET", path)
        assert answer.status == 404 and "error" in json.loads(data)
    assert ask(served, "GET", "/v1/chat/completions")[0].status == 405
    assert ask(served, "GET", "/v1/models", host="evil.example.org")[0].status == 400


def test_a_body_that_is_too_large_is_refused(served, monkeypatch):
    monkeypatch.setattr(wire, "BODY_BYTES", 1000)
    assert ask(served, "POST", "/api/chat", b"x" * 5000)[0].status == 413


def test_a_key_is_asked_for_where_there_is_one():
    locked = server.start(key="s3cret")
    try:
        for given in ({}, {"authorization": "Bearer wrong"}, {"api_key": "ü"}):
            assert ask(locked, "GET", "/v1/models", **given)[0].status == 401
        for given in ({"authorization": "Bearer s3cret"}, {"api_key": "s3cret"}):
            assert ask(locked, "GET", "/v1/models", **given)[0].status == 200
    finally:
        locked.stop()


def test_a_server_ends_and_frees_its_port():
    first = server.start()
    port = urlsplit(first.url).port
    with pytest.raises(OSError):
        server.start(port=port)
    first.stop()
    first.stop()
    second = server.start(port=port)
    assert ask(second, "GET", "/")[0].status == 200
    second.stop()
    assert "course server" not in [thread.name for thread in threading.enumerate() if thread.name == "gone"]


# ---- the queue before a model


class Slow:
    """A backend that answers at a touch of the test's."""

    name, model, source = "slow", "slow", "pocket"

    def __init__(self, go):
        self.go, self.running, self.most, self.closed, self.ended = go, 0, 0, False, 0

    def stream(self, messages, options):
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for number in range(5):
                self.go.wait(5)
                yield Chunk(messages[0]["content"], number + 1)
            yield Chunk("", 5, prompt_tokens=1, finish_reason="stop")
        finally:
            self.running -= 1
            self.ended += 1

    def close(self):
        self.closed = True


def job(text="x"):
    return Job(model="slow", messages=[{"role": "user", "content": text}], options=utils.Options())


def test_requests_wait_for_each_other_in_their_order():
    go = threading.Event()
    slow = Slow(go)
    go.set()
    order = []

    async def one(engine_, text):
        async for chunk in engine_.chunks(job(text)):
            last = chunk
        order.append(text)
        return last

    async def all_of_them():
        engine_ = Engine(lambda name: slow, ["slow"])
        await asyncio.gather(*(one(engine_, str(number)) for number in range(6)))
        engine_.unload("slow")
        assert slow.closed and not engine_.loaded

    asyncio.run(all_of_them())
    assert slow.most == 1 and order == [str(number) for number in range(6)]


def test_a_queue_that_is_full_and_a_model_that_is_unknown(monkeypatch):
    monkeypatch.setattr(engine, "WAITING", 0)

    async def asked(name):
        engine_ = Engine(lambda name: Slow(threading.Event()), ["slow"])
        async for _ in engine_.chunks(Job(model=name, messages=[], options=utils.Options())):
            pass

    with pytest.raises(RateLimited):
        asyncio.run(asked("slow"))
    with pytest.raises(UnknownModel, match="There is no model 'x'"):
        asyncio.run(asked("x"))


def test_a_client_that_leaves_ends_the_work(served, monkeypatch):
    go = threading.Event()
    slow = Slow(go)
    engine_ = served.engine
    monkeypatch.setitem(engine_._backends, MODEL, slow)
    go.set()
    monkeypatch.setattr(Slow, "stream", endless)
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="x") as client:
        stream = client.chat.completions.create(model=MODEL, messages=ASKED, stream=True)
        next(iter(stream))
        stream.close()
    until = time.monotonic() + 5
    while slow.running and time.monotonic() < until:
        time.sleep(0.02)
    assert slow.running == 0 and slow.ended == 1


def endless(self, messages, options):
    self.running += 1
    try:
        while True:
            time.sleep(0.01)
            yield Chunk("more ", 1)
    finally:
        self.running -= 1
        self.ended += 1


def test_an_error_in_mid_stream_reaches_the_client(served, monkeypatch):
    def breaks(self, messages, options):
        yield Chunk("Half", 1)
        raise BackendError("The model stumbled.")

    monkeypatch.setattr(Slow, "stream", breaks)
    monkeypatch.setitem(served.engine._backends, MODEL, Slow(threading.Event()))
    with (
        openai.OpenAI(base_url=f"{served.url}/v1", api_key="x") as client,
        pytest.raises(openai.APIError, match="stumbled"),
    ):
        list(client.chat.completions.create(model=MODEL, messages=ASKED, stream=True))
    with pytest.raises(ollama.ResponseError, match="stumbled"):
        list(ollama.Client(served.url).chat(MODEL, ASKED, stream=True))
