"""Every answer's fields against the published ones: those of the clients' own types, none missing and none unknown."""

import json
import urllib.error
import urllib.request

import ollama
import openai.types as openai_types
import pytest
from azure.ai.inference.models import ChatCompletions, EmbeddingsResult, ModelInfo, StreamingChatCompletionsUpdate
from pydantic import BaseModel

from utils import server

MODEL = "pocket-phi-3-mini"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Hello!"}]}
SHORT = {"max_tokens": 4, "temperature": 0}
NATIVE = {"options": {"num_predict": 4, "temperature": 0}}
NOT_IN_THE_TYPES = {"context", "bytes", "name", "system"}  # documented, but Ollama's client leaves them out


@pytest.fixture(scope="module")
def served():
    server_ = server.start()
    yield server_
    server_.stop()


def answer(served, path, body=None, method=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(served.url + path, data, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as reply:
        return reply.read().decode()


def events(text):
    """The objects of a stream: server-sent events, or one on each line."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def unknown(raw, made):
    """The keys of `raw` that the type does not have, at any depth."""
    if isinstance(raw, list):
        return [key for one, its in zip(raw, made or [], strict=False) for key in unknown(one, its)]
    if not isinstance(raw, dict) or not isinstance(made, BaseModel):
        return []
    fields = {field.alias or name: name for name, field in type(made).model_fields.items()}
    odd = [key for key in raw if key not in fields]
    return odd + [key for name in raw.keys() & fields for key in unknown(raw[name], getattr(made, fields[name]))]


OPENAI = {
    ("/v1/chat/completions", False): (CHAT | SHORT | {"logprobs": True}, openai_types.chat.ChatCompletion),
    ("/v1/chat/completions", True): (
        CHAT | SHORT | {"stream": True, "stream_options": {"include_usage": True}},
        openai_types.chat.ChatCompletionChunk,
    ),
    ("/v1/completions", False): ({"model": MODEL, "prompt": "Once", **SHORT, "logprobs": 1}, openai_types.Completion),
    ("/v1/completions", True): ({"model": MODEL, "prompt": "Once", **SHORT, "stream": True}, openai_types.Completion),
    ("/v1/completions", "usage"): (
        {"model": MODEL, "prompt": "Once", **SHORT, "stream": True, "stream_options": {"include_usage": True}},
        openai_types.Completion,
    ),
    ("/v1/embeddings", False): ({"model": MODEL, "input": "Hello"}, openai_types.CreateEmbeddingResponse),
    (f"/v1/models/{MODEL}", False): (None, openai_types.Model),
}
OLLAMA = {
    ("/api/chat", False): (CHAT | NATIVE | {"stream": False, "logprobs": True}, ollama.ChatResponse),
    ("/api/chat", True): (CHAT | NATIVE, ollama.ChatResponse),
    ("/api/generate", False): ({"model": MODEL, "prompt": "Hi", "stream": False, **NATIVE}, ollama.GenerateResponse),
    ("/api/generate", True): ({"model": MODEL, "prompt": "Hi", **NATIVE}, ollama.GenerateResponse),
    ("/api/embed", False): ({"model": MODEL, "input": "Hello"}, ollama.EmbedResponse),
    ("/api/embeddings", False): ({"model": MODEL, "prompt": "Hello"}, ollama.EmbeddingsResponse),
    ("/api/tags", False): (None, ollama.ListResponse),
    ("/api/ps", False): (None, ollama.ProcessResponse),
    ("/api/show", False): ({"model": MODEL}, ollama.ShowResponse),
    ("/api/pull", True): ({"model": MODEL}, ollama.ProgressResponse),
    ("/api/pull", False): ({"model": MODEL, "stream": False}, ollama.ProgressResponse),
    ("/api/create", True): ({"model": "shape", "from": MODEL}, ollama.ProgressResponse),
    ("/api/create", False): ({"model": "shape", "from": MODEL, "stream": False}, ollama.ProgressResponse),
}


@pytest.mark.parametrize(("where", "what"), [*OPENAI.items(), *OLLAMA.items()], ids=str)
def test_answers_have_the_published_fields(served, where, what):
    (path, _), (body, kind) = where, what
    found = events(answer(served, path, body))
    assert found
    for raw in found:
        if kind is openai_types.Completion and raw["choices"]:  # null until the end, which the type does not know
            raw["choices"][0]["finish_reason"] = raw["choices"][0]["finish_reason"] or "stop"
        made = kind.model_validate(raw)  # says what is missing or of the wrong type
        assert set(unknown(raw, made)) <= NOT_IN_THE_TYPES
        if where in OPENAI:
            required = {name for name, field in kind.model_fields.items() if field.is_required()}
            assert required <= raw.keys()
    if where == ("/v1/completions", "usage"):
        assert found[-1]["choices"] == [] and found[-1]["usage"]["completion_tokens"] > 0
    if path in ("/api/chat", "/api/generate"):
        times = {"total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count"}
        assert times | {"eval_duration", "created_at", "done_reason", "model"} <= found[-1].keys()
        assert all(isinstance(found[-1][name], int) for name in times)


def test_a_list_of_models_has_openais_fields(served):
    raw = json.loads(answer(served, "/v1/models"))
    assert raw.keys() == {"object", "data"} and raw["object"] == "list"
    assert [unknown(row, openai_types.Model.model_validate(row)) for row in raw["data"]] == [[]] * len(raw["data"])


def test_ollamas_smallest_answers(served):
    assert json.loads(answer(served, "/api/version")).keys() == {"version"}
    answer(served, "/api/create", {"model": "shape", "from": MODEL})
    assert answer(served, "/api/copy", {"source": "shape", "destination": "shape-2"}) == ""
    for name in ("shape", "shape-2"):
        assert answer(served, "/api/delete", {"model": name}, "DELETE") == ""


@pytest.mark.parametrize(
    ("path", "body", "shape"),
    [
        ("/v1/chat/completions", CHAT | {"model": "x"}, {"error": {"message", "type", "param", "code"}}),
        ("/v1/completions", {"model": MODEL}, {"error": {"message", "type", "param", "code"}}),
        ("/chat/completions", CHAT | {"model": "x"}, {"error": {"code", "message", "status"}}),
        ("/embeddings", {"input": []}, {"error": {"code", "message", "status"}}),
        ("/api/chat", CHAT | {"model": "x"}, {"error": None}),
        ("/api/create", {"model": "x"}, {"error": None}),
    ],
)
def test_errors_have_the_published_fields(served, path, body, shape):
    with pytest.raises(urllib.error.HTTPError) as caught:
        answer(served, path, body)
    raw = json.loads(caught.value.read())
    assert raw.keys() == shape.keys()
    if shape["error"] is None:
        assert isinstance(raw["error"], str)
    else:
        assert (
            raw["error"].keys() == shape["error"] and raw["error"].get("status", caught.value.code) == caught.value.code
        )


def rest_names(kind):
    return {field._rest_name for field in kind({})._attr_to_rest_field.values()}


@pytest.mark.parametrize(
    ("path", "body", "kind", "more"),
    [
        ("/chat/completions", CHAT | SHORT, ChatCompletions, {"object"}),
        ("/chat/completions", CHAT | SHORT | {"stream": True}, StreamingChatCompletionsUpdate, {"object"}),
        ("/embeddings", {"input": ["Hello"], "model": MODEL}, EmbeddingsResult, {"object"}),
        ("/info", None, ModelInfo, set()),
    ],
)
def test_azures_answers_have_the_published_fields(served, path, body, kind, more):
    for raw in events(answer(served, path, body)):
        assert raw.keys() - more <= rest_names(kind)
        assert rest_names(kind) - raw.keys() <= {"id", "usage"}
