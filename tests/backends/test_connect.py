import os
import socket
import sys

import openai
import pytest
from loopback import KEYS, VARIABLES, WIRES, FaultServer, answer, head

from utils import Options, catalog, complete, connect, locate, pocket, routes
from utils.errors import BadInput, BadModel, NotInstalled


@pytest.mark.parametrize(
    ("route", "hint"),
    [
        ("onx", "Did you mean 'onnx'?"),
        ("smoke-signals", f"There are: {', '.join(catalog.load().routes)}."),
        ("", f"There are: {', '.join(catalog.load().routes)}."),
    ],
)
def test_an_unknown_route_is_named_with_the_known_ones(route, hint):
    with pytest.raises(BadInput) as caught:
        connect(route)
    assert str(caught.value) == f"There is no route {route!r}. {hint}"


@pytest.mark.parametrize("route", [None, 5, ["onnx"], {}])
def test_what_is_no_route_at_all_is_refused(route):
    with pytest.raises(BadInput, match=r"^There is no route .*(There are: |Did you mean .)onnx"):
        connect(route)


@pytest.mark.parametrize("model", [5, b"pocket-phi-3-mini", ["pocket-phi-3-mini"]])
def test_what_is_no_model_at_all_is_refused(model):
    for route in ("onnx", "nim"):
        with pytest.raises(BadInput, match=r"^A model is a name or a folder, not "):
            connect(route, model)


def test_an_unknown_mode_is_named_with_where_it_came_from(monkeypatch):
    with pytest.raises(BadInput, match=r"^mode is 'off', but it must be one of auto, offline, live\.$"):
        connect("onnx", mode="off")
    monkeypatch.setenv("SLM_MODE", "airplane")
    with pytest.raises(BadInput, match=r"^SLM_MODE is 'airplane', but it must be one of"):
        connect("onnx")


def test_slm_mode_is_the_default(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("SLM_MODE", "live")
    with pytest.raises(NotInstalled):
        connect("onnx")
    assert connect("onnx", mode="offline").source == "pocket"


def test_a_setting_that_only_some_routes_have():
    with pytest.raises(BadInput, match=r"^The route onnx has no setting 'num_ctx'\. It has none\.$"):
        connect("onnx", mode="offline", num_ctx=2048)
    with pytest.raises(BadInput, match=r"^The route ollama has no setting 'num_ctxt'\. Did you mean 'num_ctx'\?$"):
        connect("ollama", mode="offline", num_ctxt=2048)
    with pytest.raises(BadInput, match="OpenVINO finds no NPU"):
        connect("openvino", mode="offline", device="npu")
    for wrong in ("abc", -1, 0, 1.5, True):
        with pytest.raises(BadInput, match=r"^num_ctx is .*, but it must be a whole number, 1 or more\.$"):
            connect("ollama", mode="offline", num_ctx=wrong)
        with pytest.raises(BadInput, match=r"^slots is .*, but it must be a whole number, 1 or more\.$"):
            connect("llama.cpp", mode="offline", slots=wrong)
    backend = connect("ollama", mode="offline", num_ctx=2048, keep_alive="1m")
    assert (backend.num_ctx, backend.keep_alive) == (2048, "1m")
    backend.close()


def test_whom_to_ask_is_told_to_those_who_ask_by_themselves(monkeypatch):
    monkeypatch.setenv("no_proxy", "example.org")
    place = locate("github-models", mode="offline")
    assert (place.model, place.id, place.source, place.key) == (
        "pocket-phi-3-mini",
        "pocket-phi-3-mini",
        "pocket",
        None,
    )
    client = openai.OpenAI(base_url=place.openai, api_key="none")
    assert place.id in [one.id for one in client.models.list()]
    assert os.environ["no_proxy"] == "example.org,127.0.0.1"  # their clients go straight to this machine, too
    monkeypatch.setenv("NVIDIA_BASE_URL", f"{place.url}/v1")
    monkeypatch.setenv("NVIDIA_API_KEY", "nvapi-secret")
    live = locate("nim", "phi-4-mini", mode="live")
    assert (live.source, live.id, live.key, live.openai) == (
        "live", "microsoft/phi-4-mini-instruct", "nvapi-secret", f"{place.url}/v1",
    )  # fmt: skip
    assert "secret" not in repr(live)
    with pytest.raises(BadInput, match=r"^On the route onnx the model runs in this process"):
        locate("onnx")
    with pytest.raises(BadInput, match="There is no route 'onix'"):
        locate("onix")


SETUP = "python -m utils setup"


@pytest.mark.parametrize(
    ("route", "package", "fix"),
    [
        ("onnx", "onnxruntime-genai", SETUP),
        ("transformers", "torch", SETUP),
        ("openvino", "openvino-genai", "python -m utils setup openvino"),
        ("mlx", "mlx[cpu]", "python -m utils setup mlx"),
        ("llama.cpp", "xllamacpp", "python -m utils setup llama-cpp"),
        ("ollama", "ollama", SETUP),
        ("nim", "openai", SETUP),
        ("github-models", "azure-ai-inference", SETUP),
    ],
)
def test_a_missing_package_is_named(monkeypatch, route, package, fix):
    imported = next(name for name, p in catalog.load().routes[route].packages.items() if p == package)
    monkeypatch.setitem(sys.modules, imported, None)
    monkeypatch.delitem(sys.modules, catalog.load().routes[route].module, raising=False)
    with pytest.raises(NotInstalled) as caught:
        connect(route, mode="offline")
    assert str(caught.value) == (
        f"The route {route} needs the package {package}, which is missing or broken. Run `{fix}`."
    )


@pytest.mark.parametrize("route", ["onnx", "transformers"])
def test_missing_weights_are_said_by_every_route(monkeypatch, tmp_path, route):
    monkeypatch.setattr(pocket, "folder", lambda name: tmp_path / name)
    with pytest.raises(BadModel, match="There is no model folder"):
        connect(route, mode="offline")


OURSELVES = {"llama.cpp", "ollama", "nim", "github-models", "foundry"}  # these talk to a server on this machine


@pytest.mark.parametrize("route", routes())
def test_offline_means_that_no_connection_is_tried(monkeypatch, route):
    def guarded(real):
        def guard(*arguments, **named):
            here = str(arguments).count("127.0.0.1") and route in OURSELVES
            assert here, f"a connection was tried: {arguments}"
            return real(*arguments, **named)

        return guard

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
    monkeypatch.setattr(socket, "getaddrinfo", guarded(socket.getaddrinfo))
    for key in KEYS.values():
        monkeypatch.setenv(key, "nvapi-x")  # a key changes nothing
    backend = connect(route, mode="offline")
    assert complete(backend, "What is an SLM?", Options(max_tokens=5)).source == "pocket"
    backend.close()


def test_routes_are_those_whose_packages_are_here(monkeypatch):
    mlx = [] if sys.platform == "win32" else ["mlx"]  # it has no build for Windows
    hosted = ["ollama", "nim", "github-models", "foundry"]
    assert routes() == ["onnx", "transformers", "llama.cpp", "openvino", *mlx, *hosted]
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    assert routes() == ["onnx", "transformers", "openvino", *mlx, *hosted]


def test_one_cell_asks_every_route():
    answers = {complete(connect(route, mode="offline"), "What does SLM mean?").text for route in routes()}
    assert len(answers) == 1


def test_the_same_cell_needs_neither_mode_nor_network(monkeypatch, tmp_path):
    """As it stands in a notebook; nothing is set, and no name can be looked up."""

    def no_network(host, *arguments, **named):
        if host not in ("127.0.0.1", "localhost"):
            raise socket.gaierror("Temporary failure in name resolution")
        return found(host, *arguments, **named)

    found = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.delenv("SLM_MODE")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")  # whoever runs the tests may run Ollama
    answers = [complete(connect(route), "What does SLM mean?") for route in routes()]
    assert len({answer.text for answer in answers}) == 1 and {answer.badge for answer in answers} == {"POCKET"}


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: f"{wire.route} {wire.client or ''}".strip())
def test_the_same_cell_calls_a_service_where_a_key_exists(monkeypatch, wire):
    listing = head(200, "application/json") + b'{"models": [{"name": "phi3.5:latest"}]}'
    server = FaultServer([answer(wire, "Hi")], listing)
    monkeypatch.delenv("SLM_MODE")
    monkeypatch.setenv(VARIABLES[wire.route], server.url)
    monkeypatch.setenv(KEYS[wire.route], "Secret-1")
    backend = connect(wire.route, client=wire.client)
    result = complete(backend, "What does SLM mean?")
    assert (result.badge, result.text) == ("LIVE", "Hi")
    assert "Secret-1" in str(server.requests[0].headers)
    backend.close()
    server.close()
