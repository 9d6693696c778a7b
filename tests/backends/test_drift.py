"""`python -m utils catalog check`, against servers on this machine."""

import json
import types

import httpx
import loopback
import pytest

from utils import cli
from utils.backends import drift


def listing(*ids):
    rows = [{"id": name, "object": "model", "created": 1, "owned_by": "x"} for name in ids]
    body = json.dumps({"object": "list", "data": rows}).encode()
    return loopback.head(200, "application/json") + body


@pytest.fixture
def nim(monkeypatch):
    """Serves a list of models as NVIDIA's endpoint does."""
    servers = []

    def serve(answer):
        servers.append(loopback.FaultServer([b""], answer))
        monkeypatch.setenv("NVIDIA_BASE_URL", servers[-1].url)

    yield serve
    for server in servers:
        server.close()


def test_what_is_offered_and_what_is_gone_is_told(nim, capsys):
    nim(listing("microsoft/phi-4-mini-instruct", "other/model"))
    assert cli.main(["catalog", "check"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("nim")]
    assert any("phi-4-mini " in line and line.endswith("microsoft/phi-4-mini-instruct: offered") for line in lines)
    assert any("phi-3.5-mini " in line and "NOT in its list" in line for line in lines)


def test_services_that_cannot_be_asked_are_told_why():
    states = {route: state for route, _, state in drift.check()}
    assert states["nim"].startswith("not asked: NVIDIA NIM needs a key: set NVIDIA_API_KEY")
    assert "switched off. GitHub closed GitHub Models on 2026-07-30" in states["github-models"]
    assert "set AZURE_INFERENCE_ENDPOINT" in states["foundry"]
    assert "ollama serve" in states["ollama"]


def test_huggingface_is_asked_for_repositories_and_the_folders_in_them(monkeypatch):
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    def model_info(self, repo, timeout):
        if repo.startswith("mlx-community"):
            request = httpx.Request("GET", "https://huggingface.co")
            raise RepositoryNotFoundError("gone", response=httpx.Response(404, request=request))
        if repo.startswith("OpenVINO"):
            raise httpx.ConnectError("no network")
        folder = "cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4/model.onnx"
        return types.SimpleNamespace(siblings=[types.SimpleNamespace(rfilename=folder)])

    monkeypatch.setattr(HfApi, "model_info", model_info)
    states = {(route, model): state for route, model, state in drift.check()}
    assert states["onnx", "phi-4-mini"].endswith(": offered")
    assert states["onnx", "phi-3.5-mini"].endswith("acc-level-4: NOT in its list")
    assert states["transformers", "phi-4-mini"].endswith(": offered")
    assert states["mlx", "phi-3.5-mini"].endswith(": NOT in its list")
    assert "cannot be reached. Connect to the network, or set HF_ENDPOINT" in states["openvino", "-"]


def test_a_refused_key_is_told_without_the_key(nim, monkeypatch):
    monkeypatch.setenv("NVIDIA_API_KEY", loopback.KEY)
    nim(loopback.error("openai", 401, f"bad key {loopback.KEY}"))
    state = next(state for route, _, state in drift.check() if route == "nim")
    assert "rejected the key (NVIDIA_API_KEY)" in state and loopback.KEY not in state
