"""How a route finds its server, its model and its client, and what becomes of pictures."""

import http.server
import json
import threading
import time
from contextlib import closing

import pytest
from loopback import FaultServer, head

from utils import catalog, complete, connect
from utils.backends import address, hosted, images
from utils.core import Chunk
from utils.errors import BadInput, Retired, TimedOut, UnknownModel

MODEL = "pocket-phi-3-mini"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)


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
    with pytest.raises(BadInput, match=r"phi-4-mini is not a pocket model.*Try 'pocket-phi-3.5-mini'"):
        connect("nim", "phi-4-mini", mode="offline")


def test_a_real_model_that_cannot_be_reached_has_a_stand_in():
    for named, stand_in in (
        ("phi-4-mini", "pocket-phi-3.5-mini"),
        ("phi-3.5-mini", "pocket-phi-3.5-mini"),
        (None, MODEL),
    ):
        backend = connect("nim", named, mode="auto")
        assert (backend.source, backend.model) == ("pocket", stand_in)
        assert "phi-4" not in repr(backend)


def test_ollama_is_used_where_it_has_the_model(monkeypatch):
    monkeypatch.setattr(address, "reachable", lambda url: True)
    for there, source in ({"phi3.5", "phi3.5:latest"}, "live"), ({"llama3"}, "pocket"), (None, "pocket"):
        monkeypatch.setattr(address, "ollama_models", lambda url, there=there: there)
        assert connect("ollama", "phi-3.5-mini", mode="auto").source == source
    assert connect("ollama", "qwen2.5:0.5b", mode="auto").address.id == "qwen2.5:0.5b"


def test_only_a_service_may_want_money(monkeypatch):
    monkeypatch.setattr(address, "reachable", lambda url: True)
    monkeypatch.setattr(address, "ollama_models", lambda url: {"phi3.5"})
    monkeypatch.setenv("NVIDIA_API_KEY", "nvapi-1")
    assert connect("nim", mode="live").paid and not connect("nim", mode="offline").paid
    assert not connect("ollama", "phi-3.5-mini", mode="live").paid


class Ollama(http.server.BaseHTTPRequestHandler):
    """An Ollama server that wants a key, or sends one elsewhere."""

    elsewhere = ""
    asked: list = []  # noqa: RUF012 - for the tests to look at

    def do_GET(self):
        key = self.headers.get("Authorization")
        self.asked.append(key)
        self.send_response(302 if self.elsewhere else 200 if key == "Bearer Secret-1" else 401)
        if self.elsewhere:
            self.send_header("Location", self.elsewhere)
        self.end_headers()
        self.wfile.write(json.dumps({"models": [{"name": "phi3.5:latest"}]}).encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def guarded(monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ollama) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OLLAMA_HOST", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(Ollama, "asked", [])
        yield Ollama
        server.shutdown()


def test_an_ollama_server_is_given_its_key_when_it_is_looked_for(guarded, monkeypatch):
    assert connect("ollama", "phi-3.5-mini", mode="auto").source == "pocket"
    monkeypatch.setenv("OLLAMA_API_KEY", "Secret-1")
    assert connect("ollama", "phi-3.5-mini", mode="auto").source == "live"


def test_28_a_key_is_not_carried_to_another_address(guarded, monkeypatch):
    monkeypatch.setenv("OLLAMA_API_KEY", "Secret-1")
    other = FaultServer([b""], listing=head(200, "application/json") + b'{"models": [{"name": "phi3.5"}]}')
    heard = []
    monkeypatch.setattr(other, "_serve", lambda connection: heard.append(connection.recv(65536)))
    monkeypatch.setattr(guarded, "elsewhere", f"{other.url}/api/tags")
    assert connect("ollama", "phi-3.5-mini", mode="auto").source == "pocket"
    assert guarded.asked == ["Bearer Secret-1"] and not heard
    other.close()


def test_what_is_no_http_at_all_is_no_ollama(monkeypatch):
    server = FaultServer([b""], listing=b"220 mail.example.org\r\n")
    monkeypatch.setenv("OLLAMA_HOST", server.url)
    assert connect("ollama", "phi-3.5-mini", mode="auto").source == "pocket"
    server.close()


@pytest.mark.parametrize("name", ["phi-3.5-moe", "phi-3.5-vision", "phi-4-mini", "my-own"])
def test_a_deployment_may_have_any_name(monkeypatch, name):
    known = {"phi-4-mini": "Phi-4-mini-instruct"}.get(name, name)
    if name != "my-own":
        assert connect("foundry", name, mode="auto").source == "pocket"
    monkeypatch.setattr(address, "reachable", lambda url: True)
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", "k")
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", "https://x.services.ai.azure.com/models")
    backend = connect("foundry", name, mode="live")
    assert (backend.model, backend.address.id, backend.source) == (name, known, "live")


def test_a_service_that_is_closed_says_so_and_what_to_use_instead(monkeypatch):
    for key in ("", "ghp_x"):
        monkeypatch.setenv("GITHUB_TOKEN", key)
        with pytest.raises(Retired, match=r"switched off\. GitHub closed .* on 2026-07-30\. Use the route"):
            connect("github-models", mode="live")
        assert connect("github-models", mode="auto").source == "pocket"


@pytest.mark.parametrize(
    ("route", "given", "why"),
    [
        ("ollama", {}, None),
        ("nim", {}, "no key"),
        ("nim", {"NVIDIA_API_KEY": "k"}, None),
        ("nim", {"NVIDIA_BASE_URL": "http://10.0.0.5:8000/v1"}, None),
        ("github-models", {"GITHUB_TOKEN": "k"}, "retired"),
        ("github-models", {"GITHUB_MODELS_ENDPOINT": "http://10.0.0.5:8000"}, None),
        ("foundry", {"AZURE_INFERENCE_CREDENTIAL": "k"}, "no endpoint"),
        ("foundry", {"AZURE_INFERENCE_ENDPOINT": "https://x.services.ai.azure.com/models"}, "no key"),
        ("foundry", {"AZURE_INFERENCE_ENDPOINT": "http://127.0.0.1:1"}, None),
    ],
)
def test_why_a_route_cannot_be_asked(monkeypatch, route, given, why):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert address.closed(catalog.load().routes[route]) == why


def test_a_server_of_ones_own_needs_no_key(monkeypatch):
    monkeypatch.setattr(address, "reachable", lambda url: True)
    monkeypatch.setenv("NVIDIA_BASE_URL", "http://10.0.0.5:8000/v1")
    backend = connect("nim", mode="live")
    assert (backend.source, backend.address.id) == ("live", catalog.load().models["phi-4-mini"].ids["nim"])


def test_what_else_a_client_can_do_raises_our_errors():
    with closing(connect("ollama", mode="offline")) as backend:
        with backend.sdk() as client:
            assert client.show(MODEL).modelinfo and client.embed(MODEL, "Hello").embeddings
            client.create("hutkeeper", from_=MODEL, system="You are the hut keeper.")
            assert "hutkeeper:latest" in [model.model for model in client.list().models]
        with (
            pytest.raises(UnknownModel, match="Ollama does not have that: There is no model 'nothing'"),
            backend.sdk() as client,
        ):
            client.show("nothing")
    with closing(connect("nim", mode="offline")) as backend, pytest.raises(BadInput), backend.sdk() as client:
        client.embeddings.create(model=MODEL, input="")


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


@pytest.mark.parametrize("data", [b"no picture", b"", PNG])
def test_what_cannot_be_opened_is_said_without_its_place_in_memory(data):
    with pytest.raises(BadInput, match="This is no picture that can be read") as caught:
        images.opened(data)
    assert "0x" not in str(caught.value)


def test_a_picture_that_is_too_large_is_not_sent():
    with pytest.raises(BadInput, match=r"takes 100,1\d\d characters, but this service takes 90,000"):
        images.data_url(PNG + bytes(75_000), 90_000)


class Late(hosted.HostedBackend):
    """Its first piece comes after the time limit, but before anyone has given up; there would be more."""

    first_s = 0.3

    def _ask(self, messages, options, watch):
        while not watch.late:
            time.sleep(0.001)
        yield Chunk("Half")
        yield Chunk(" an answer.", finish_reason="stop")

    def _read(self, error):
        raise error

    def models(self, watch=None):
        return []

    def _free(self):
        pass


def test_a_first_piece_that_comes_too_late_is_no_answer():
    row = catalog.load().routes["nim"]
    backend = Late(address.Address(route=row, model="x", source="live", id="x", url="http://127.0.0.1:1"))
    with pytest.raises(TimedOut, match="No answer within"):
        complete(backend, "Hello!")
