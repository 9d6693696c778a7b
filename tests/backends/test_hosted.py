"""What the routes to a server promise, asked of each through its own client library, over the course server."""

import gc
import json
import threading

import psutil
import pytest

from utils import Options, catalog, complete, connect
from utils.backends import address, images
from utils.errors import BadInput, TooLong, UnknownModel

MODEL = "pocket-phi-3-mini"
QUESTION = "Tell me a story about a fox."
TURN = [{"role": "user", "content": QUESTION}]
ROUTES = ["ollama", "nim", "github-models", "foundry", "github-models openai", "foundry openai"]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)


def connected(wanted):
    route, _, client = wanted.partition(" ")
    return connect(route, MODEL, mode="offline", client=client or None)


@pytest.fixture(scope="module", params=ROUTES)
def backend(request):
    backend = connected(request.param)
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def local():
    backend = connect("onnx", MODEL, mode="offline")
    yield backend
    backend.close()


@pytest.mark.parametrize("prompt", [QUESTION, "What does SLM mean?", "Grüße 你好 🦊 مرحبا", "a\u2028b"])
def test_the_answer_is_the_local_models_token_for_token(backend, local, prompt):
    options = Options(max_tokens=40)
    there, here = complete(backend, prompt, options), complete(local, prompt, options)
    assert (there.text, there.tokens, there.prompt_tokens) == (here.text, here.tokens, here.prompt_tokens)
    assert there.finish_reason == here.finish_reason and there.badge == "POCKET"
    assert there.backend == backend.name and there.model == MODEL
    assert 0 < there.first_token_s <= there.total_s and len(there.arrivals) > 5


@pytest.mark.parametrize("n", [1, 2, 7])
def test_max_tokens_is_exact(backend, n):
    answer = complete(backend, QUESTION, Options(max_tokens=n))
    assert answer.tokens == n and answer.finish_reason == "length"


def test_sampling_options_reach_the_model(backend, local):
    for options in (
        Options(max_tokens=30, temperature=1.5, seed=5),
        Options(max_tokens=30, temperature=1.0, top_p=0.5, seed=6),
    ):
        assert complete(backend, QUESTION, options).text == complete(local, QUESTION, options).text


def test_the_answer_ends_before_a_stop_text(backend):
    whole = complete(backend, QUESTION, Options(max_tokens=40)).text
    stop = whole[len(whole) // 2 :][:3]
    answer = complete(backend, QUESTION, Options(max_tokens=40, stop=("never said", stop)))
    assert answer.text == whole[: whole.index(stop)] and answer.finish_reason == "stop"


def test_a_schema_binds_the_answer(backend):
    schema = {"type": "object", "properties": {"beds": {"enum": [1, 2]}}, "required": ["beds"]}
    schema["additionalProperties"] = False
    said = json.loads(complete(backend, "How many beds are free?", Options(schema=schema)).text)
    assert said["beds"] in (1, 2)


def test_a_conversation_is_sent_whole(backend, local):
    talk = [
        {"role": "system", "content": "Answer in one sentence."},
        {"role": "user", "content": "Hello!"},
        {"role": "assistant", "content": "Hello! How can I help you?"},
        {"role": "user", "content": [{"type": "text", "text": "What does SLM mean?"}]},
    ]
    options = Options(max_tokens=40)
    assert complete(backend, talk, options).text == complete(local, talk, options).text


def test_two_answers_at_the_same_time_do_not_mix(backend):
    prompts = [[{"role": "user", "content": text}] for text in (QUESTION, "What is an SLM?")]
    alone = ["".join(chunk.text for chunk in backend.stream(prompt, Options(max_tokens=20))) for prompt in prompts]
    mixed = ["", ""]

    def ask(number):
        mixed[number] = "".join(chunk.text for chunk in backend.stream(prompts[number], Options(max_tokens=20)))

    threads = [threading.Thread(target=ask, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mixed == alone


def test_an_answer_that_is_stopped_half_way_leaves_the_backend_usable(backend):
    whole = complete(backend, QUESTION, Options(max_tokens=20)).text
    stream = backend.stream(TURN, Options(max_tokens=500))
    next(stream)
    stream.close()
    assert complete(backend, QUESTION, Options(max_tokens=20)).text == whole


def test_what_the_server_refuses_is_said(backend):
    with pytest.raises(TooLong, match=r"can hold 1,024"):
        complete(backend, "hut " * 3000)
    picture = [{"type": "text", "text": "What is it?"}, {"type": "image", "image": PNG}]
    with pytest.raises(BadInput, match="cannot look at pictures"):
        complete(backend, [{"role": "user", "content": picture}])


@pytest.mark.parametrize("route", ROUTES)
def test_connecting_again_and_again_costs_no_memory(route):
    def once():
        backend = connected(route)
        complete(backend, QUESTION, Options(max_tokens=2))
        backend.close()

    once()
    gc.collect()
    before = psutil.Process().memory_info().rss
    for _ in range(20):
        once()
    gc.collect()
    assert psutil.Process().memory_info().rss < 1.1 * before


# ---- which model, which client


def test_a_client_that_a_route_does_not_have_is_refused():
    with pytest.raises(BadInput, match=r"no client 'grpc'\. It has: azure-ai-inference, openai\."):
        connect("github-models", mode="offline", client="grpc")
    with pytest.raises(BadInput, match=r"The route onnx has no client 'openai'\. It has only one\."):
        connect("onnx", mode="offline", client="openai")


def test_an_address_that_speaks_openai_is_asked_by_openais_client(monkeypatch):
    monkeypatch.setattr(address, "reachable", lambda url: True)
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", "k")
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", "https://x.openai.azure.com/openai/v1/")
    assert type(connect("foundry", mode="live")).__name__ == "OpenAIBackend"
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", "https://x.services.ai.azure.com/models")
    assert type(connect("foundry", mode="live")).__name__ == "AzureBackend"


def test_a_model_that_a_route_does_not_have_is_named():
    with pytest.raises(UnknownModel, match=r"The route nim has no phi-4\. Did you mean 'phi-4-mini'"):
        connect("nim", "phi-4", mode="auto")
    with pytest.raises(BadInput, match="is a pocket model, but mode 'live'"):
        connect("nim", MODEL, mode="live")
    with pytest.raises(BadInput, match=r"phi-4-mini is not a pocket model.*Try 'pocket-phi-3-mini'"):
        connect("nim", "phi-4-mini", mode="offline")


def test_a_real_model_that_cannot_be_reached_has_a_stand_in():
    backend = connect("nim", "phi-4-mini", mode="auto")
    assert (backend.source, backend.model) == ("pocket", MODEL)
    assert "phi-4" not in repr(backend)


def test_ollama_is_used_where_it_has_the_model(monkeypatch):
    monkeypatch.setattr(address, "reachable", lambda url: True)
    for there, source in ({"phi3.5", "phi3.5:latest"}, "live"), ({"llama3"}, "pocket"), (None, "pocket"):
        monkeypatch.setattr(address, "ollama_models", lambda url, there=there: there)
        assert connect("ollama", "phi-3.5-mini", mode="auto").source == source
    assert connect("ollama", "qwen2.5:0.5b", mode="auto").address.id == "qwen2.5:0.5b"


def test_a_server_of_ones_own_needs_no_key(monkeypatch):
    monkeypatch.setattr(address, "reachable", lambda url: True)
    monkeypatch.setenv("NVIDIA_BASE_URL", "http://10.0.0.5:8000/v1")
    backend = connect("nim", mode="live")
    assert (backend.source, backend.address.id) == ("live", catalog.load().models["phi-4-mini"].ids["nim"])


# ---- pictures


def test_pictures_become_data_urls(tmp_path):
    file = tmp_path / "hut.png"
    file.write_bytes(PNG)
    url = images.data_url(PNG)
    assert url.startswith("data:image/png;base64,iVBORw0KGgo") and images.data_url(url) == url
    assert images.data_url(file) == images.data_url(str(file)) == url
    assert images.data_url(b"\xff\xd8\xff" + bytes(9)).startswith("data:image/jpeg;")


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (b"no picture", "of no known kind"),
        ("data:image/png;base64,?", "holds no base64"),
        ("no-such-file.png", "cannot be read: No such file"),
        ("a\0b", "cannot be read"),
        (5, "A picture is bytes, a file name or a data URL, not 5"),
        (None, "not None"),
    ],
)
def test_what_is_no_picture_is_refused(image, said):
    with pytest.raises(BadInput, match=said):
        images.data_url(image)


def test_a_picture_that_is_too_large_is_not_sent():
    with pytest.raises(BadInput, match=r"takes 100,1\d\d characters, but this service takes 90,000"):
        images.data_url(PNG + bytes(75_000), 90_000)
