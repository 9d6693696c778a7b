"""Every method of the official clients that the course uses, in both their kinds, whole and streamed."""

import asyncio
import json

import ollama
import openai
import pytest
from azure.ai.inference import ChatCompletionsClient
from azure.ai.inference.aio import ChatCompletionsClient as AsyncChatCompletionsClient
from azure.ai.inference.aio import EmbeddingsClient as AsyncEmbeddingsClient
from azure.ai.inference.models import DeveloperMessage, JsonSchemaFormat, UserMessage
from azure.core.credentials import AzureKeyCredential
from azure.core.pipeline.transport import AsyncioRequestsTransport  # the one that needs no other package
from pydantic import BaseModel

from utils import pocket, server

MODEL = "pocket-phi-3-mini"
ASKED = [{"role": "user", "content": "What is an SLM?"}]
SHORT = {"max_tokens": 6, "temperature": 0}
NATIVE = {"num_predict": 6, "temperature": 0}
BOOKING = [{"role": "user", "content": "Booking as JSON: Mara Keller wants 2 beds on Friday."}]


class Booking(BaseModel):
    """What a learner would ask for."""

    name: str
    beds: int
    tags: list[str]
    prices: dict[str, int]


@pytest.fixture(scope="module")
def served():
    server_ = server.start()
    yield server_
    server_.stop()


@pytest.fixture
def client(served):
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="x", max_retries=0) as client:
        yield client


def test_openai_asynchronously(served, client):
    async def all_of_them():
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="x") as there:
            chat = {"model": MODEL, "messages": ASKED, **SHORT}
            text = {"model": MODEL, "prompt": "Once upon", **SHORT}
            whole = (await there.chat.completions.create(**chat)).choices[0].message.content
            events = [event async for event in await there.chat.completions.create(**chat, stream=True)]
            assert "".join(event.choices[0].delta.content or "" for event in events) == whole
            goes_on = (await there.completions.create(**text)).choices[0].text
            events = [event async for event in await there.completions.create(**text, stream=True)]
            assert "".join(event.choices[0].text for event in events) == goes_on
            vectors = await there.embeddings.create(model=MODEL, input=["a hut", "a hill"])
            assert [len(row.embedding) for row in vectors.data] == [256, 256]
            assert [row.id async for row in there.models.list()] == list(pocket.NAMES)
            assert (await there.models.retrieve(MODEL)).id == MODEL
            return whole, goes_on

    whole, goes_on = asyncio.run(all_of_them())
    assert client.chat.completions.create(model=MODEL, messages=ASKED, **SHORT).choices[0].message.content == whole
    assert client.completions.create(model=MODEL, prompt="Once upon", **SHORT).choices[0].text == goes_on


def test_ollama_asynchronously(served):
    async def all_of_them():
        there = ollama.AsyncClient(served.url)
        whole = (await there.chat(MODEL, ASKED, options=NATIVE)).message.content
        parts = [part async for part in await there.chat(MODEL, ASKED, options=NATIVE, stream=True)]
        assert "".join(part.message.content for part in parts) == whole
        told = (await there.generate(MODEL, "What is an SLM?", options=NATIVE)).response
        parts = [part async for part in await there.generate(MODEL, "What is an SLM?", options=NATIVE, stream=True)]
        assert "".join(part.response for part in parts) == told == whole
        assert [len(vector) for vector in (await there.embed(MODEL, ["a", "b"])).embeddings] == [256, 256]
        assert len((await there.embeddings(MODEL, "a")).embedding) == 256
        assert (await there.create("made", from_=MODEL, system="Be short.")).status == "success"
        assert (await there.copy("made", "made-2")).status == "success"
        assert (await there.show("made-2")).modelfile.count("Be short.") == 1
        assert {"made:latest", "made-2:latest"} <= {row.model for row in (await there.list()).models}
        for name in ("made", "made-2"):
            assert (await there.delete(name)).status == "success"
        assert [part.status async for part in await there.create("made", from_=MODEL, stream=True)][-1] == "success"
        await there.delete("made")
        assert (await there.pull(MODEL)).status == "success"
        assert [part.status async for part in await there.pull(MODEL, stream=True)][-1] == "success"
        assert [row.model for row in (await there.ps()).models] == [f"{MODEL}:latest"]

    asyncio.run(all_of_them())


def test_azure_asynchronously(served):
    async def all_of_them():
        async with AsyncChatCompletionsClient(
            served.url, AzureKeyCredential("x"), transport=AsyncioRequestsTransport()
        ) as there:
            whole = (await there.complete(messages=ASKED, model=MODEL, **SHORT)).choices[0].message.content
            events = [e async for e in await there.complete(messages=ASKED, model=MODEL, stream=True, **SHORT)]
            assert "".join(e.choices[0].delta.content or "" for e in events if e.choices) == whole
            assert (await there.get_model_info()).model_name == MODEL
        async with AsyncEmbeddingsClient(
            served.url, AzureKeyCredential("x"), transport=AsyncioRequestsTransport()
        ) as there:
            assert len((await there.embed(input=["a hut"], model=MODEL)).data[0].embedding) == 256

    asyncio.run(all_of_them())


@pytest.mark.parametrize("temperature", [None, 0, 1.7])
def test_openais_helpers_parse_what_the_schema_binds(client, temperature):
    options = {} if temperature is None else {"temperature": temperature}
    asked = {"model": MODEL, "messages": BOOKING, "response_format": Booking, **options}
    assert isinstance(client.chat.completions.parse(**asked).choices[0].message.parsed, Booking)
    with client.chat.completions.stream(**asked) as stream:
        for _ in stream:
            pass
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Booking)


@pytest.mark.parametrize("temperature", [None, 0, 1.7])
def test_every_format_asks_for_json_in_its_own_way(served, client, temperature):
    options = {} if temperature is None else {"temperature": temperature}
    json_object = {"type": "json_object"}
    answer = client.chat.completions.create(model=MODEL, messages=BOOKING, response_format=json_object, **options)
    assert answer.choices[0].finish_reason == "stop"
    assert isinstance(json.loads(answer.choices[0].message.content), dict)
    with ChatCompletionsClient(served.url, AzureKeyCredential("x")) as azure:
        answer = azure.complete(messages=BOOKING, model=MODEL, response_format="json_object", **options)
        assert isinstance(json.loads(answer.choices[0].message.content), dict)
        form = JsonSchemaFormat(name="booking", schema=Booking.model_json_schema(), strict=True)
        answer = azure.complete(messages=BOOKING, model=MODEL, response_format=form, **options)
        Booking.model_validate_json(answer.choices[0].message.content)
    native = ollama.Client(served.url)
    answer = native.chat(MODEL, BOOKING, format="json", options=options)
    assert answer.done_reason == "stop" and isinstance(json.loads(answer.message.content), dict)
    answer = native.generate(MODEL, BOOKING[0]["content"], format=Booking.model_json_schema(), options=options)
    Booking.model_validate_json(answer.response)


def test_an_answer_is_cut_off_only_where_it_was_asked_for_or_at_the_end_of_the_context(client):
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "string", "minLength": 1000}}}
    asked = {"model": MODEL, "messages": ASKED, "response_format": form}
    short = client.chat.completions.create(**asked, max_tokens=5)
    assert short.usage.completion_tokens == 5 and short.choices[0].finish_reason == "length"
    whole = client.chat.completions.create(**asked, temperature=0)
    assert whole.choices[0].finish_reason == "stop" or whole.usage.total_tokens >= 1024


def test_the_developers_message_is_the_systems(served, client):
    system, developer = ([{"role": role, "content": "Be short."}, *ASKED] for role in ("system", "developer"))
    asked = {"model": MODEL, "temperature": 0, "max_tokens": 6}
    answers = [client.chat.completions.create(messages=messages, **asked) for messages in (system, developer)]
    assert answers[0].choices[0].message.content == answers[1].choices[0].message.content
    assert answers[0].usage == answers[1].usage
    with ChatCompletionsClient(served.url, AzureKeyCredential("x")) as azure:
        messages = [DeveloperMessage("Be short."), UserMessage("What is an SLM?")]
        assert azure.complete(messages=messages, **asked).usage.prompt_tokens == answers[0].usage.prompt_tokens


def test_tools_that_are_not_to_be_used_do_no_harm(client):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    answer = client.chat.completions.create(model=MODEL, messages=ASKED, tools=tools, tool_choice="none", **SHORT)
    assert answer.choices[0].message.content
    with pytest.raises(openai.BadRequestError, match="tools: the course server cannot do this"):
        client.chat.completions.create(model=MODEL, messages=ASKED, tools=tools, **SHORT)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"echo": True}, "echo: the course server cannot do this"),
        ({"best_of": 3}, "best_of: the course server cannot do this"),
        ({"prompt": [1, 2, 3]}, "prompt: send texts, not token ids"),
        ({"prompt": [[1, 2], [3]]}, "prompt: send texts, not token ids"),
    ],
)
def test_what_a_completion_cannot_do_is_said(client, given, said):
    with pytest.raises(openai.BadRequestError, match=said):
        client.completions.create(**{"model": MODEL, "prompt": "Once", **SHORT} | given)
    assert client.completions.create(model=MODEL, prompt="Once", echo=False, best_of=1, **SHORT).choices[0].text


def test_token_ids_and_blanks_have_no_vector(client):
    with pytest.raises(openai.BadRequestError, match=r"input: send texts, not token ids \(in LangChain"):
        client.embeddings.create(model=MODEL, input=[[1, 2], [3]])
    with pytest.raises(openai.BadRequestError, match="An input is empty"):
        client.embeddings.create(model=MODEL, input=["hut", "  "])


def test_two_models_answer_at_the_same_time(served):
    names = list(pocket.NAMES)[:2]
    assert len(names) == 2

    async def ask(name):
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="x") as there:
            answer = await there.chat.completions.create(model=name, messages=ASKED, temperature=0, max_tokens=40)
            return answer.choices[0].message.content

    async def all_of_them():
        return await asyncio.gather(*(ask(name) for name in names * 3))

    together = asyncio.run(all_of_them())
    alone = [asyncio.run(ask(name)) for name in names]
    assert together == alone * 3 and alone[0] != alone[1]
    assert {*names} <= {row.model.removesuffix(":latest") for row in ollama.Client(served.url).ps().models}


def test_a_model_leaves_the_memory_for_one_that_does_not_fit_beside_it():
    names = list(pocket.NAMES)[:2]
    sizes = [2 * (pocket.folder(name) / "model.safetensors").stat().st_size / 1e9 for name in names]
    small = server.start(memory=max(sizes) * 1.01)
    try:
        client = ollama.Client(small.url)
        for name in (*names, names[0]):
            assert client.chat(name, ASKED, options=NATIVE).message.content
            assert [row.model for row in client.ps().models] == [f"{name}:latest"]
    finally:
        small.stop()
