import http.server
import importlib.metadata
import os
import shutil
import sys
import threading
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest
from loopback import FaultServer, head

import utils
from utils import catalog, checkup
from utils import server as server_
from utils.checkup import Finding, doctor
from utils.pocket import export


@pytest.fixture
def server(monkeypatch):
    """A loopback server that answers as Ollama does, on a port of its own."""

    class Handler(http.server.BaseHTTPRequestHandler):
        body = b'{"models": [{"name": "phi3:mini"}, {"name": "x:latest"}]}'

        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.body)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setenv("OLLAMA_HOST", f"http://localhost:{running.server_port}")
        yield Handler
        running.shutdown()


def named(name, findings=None):
    return next(f for f in findings or doctor() if f.name == name)


def test_it_reports_what_the_lessons_need():
    findings = {f.name: f for f in doctor()}
    for name in (
        "Python",
        "torch",
        "transformers",
        "onnxruntime-genai",
        "jupyterlab",
        "ipywidgets",
        "Pocket models",
    ):
        assert findings[name].status == "ok", findings[name]
    assert set(findings) >= {"Memory", "Disk", "GPU", "Real Phi weights", "Ollama", "HF_TOKEN", "NVIDIA_API_KEY"}
    assert all(f.status == "ok" or f.fix for f in findings.values())


def test_an_npu_is_seen(monkeypatch, tmp_path):
    monkeypatch.setattr(checkup, "ACCELERATORS", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(checkup.platform, "system", lambda: "Linux")
    assert checkup._gpu().detail == "none, and none is needed"
    (tmp_path / "accel0").touch()
    assert "OPENVINO_DEVICE=NPU" in checkup._gpu().detail


def test_a_missing_or_old_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(checkup, "PACKAGES", {"no-such-package": "1.0", "ipywidgets": "99.0"})
    findings = doctor()
    assert named("no-such-package", findings) == Finding(
        "no-such-package", "missing", "not installed", "Run `python -m utils setup`."
    )
    old = named("ipywidgets", findings)
    assert old.status == "missing" and "99.0 needed" in old.detail and old.fix


def test_it_works_without_the_packages_it_looks_for(monkeypatch):
    for name in ("torch", "transformers", "onnxruntime_genai", "psutil"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(export.MAKER, "onnx", "a package that is not there")
    findings = doctor()
    assert named("Memory", findings).status == "warn"
    assert not [f for f in findings if f.name.endswith("as ONNX")]


def test_an_optional_runtime_is_there_or_the_command_for_it_is_told(monkeypatch):
    assert named("llama.cpp").status == "ok"
    found = importlib.metadata.version

    def version(name):
        if name == "openvino-genai":
            raise importlib.metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    fix = "Optional: `python -m utils setup openvino` adds the route openvino."
    assert named("OpenVINO GenAI") == Finding("OpenVINO GenAI", "warn", "not installed", fix, "missing package")


def test_the_provider_for_qualcomms_npus_is_there_or_how_to_get_it_is_told(monkeypatch):
    title, found = "Qualcomm QNN", checkup.find_spec
    monkeypatch.setattr(checkup, "find_spec", lambda name: None if name == "onnxruntime_qnn" else found(name))
    fix = named(title).fix
    assert named(title).detail == "not installed" and "Snapdragon" in fix
    assert "`python -m utils setup qnn`" in fix and "`python build.py --use_qnn --qnn_home PATH_OF_THE_QNN_SDK`" in fix
    monkeypatch.setattr(checkup, "find_spec", lambda name: name == "onnxruntime_qnn" or found(name))
    assert named(title) == Finding(title, "ok", "installed; ONNX_PROVIDER=qnn uses it for the route onnx")


def test_missing_weights_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("utils.pocket.home", lambda name: tmp_path / name)
    found = named("pocket-phi-3-mini")
    assert found.status == "missing" and "no model folder" in found.detail and "git checkout" in found.fix


def test_keys_are_set_or_not_and_never_shown(monkeypatch):
    monkeypatch.setenv("NVIDIA_API_KEY", "nvapi-this-must-not-be-seen")
    monkeypatch.setattr(catalog, "_dotenv", lambda file: {})
    monkeypatch.delenv("HF_TOKEN", raising=False)
    findings = doctor()
    assert named("NVIDIA_API_KEY", findings) == Finding("NVIDIA_API_KEY", "ok", "set")
    assert named("HF_TOKEN", findings).status == "warn" and named("HF_TOKEN", findings).detail == "not set"
    assert "must-not-be-seen" not in repr(findings)


def test_ollama_is_found_with_its_models(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # a proxy must not come between
    found = named("Ollama")
    assert found.status == "ok" and "phi3:mini" in found.detail


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"nothing": 1}', b"\xff", b""])
def test_something_else_on_that_port_is_not_ollama(server, body):
    server.body = body
    assert named("Ollama").status == "warn" and "something else answers" in named("Ollama").detail


@pytest.mark.parametrize("host", ["127.0.0.1:1", "http://192.0.2.7:11434", "no-such-host.invalid"])
def test_a_server_that_does_not_answer_is_not_waited_for(monkeypatch, host):
    monkeypatch.setenv("OLLAMA_HOST", host)
    monkeypatch.setenv("NVIDIA_API_KEY", "nvapi-x")
    before = time.monotonic()
    found = named("Ollama")
    assert time.monotonic() - before < 3
    assert (found.status, found.state) == ("warn", "not running")
    assert "does not answer at http://" in found.detail and "ollama serve" in found.fix


def test_an_address_that_is_none_is_said(monkeypatch):
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:port")
    assert "OLLAMA_HOST is '127.0.0.1:port', which is no address" in named("Ollama").fix


def test_what_a_hosted_route_lacks_is_said(server, monkeypatch):
    findings = doctor()
    assert "no key" in named("NVIDIA NIM", findings).detail
    said = "put the line `NVIDIA_API_KEY=...` into the file .env; https://build.nvidia.com makes keys."
    assert said in named("NVIDIA NIM", findings).fix
    assert "switched off" in named("GitHub Models", findings).detail
    assert "2026-07-30" in named("GitHub Models", findings).fix
    assert "AZURE_INFERENCE_ENDPOINT" in named("Microsoft (Azure AI) Foundry", findings).fix
    monkeypatch.setenv("GITHUB_MODELS_ENDPOINT", catalog.variable("OLLAMA_HOST"))
    assert named("GitHub Models").status == "ok"
    monkeypatch.setenv("NVIDIA_API_KEY", "“x”")
    assert "not plain ASCII" in named("NVIDIA NIM").fix


@pytest.mark.parametrize(
    ("title", "variable"), [("NVIDIA NIM", "NVIDIA_BASE_URL"), ("Ollama", "OLLAMA_HOST")], ids=["NIM", "Ollama"]
)
@pytest.mark.parametrize(
    ("said", "state", "detail"),
    [
        (b"", "not running", "does not answer at http://127"),
        (head(401, "application/json") + b"{}", "no key", "does not take the key"),
        (head(410, "application/json") + b"{}", "retired", "switched off"),
        (head(503, "text/html"), "not running", "does not answer at http://127"),
        (head(404, "application/json") + b"{}", "works", "answers at http://127"),
    ],
)
def test_an_open_port_alone_does_not_make_a_route_work(monkeypatch, title, variable, said, state, detail):
    server = FaultServer([b""], listing=said or b" ")
    monkeypatch.setenv(variable, f"{server.url}/v1" if title == "NVIDIA NIM" else server.url)
    monkeypatch.setenv("NVIDIA_API_KEY", "nvapi-x")
    found = named(title)
    if (title, state) == ("Ollama", "works"):  # it always has a list
        state, detail = "not running", "something else answers"
    assert found.state == state and detail in found.detail
    assert state != "no key" or found.fix in ("Optional: check NVIDIA_API_KEY.", "Optional: check OLLAMA_API_KEY.")
    server.close()


@pytest.mark.parametrize(
    ("title", "url", "key"),
    [
        ("NVIDIA NIM", "NVIDIA_BASE_URL", "NVIDIA_API_KEY"),
        ("GitHub Models", "GITHUB_MODELS_ENDPOINT", "GITHUB_TOKEN"),
        ("Microsoft (Azure AI) Foundry", "AZURE_INFERENCE_ENDPOINT", "AZURE_INFERENCE_CREDENTIAL"),
    ],
)
def test_a_server_is_asked_where_the_client_asks_it(monkeypatch, title, url, key):
    course = server_.start(key="right")
    monkeypatch.setenv(url, course.url)
    for given, state in (("wrong", "no key"), ("right", "works")):
        monkeypatch.setenv(key, given)
        assert named(title).state == state
    course.stop()


def test_a_server_that_trickles_is_not_waited_for(monkeypatch):
    def trickle(connection):
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(head(200, "application/json") + b"[")
            for _ in range(100):
                connection.sendall(b" ")
                time.sleep(0.1)

    server = FaultServer([b""])
    monkeypatch.setattr(server, "_serve", trickle)
    monkeypatch.setenv("OLLAMA_HOST", server.url)
    before = time.monotonic()
    found = named("Ollama")
    assert time.monotonic() - before < 3 and found.state == "not running" and "does not answer" in found.detail
    server.close()


@pytest.mark.skipif(sys.platform == "win32", reason="a script of POSIX")
def test_a_driver_that_hangs_adds_nothing_to_servers_that_do_not_answer(monkeypatch, tmp_path):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexec sleep 10\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(checkup.platform, "system", lambda: "Linux")
    monkeypatch.setenv("OLLAMA_HOST", "http://192.0.2.7:11434")
    before = time.monotonic()
    findings = doctor()
    assert time.monotonic() - before < 3
    assert named("GPU", findings).detail == "NVIDIA's driver does not answer"
    assert named("Ollama", findings).state == "not running"


def test_every_route_has_a_state():
    states = {f.name: f.state for f in doctor()}
    for route in catalog.load().routes.values():
        assert states[route.title] in ("works", "missing package", "no key", "not running", "retired"), route.name
    assert states["ONNX Runtime GenAI"] == states["Hugging Face Transformers"] == "works"
    assert states["GitHub Models"] == "retired" and states["Python"] == ""


def test_it_takes_less_than_three_seconds_where_nothing_answers(monkeypatch):
    for name in ("OLLAMA_HOST", "NVIDIA_BASE_URL", "GITHUB_MODELS_ENDPOINT", "AZURE_INFERENCE_ENDPOINT"):
        monkeypatch.setenv(name, "http://192.0.2.7:11434")
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", "x")
    before = time.monotonic()
    findings = doctor()
    assert time.monotonic() - before < 3
    assert named("Microsoft (Azure AI) Foundry", findings).state == "not running"


def test_the_models_that_fit_are_told(monkeypatch):
    import psutil

    for free, status, said in ((4e9, "ok", "phi-3.5-mini (3.0 GB), "), (1e9, "warn", "none; too large: ")):
        memory = SimpleNamespace(available=free, total=2 * free)
        monkeypatch.setattr(psutil, "virtual_memory", lambda memory=memory: memory)
        found = named("Real models that fit")
        assert found.status == status and said in found.detail and "phi-3-medium-128k (8.3 GB)" in found.detail
        assert "phi-3-medium-4k (about 8.3 GB)" in found.detail.partition("; too large: ")[2]  # nobody publishes it
        assert all(name in found.detail for name, model in catalog.load().models.items() if model.kind == "real")


def test_scarce_memory_and_disk_are_warned_of(monkeypatch):
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=4e8, total=4e9))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1e8))
    findings = doctor()
    assert named("Memory", findings).status == "warn" and "0.4 GB free of 4.0 GB" in named("Memory", findings).detail
    assert named("Disk", findings).status == "warn" and "SLM_CACHE" in named("Disk", findings).fix


def test_it_is_one_of_the_names_of_utils_and_shows_a_table():
    shown = repr(utils.doctor())
    assert any(line.split()[:2] == ["ok", "torch"] for line in shown.splitlines())
