"""The course server, asked by the official clients: they are what it has to satisfy."""

import asyncio
import http.client
import json
import socket
import struct
import sys
import threading
import time
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import ollama
import openai
import pytest
from azure.ai.inference import ChatCompletionsClient, EmbeddingsClient
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError
from starlette.testclient import TestClient

import utils
from utils import server
from utils.core import Chunk
from utils.errors import BackendError, BadInput, RateLimited
from utils.server import app, engine, openapi, patience, wire
from utils.server.engine import Engine
from utils.server.job import Job
from utils.server.library import Entry

MODEL = "pocket-phi-3-mini"
MLX = [] if sys.platform == "win32" else ["mlx"]  # it has no build for Windows
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


def test_several_prompts_are_answered_in_their_order(client):
    asked = {"model": MODEL, "max_tokens": 4, "temperature": 0}
    alone = [client.completions.create(prompt=text, **asked) for text in ("Once upon", "The hut")]
    answer = client.completions.create(prompt=["Once upon", "The hut"], n=2, **asked)
    texts = [one.choices[0].text for one in alone]
    assert [choice.text for choice in answer.choices] == [texts[0], texts[0], texts[1], texts[1]]
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.usage.prompt_tokens == sum(one.usage.prompt_tokens for one in alone)
    pieces = dict.fromkeys(range(2), "")
    for event in client.completions.create(prompt=["Once upon", "The hut"], stream=True, **asked):
        pieces[event.choices[0].index] += event.choices[0].text
    assert list(pieces.values()) == texts
    for prompt in ([], ["x"] * 17):
        with pytest.raises(openai.BadRequestError, match="1 to 16 answers"):
            client.completions.create(prompt=prompt, **asked)


def test_openai_asynchronously(served, expected):
    async def ask():
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="x") as client:
            return await asyncio.gather(
                *(client.chat.completions.create(model=MODEL, messages=ASKED, temperature=0) for _ in range(3))
            )

    assert {answer.choices[0].message.content for answer in asyncio.run(ask())} == {expected.text}


@pytest.mark.parametrize("route", ["transformers", "llama.cpp", "openvino", *MLX])
def test_other_runtimes_serve_several_at_once(route, expected):
    course = server.start(route=route, slots=4)

    async def ask():
        async with openai.AsyncOpenAI(base_url=f"{course}/v1", api_key="x") as client:
            return await asyncio.gather(
                *(client.chat.completions.create(model=MODEL, messages=ASKED, temperature=0) for _ in range(6))
            )

    try:
        answers = asyncio.run(ask())
    finally:
        course.stop()
    assert {answer.choices[0].message.content for answer in answers} == {expected.text}
    assert {answer.usage.completion_tokens for answer in answers} == {expected.tokens}


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


def test_logprobs_in_every_format(client, native, azure):
    backend = utils.connect("onnx", MODEL, mode="offline")
    here = utils.complete(backend, "Grüße 🦊", utils.Options(max_tokens=12, logprobs=True))
    backend.close()
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "Grüße 🦊"}]}
    options = {"temperature": 0, "max_tokens": 12, "logprobs": True}
    whole = client.chat.completions.create(**asked, **options).choices[0]
    rows = whole.logprobs.content
    assert "".join(row.token for row in rows) == whole.message.content == here.text
    assert [row.logprob for row in rows] == pytest.approx(here.logprobs[: len(rows)], abs=1e-4)
    events = list(client.chat.completions.create(**asked, **options, stream=True))
    pieces = [row.logprob for e in events if e.choices for row in (e.choices[0].logprobs.content or ())]
    assert pieces == pytest.approx([row.logprob for row in rows])
    theirs = native.chat(MODEL, asked["messages"], logprobs=True, options={"temperature": 0, "num_predict": 12})
    assert [row.logprob for row in theirs.logprobs] == pytest.approx(pieces)
    found = azure.complete(**asked, temperature=0, max_tokens=12, model_extras={"logprobs": True}).choices[0]
    assert [row["logprob"] for row in found["logprobs"]["content"]] == pytest.approx(pieces)
    goes_on = client.completions.create(model=MODEL, prompt="Once upon", temperature=0, max_tokens=5, logprobs=0)
    assert "".join(goes_on.choices[0].logprobs.tokens) == goes_on.choices[0].text
    assert all(value <= 0 for value in goes_on.choices[0].logprobs.token_logprobs)


def test_models_are_listed(client, native):
    assert [model.id for model in client.models.list()] == list(utils.pocket.NAMES)
    assert client.models.retrieve(MODEL).id == MODEL
    assert [model.model for model in native.list().models] == [f"{name}:latest" for name in utils.pocket.NAMES]
    native.chat(MODEL, ASKED, options={"num_predict": 1})
    assert f"{MODEL}:latest" in [model.model for model in native.ps().models]
    assert native.show(MODEL).modelinfo["phi3.context_length"] == 1024


def test_several_answers_to_one_question(client):
    def ask(**options):
        answer = client.chat.completions.create(
            model=MODEL, messages=ASKED, n=3, seed=1, temperature=1.5, max_tokens=20, **options
        )
        if not options:
            return [choice.message.content for choice in answer.choices], answer.usage.completion_tokens
        texts, used = ["", "", ""], 0
        for event in answer:
            for choice in event.choices:
                texts[choice.index] += choice.delta.content or ""
            used = event.usage.completion_tokens if event.usage else used
        return texts, used

    whole, tokens = ask()
    assert len(set(whole)) > 1 and tokens > 20
    assert ask(stream=True, stream_options={"include_usage": True}) == (whole, tokens)


def test_without_a_seed_every_answer_is_drawn_anew(client):
    answers = {
        client.chat.completions.create(model=MODEL, messages=ASKED, temperature=1.9, max_tokens=20)
        .choices[0]
        .message.content
        for _ in range(5)
    }
    assert len(answers) > 1


# ---- a text that goes on, without a chat template


@pytest.fixture(scope="module")
def continued():
    backend = utils.connect("onnx", MODEL, mode="offline")
    text = "".join(chunk.text for chunk in backend.stream_text("Once upon a time", utils.Options(max_tokens=12)))
    backend.close()
    return text


def test_a_text_goes_on_in_both_formats(client, native, continued):
    asked = {"model": MODEL, "prompt": "Once upon a time"}
    answer = client.completions.create(**asked, temperature=0, max_tokens=12)
    assert answer.object == "text_completion" and answer.choices[0].text == continued
    events = client.completions.create(**asked, temperature=0, max_tokens=12, stream=True)
    assert "".join(event.choices[0].text for event in events) == continued
    options = {"temperature": 0, "num_predict": 12}
    raw = native.generate(MODEL, "Once upon a time", raw=True, options=options)
    assert raw.response == continued and raw.eval_count == 12
    parts = native.generate(MODEL, "Once upon a time", raw=True, options=options, stream=True)
    assert "".join(part.response for part in parts) == continued


def test_generate_uses_the_chat_template(native, expected):
    assert native.generate(MODEL, "What is an SLM?", options={"temperature": 0}).response == expected.text
    schema = native.generate(MODEL, "Is it open?", format=SCHEMA)
    assert set(json.loads(schema.response)) == {"open"}
    with pytest.raises(ollama.ResponseError, match="cannot fill a gap"):
        native.generate(MODEL, "x", suffix="y")


PHI = """{{ if .System }}<|system|>
{{ .System }}<|end|>
{{ end }}{{ if .Prompt }}<|user|>
{{ .Prompt }}<|end|>
{{ end }}<|assistant|>
{{ .Response }}<|end|>
"""  # as Ollama's own Phi-3.5 has it


def test_phis_template_of_ollama_gives_what_its_own_template_gives(native, expected):
    options = {"temperature": 0}
    answer = native.generate(MODEL, "What is an SLM?", template=PHI, options=options)
    assert (answer.response, answer.prompt_eval_count) == (expected.text, expected.prompt_tokens)
    native.create("templated", from_=MODEL, template=PHI)
    try:
        talk = [*ASKED, {"role": "assistant", "content": "A small one."}, {"role": "user", "content": "And an LLM?"}]
        theirs, ours = (native.chat(name, talk, options=options) for name in ("templated", MODEL))
        assert theirs.message.content == ours.message.content
        assert theirs.prompt_eval_count == ours.prompt_eval_count
        assert "TEMPLATE" in native.show("templated").modelfile and native.show("templated").template == PHI
    finally:
        native.delete("templated")


def test_a_context_reminds_the_model_of_what_was_said(native):
    options = {"temperature": 0, "num_predict": 40}
    first = native.generate(MODEL, "Hello, my name is Mara.", options=options)
    parts = list(native.generate(MODEL, "What is my name?", context=first.context, options=options, stream=True))
    talk = [
        {"role": "user", "content": "Hello, my name is Mara."},
        {"role": "assistant", "content": first.response},
        {"role": "user", "content": "What is my name?"},
    ]
    assert abs(parts[-1].prompt_eval_count - native.chat(MODEL, talk, options=options).prompt_eval_count) <= 1
    assert parts[-1].context[: len(first.context)] == first.context
    assert len(parts[-1].context) > len(first.context)


# ---- models that learners make, and the memory they take


def test_a_modelfile_makes_a_model_that_the_others_see_too(native, client, azure):
    talk = [{"role": "user", "content": "Hello!"}]
    states = list(
        native.create(
            "hut-help", from_=MODEL, system="Be short.", parameters={"num_predict": 3, "seed": 4}, stream=True
        )
    )
    assert states[-1].status == "success"
    try:
        answer = native.chat("hut-help", talk)
        assert answer.eval_count == 3 and native.chat("hut-help", talk).message.content == answer.message.content
        assert native.chat("hut-help", talk, options={"num_predict": 2}).eval_count == 2
        shown = native.show("hut-help")
        assert "FROM pocket-phi-3-mini" in shown.modelfile and 'SYSTEM """Be short."""' in shown.modelfile
        assert "num_predict 3" in shown.parameters
        system = {"role": "system", "content": "Be short."}
        plain = native.chat(MODEL, [system, *talk], options={"temperature": 0})
        made = native.chat("hut-help", talk, options={"temperature": 0, "num_predict": 512})
        assert made.prompt_eval_count == plain.prompt_eval_count and made.message.content == plain.message.content
        assert "hut-help" in [model.id for model in client.models.list()]
        assert azure.complete(messages=talk, model="hut-help").usage.completion_tokens == 3
        native.copy("hut-help", "hut-help-2")
        assert native.chat("hut-help-2", talk).eval_count == 3
        native.delete("hut-help-2")
        with pytest.raises(ollama.ResponseError, match="There is no model 'hut-help-2'"):
            native.chat("hut-help-2", talk)
    finally:
        native.delete("hut-help")


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda c: c.create("x", from_="nonsense"), "There is no model 'nonsense'"),
        (lambda c: c.create(MODEL, from_=MODEL), "is one of the given models"),
        (lambda c: c.create("x", from_=MODEL, files={"a": "b"}), "FROM, SYSTEM, TEMPLATE and PARAMETER only"),
        (lambda c: c.create("x", from_=MODEL, template="{{ range .Messages }}"), "templates know .System, .Prompt"),
        (lambda c: c.generate(MODEL, "x", context=[99999]), "not what an earlier answer"),
        (lambda c: c.delete(MODEL), "cannot be deleted"),
        (lambda c: c.delete("nonsense"), "There is no model"),
        (lambda c: c.copy("../../etc/passwd", "x"), "There is no model"),
        (lambda c: c.copy(MODEL, "a" * 500), "1 to 100 printable characters"),
        (lambda c: c.show("../secret"), "There is no model"),
        (lambda c: c.pull("llama3"), "There is no model 'llama3'"),
        (lambda c: c.chat(MODEL, ASKED, keep_alive="soon"), "keep_alive: seconds or a text like"),
        (lambda c: c.chat(MODEL, ASKED, keep_alive="1h30"), "keep_alive: seconds or a text like"),
        (lambda c: c.chat(MODEL, ASKED, keep_alive="9" * 20_000_000), "keep_alive: seconds or a text like"),
        (lambda c: c.chat(MODEL, ASKED, options={"seed": "x"}), "seed"),
    ],
)
def test_what_cannot_be_done_with_models_is_said(native, ask, said):
    with pytest.raises(ollama.ResponseError, match=said) as caught:
        ask(native)
    assert caught.value.status_code in (400, 404)


def test_pull_reads_and_checks_what_is_there(native):
    parts = list(native.pull(MODEL, stream=True))
    reads = [part for part in parts if part.total]
    assert parts[0].status == "pulling manifest" and parts[-1].status == "success"
    assert reads[-1].completed == reads[-1].total == (utils.pocket.folder(MODEL) / "model.safetensors").stat().st_size
    assert [part.completed for part in reads] == sorted(part.completed for part in reads)
    assert native.pull(MODEL).status == "success"


def test_keep_alive_decides_how_long_a_model_stays(native):
    native.chat(MODEL, ASKED, options={"num_predict": 1}, keep_alive=0)
    assert not native.ps().models
    native.generate(MODEL, keep_alive="0.3s")
    assert [model.model for model in native.ps().models] == [f"{MODEL}:latest"]
    until = time.monotonic() + 5
    while native.ps().models and time.monotonic() < until:
        time.sleep(0.05)
    assert not native.ps().models
    native.chat(MODEL, ASKED, options={"num_predict": 1}, keep_alive="5m")
    left = native.ps().models[0].expires_at.timestamp() - time.time()
    assert 200 < left < 310
    native.chat(MODEL, ASKED, options={"num_predict": 1}, keep_alive=-1)
    assert native.ps().models[0].expires_at.year > 2100


@pytest.mark.parametrize(
    ("kept", "seconds"), [("1h30m", 5400), (".5h", 1800), ("1000000us", 1), ("+5m", 300), ("1.5m10s", 100), ("90", 90)]
)
def test_keep_alive_may_be_written_as_ollama_writes_it(native, kept, seconds):
    native.generate(MODEL, keep_alive=kept)
    left = native.ps().models[0].expires_at.timestamp() - time.time()
    assert seconds - 20 < left <= seconds
    native.generate(MODEL, keep_alive=-1)


def test_a_made_model_keeps_its_name_and_shows_all_that_it_was_made_of(native):
    given = {"stop": ["a b", 'c"d'], "num_ctx": 2048, "top_k": 5, "temperature": 0.5}
    native.create("mara/mario:v1", from_=MODEL, parameters=given)
    native.create("luigi", from_="mara/mario:v1", parameters={"top_k": 6})
    try:
        names = [model.model for model in native.list().models]
        assert "mara/mario:v1" in names and "luigi:latest" in names
        shown = native.show("mara/mario:v1")
        lines = ['stop "a b"', 'stop "c\\"d"', "num_ctx 2048", "top_k 5", "temperature 0.5"]
        assert sorted(shown.parameters.splitlines()) == sorted(lines)
        assert all(f"PARAMETER {line}" in shown.modelfile.splitlines() for line in lines)
        assert "top_k 6" in native.show("luigi").parameters and "num_ctx 2048" in native.show("luigi").parameters
    finally:
        native.delete("mara/mario:v1")
        native.delete("luigi")


# ---- vectors


def test_vectors_are_the_same_in_every_format(served, client, native):
    texts = ["The hut is open.", "Der Hund schläft.", "The hut is open."]
    found = client.embeddings.create(model=MODEL, input=texts)
    vectors = [row.embedding for row in found.data]
    assert {len(vector) for vector in vectors} == {256} and found.usage.prompt_tokens > 10
    assert vectors[0] == vectors[2] != vectors[1]
    for vector in vectors:
        assert sum(x * x for x in vector) == pytest.approx(1, abs=1e-4)
    plain = client.embeddings.create(model=MODEL, input=texts[0], encoding_format="float").data[0].embedding
    assert plain == pytest.approx(vectors[0], abs=1e-6)
    theirs = native.embed(MODEL, texts)
    assert theirs.embeddings[1] == pytest.approx(vectors[1], abs=1e-6) and theirs.prompt_eval_count > 10
    assert native.embeddings(MODEL, texts[1]).embedding == theirs.embeddings[1]
    with EmbeddingsClient(served.url, AzureKeyCredential("x")) as azure:
        answer = azure.embed(input=texts, model=MODEL)
    assert answer.data[1].embedding == pytest.approx(vectors[1], abs=1e-6) and answer.usage.prompt_tokens > 10


def test_ollama_cuts_a_text_that_is_too_long_for_a_vector(native):
    assert native.embed(MODEL, "hut " * 3000).prompt_eval_count == 1024
    assert native.embed(MODEL, "hut " * 3000).embeddings == native.embed(MODEL, "hut " * 2000).embeddings
    with pytest.raises(ollama.ResponseError, match="3,001 tokens long"):
        native.embed(MODEL, "hut " * 3000, truncate=False)


def test_what_makes_vectors_is_in_memory_and_leaves_it(native):
    native.chat(MODEL, ASKED, options={"num_predict": 1}, keep_alive=0)
    assert not native.ps().models
    native.embed(MODEL, "Hello", keep_alive="5m")
    assert [model.model for model in native.ps().models] == [f"{MODEL}:latest"]
    native.embed(MODEL, "Hello", keep_alive=0)
    assert not native.ps().models


def test_vectors_wait_for_their_turn_and_stop_when_nobody_waits(monkeypatch):
    made, go = [], threading.Event()

    async def slow(name):
        return lambda text, cut: (made.append(text) or go.wait(10), ([1.0], 1))[1]

    async def ask():
        busy = Engine(lambda name: None, lambda name: None, [MODEL])
        busy._embedder = slow
        first = asyncio.create_task(busy.vectors(Entry(MODEL, MODEL), ["a", "b", "c"]))
        second = asyncio.create_task(busy.vectors(Entry(MODEL, MODEL), ["d"]))
        await asyncio.sleep(0.1)
        assert made == ["a"]  # the second has not begun: there is one slot
        first.cancel()
        go.set()
        assert await second == ([[1.0]], 1)
        assert made == ["a", "d"]
        monkeypatch.setattr(engine, "WAITING", 0)
        with pytest.raises(RateLimited):
            await busy.vectors(Entry(MODEL, MODEL), ["e"])

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"input": ""}, "empty"),
        ({"input": []}, "empty"),
        ({"input": ["x"] * 2049}, "2,049 texts are too many for one request"),
        ({"input": "hut " * 3000}, "tokens long"),
        ({"input": "x", "dimensions": 3}, "have 256"),
    ],
)
def test_what_has_no_vector_is_said(client, asked, said):
    with pytest.raises(openai.BadRequestError, match=said):
        client.embeddings.create(model=MODEL, **asked)


# ---- what is wrong, said in each format's own shape


@pytest.mark.parametrize(
    ("asked", "kind", "status"),
    [
        ({"model": "nonsense"}, openai.NotFoundError, 404),
        ({"messages": []}, openai.BadRequestError, 400),
        ({"max_tokens": -1}, openai.BadRequestError, 400),
        ({"temperature": -2}, openai.BadRequestError, 400),
        ({"top_p": 7}, openai.BadRequestError, 400),
        ({"n": 0}, openai.BadRequestError, 400),
        ({"n": 99}, openai.BadRequestError, 400),
        ({"logprobs": True, "top_logprobs": 3}, openai.BadRequestError, 400),
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
    with pytest.raises(BadInput, match=rf"Port {port} .* cannot be used"):
        server.start(port=port)
    first.stop()
    first.stop()
    second = server.start(port=port)
    assert ask(second, "GET", "/")[0].status == 200
    second.stop()
    assert not first._thread.is_alive() and not second._thread.is_alive()


# ---- what it tells about itself, and how it is protected


def test_health_metrics_and_description(served, client):
    assert json.loads(ask(served, "GET", "/health")[1])["status"] == "ok"

    def numbers():
        answer, data = ask(served, "GET", "/metrics")
        assert answer.status == 200 and answer.getheader("content-type").startswith("text/plain")
        lines = (line.rpartition(" ") for line in data.decode().splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    before = numbers()
    used = client.chat.completions.create(model=MODEL, messages=ASKED, temperature=0).usage
    after = numbers()
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown['requests_total{path="/v1/chat/completions",status="200"}'] == 1
    assert grown['tokens_total{kind="generated"}'] == used.completion_tokens
    assert grown['tokens_total{kind="prompt"}'] == used.prompt_tokens
    assert grown["time_to_first_token_seconds_count"] == 1 and after["requests_waiting"] == 0
    assert 0 < grown["inter_token_latency_seconds_count"] < used.completion_tokens

    described = json.loads(ask(served, "GET", "/openapi.json")[1])
    assert described["openapi"].startswith("3.1") and "/api/chat" in described["paths"]
    body = described["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    name = body["$ref"].rpartition("/")[2]
    assert {"messages", "temperature"} <= described["components"]["schemas"][name]["properties"].keys()
    assert described["components"]["securitySchemes"].keys() == {key for one in described["security"] for key in one}
    azures = described["paths"]["/chat/completions"]["post"]["parameters"]
    assert [(row["name"], row["in"], row["required"]) for row in azures] == [("api-version", "query", False)]
    assert described["paths"]["/health"]["get"]["security"] == []


def test_every_address_with_a_body_describes_it():
    with_body = {path for method in ("POST", "DELETE") for path in app.ROUTES[method]}
    assert with_body == openapi.BODIES.keys()


def test_pages_of_the_web_may_ask_only_where_allowed(served):
    origin = {"origin": "https://course.example.org"}
    assert ask(served, "GET", "/v1/models", **origin)[0].getheader("access-control-allow-origin") is None
    browser = TestClient(app.make(served.engine, hosts=["*"], origins=[origin["origin"]]))
    allowed = browser.get("/v1/models", headers=origin)
    assert allowed.headers["access-control-allow-origin"] == origin["origin"]


HALF = b"POST /api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\n\r\n{"


@pytest.mark.parametrize("begun", [b"", HALF[:12], HALF])
def test_a_request_that_does_not_become_whole_is_given_up(served, monkeypatch, begun):
    monkeypatch.setattr(patience, "REQUEST_S", 0.3)
    place = urlsplit(served.url)
    with socket.create_connection((place.hostname, place.port), timeout=5) as connection:
        connection.sendall(begun)
        start = time.monotonic()
        connection.recv(1000)
        while connection.recv(1000):
            pass
        assert time.monotonic() - start < 3


def test_a_connection_that_is_used_again_has_its_own_time_for_each_request(served, monkeypatch):
    monkeypatch.setattr(patience, "REQUEST_S", 0.5)
    with closing(http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=10)) as connection:
        for _ in range(3):
            connection.request("GET", "/health")
            assert connection.getresponse().read()
            time.sleep(0.3)


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
    return Job(entry=Entry("slow", "slow"), messages=[{"role": "user", "content": text}], options=utils.Options())


def engine_of(slow):
    return Engine(lambda name: slow, utils.pocket.folder, ["slow"])


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
        engine_ = engine_of(slow)
        await asyncio.gather(*(one(engine_, str(number)) for number in range(6)))
        engine_.unload("slow")
        assert slow.closed and not engine_.loaded

    asyncio.run(all_of_them())
    assert slow.most == 1 and order == [str(number) for number in range(6)]


def test_a_model_that_is_answering_is_freed_after_its_last_answer():
    slow = Slow(threading.Event())
    engine_ = Engine(lambda name: slow, utils.pocket.folder, ["slow"], slots=2)

    async def ask():
        return [chunk async for chunk in engine_.chunks(job())][-1]

    async def all_of_them():
        asks = [asyncio.create_task(ask()) for _ in range(2)]
        while slow.running < 2:
            await asyncio.sleep(0.01)
        engine_.unload("slow")
        assert not slow.closed and engine_.loaded == ("slow",)
        slow.go.set()
        assert [chunk.finish_reason for chunk in await asyncio.gather(*asks)] == ["stop", "stop"]
        assert slow.closed and not engine_.loaded

    asyncio.run(all_of_them())
    assert slow.most == 2


def test_models_that_do_not_fit_together_make_room_for_each_other(tmp_path):
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(bytes(1000))
    made = {}

    def load(name):
        made[name] = Slow(threading.Event())
        return made[name]

    async def all_of_them():
        engine_ = Engine(load, tmp_path.joinpath, ["one", "two", "three"], memory=4000)
        for name in ("one", "two", "one", "three"):
            await engine_.load(Entry(name, name))
        assert engine_.loaded == ("one", "three") and made["two"].closed and not made["one"].closed

    asyncio.run(all_of_them())


def test_a_queue_that_is_full_says_so(monkeypatch):
    monkeypatch.setattr(engine, "WAITING", 0)

    async def asked():
        async for _ in engine_of(Slow(threading.Event())).chunks(job()):
            pass

    with pytest.raises(RateLimited):
        asyncio.run(asked())


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


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions", "/api/chat"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_is_killed_frees_its_slot_within_a_second(served, monkeypatch, path, stream):
    slow = Slow(threading.Event())
    monkeypatch.setitem(served.engine._backends, MODEL, slow)
    monkeypatch.setattr(Slow, "stream", endless)
    body = json.dumps({"model": MODEL, "messages": ASKED, "stream": stream}).encode()
    url = urlsplit(served.url)
    with socket.create_connection((url.hostname, url.port)) as client:
        head = f"POST {path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        assert within(5, lambda: slow.running == 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # no farewell, as when killed
    assert within(1, lambda: slow.running == 0 and slow.ended == 1)


def test_a_client_that_leaves_the_queue_is_not_answered(served, monkeypatch):
    slow = Slow(threading.Event())
    monkeypatch.setitem(served.engine._backends, MODEL, slow)
    monkeypatch.setattr(Slow, "stream", endless)
    monkeypatch.setitem(served.engine._free, MODEL, asyncio.Semaphore(0))
    body = json.dumps({"model": MODEL, "messages": ASKED}).encode()
    url = urlsplit(served.url)
    with socket.create_connection((url.hostname, url.port)) as client:
        head = f"POST /api/chat HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        assert within(5, lambda: served.engine._waiting[MODEL] == 1)
    assert within(1, lambda: served.engine._waiting[MODEL] == 0)
    assert slow.ended == 0


ODD = [-1, 10**400, 5, True, [5], {"a": 1}, "x"]
SENSIBLE = {"temperature": [], "top_p": [], "stop": ["x"], "seed": [-1, 5]}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions", "/api/chat", "/api/create"])
@pytest.mark.parametrize("name", ["temperature", "top_p", "stop", "seed"])
def test_odd_settings_are_refused_and_break_nothing(served, path, name):
    ollamas = path.startswith("/api/")
    for odd in ODD:
        given = {name: odd}
        body = {"model": MODEL, "messages": ASKED, "stream": False}
        if path == "/api/create":
            body = {"model": "odd", "from": MODEL, "parameters": given, "stream": False}
        elif ollamas:
            body |= {"options": given | {"num_predict": 1}}
        else:
            body |= given | {"max_tokens": 1}
        answer, data = ask(served, "POST", path, json.dumps(body).encode())
        assert answer.status == (200 if odd in SENSIBLE[name] else 400), (odd, data)
        assert ("error" in json.loads(data)) == (answer.status == 400)
    ask(served, "DELETE", "/api/delete", b'{"model": "odd"}')


@pytest.mark.parametrize("kept", [1e18, "99999999999999h", "-1", -1, 0])
def test_a_model_may_be_kept_for_ever_and_the_list_still_comes(served, kept):
    body = {"model": MODEL, "messages": ASKED, "stream": False, "options": {"num_predict": 1}, "keep_alive": kept}
    assert ask(served, "POST", "/api/chat", json.dumps(body).encode())[0].status == 200
    assert ask(served, "GET", "/api/ps")[0].status == 200


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings", "/api/embed"])
@pytest.mark.parametrize("given", [[], [""], "\0", ["\ud800"]])
def test_what_has_no_vector_is_refused(served, path, given):
    body = json.dumps({"model": MODEL, "input": given}).encode()
    answer, data = ask(served, "POST", path, body)
    assert answer.status == 400 and "error" in json.loads(data)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions", "/api/chat"])
def test_tools_are_refused(served, path):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    body = json.dumps({"model": MODEL, "messages": ASKED, "tools": tools}).encode()
    answer, data = ask(served, "POST", path, body)
    assert answer.status == 400 and "tools" in str(json.loads(data)["error"])


def within(seconds, what):
    until = time.monotonic() + seconds
    while not what() and time.monotonic() < until:
        time.sleep(0.02)
    return what()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat", "/api/create"])
def test_a_web_page_may_not_ask(served, path):
    response, body = ask(served, "POST", path, b"{}", origin="https://elsewhere.example")
    assert response.status == 403 and "--cors" in str(body)
    assert ask(served, "GET", "/health", origin="null")[0].status == 403


def endless(self, messages, options):
    self.running += 1
    try:
        while True:
            time.sleep(0.01)
            yield Chunk("more ", 1)
    finally:
        self.running -= 1
        self.ended += 1


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions", "/api/chat"])
def test_an_error_of_our_own_has_the_formats_shape_too(served, monkeypatch, path):
    def breaks(self, messages, options):
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(Slow, "stream", breaks)
    monkeypatch.setitem(served.engine._backends, MODEL, Slow(threading.Event()))
    body = json.dumps({"model": MODEL, "messages": ASKED, "stream": False}).encode()
    answer, data = ask(served, "POST", path, body)
    assert answer.status == 500 and "error" in json.loads(data) and b"secret" not in data


def test_a_client_that_stops_reading_neither_fills_the_memory_nor_keeps_the_server_from_ending(monkeypatch):
    made = []

    def flood(self, messages, options):
        for number in range(1, 100_000):
            made.append(number)
            yield Chunk("x" * 100_000, number)

    monkeypatch.setattr(Slow, "stream", flood)
    held = server.start()
    held.engine._backends[MODEL] = Slow(threading.Event())
    place = urlsplit(held.url)
    body = json.dumps({"model": MODEL, "messages": ASKED, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall(head.encode() + body)
        assert connection.recv(100)
        time.sleep(1)
        ahead = len(made)
        assert 0 < ahead < 500
        time.sleep(0.5)
        assert len(made) == ahead  # it waits
        start = time.monotonic()
        held.stop()
        assert time.monotonic() - start < 8 and not held._thread.is_alive()


def test_a_client_that_stops_reading_gives_its_slot_back(served, monkeypatch):
    def flood(self, messages, options):
        self.running += 1
        try:
            for number in range(1, 100_000):
                yield Chunk("x" * 100_000, number)
        finally:
            self.ended += 1

    slow = Slow(threading.Event())
    monkeypatch.setattr(Slow, "stream", flood)
    monkeypatch.setattr(patience, "UNREAD_S", 0.5)
    monkeypatch.setitem(served.engine._backends, MODEL, slow)
    body = json.dumps({"model": MODEL, "messages": ASKED, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection((urlsplit(served.url).hostname, urlsplit(served.url).port)) as connection:
        connection.sendall(head.encode() + body)
        assert within(5, lambda: slow.ended == 1)  # although the connection is open on our side


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


def test_answers_are_sent_at_once(served):
    """Else each answer but the first on a connection waits 40 ms, until the client's receipt of the head arrives."""
    with httpx.Client(trust_env=False) as client:
        client.get(f"{served.url}/health")
        sockets = [one.transport.get_extra_info("socket") for one in served._server.server_state.connections]
        assert sockets and all(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in sockets)
