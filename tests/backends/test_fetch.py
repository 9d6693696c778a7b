"""Downloads, from a hub and an Ollama server on this machine that serve made-up weights."""

import errno
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from utils.backends.fetch import explained, fetch, prepare
from utils.errors import BackendError, BadAnswer, BadInput, Interrupted, KeyProblem, NotRunning, UnknownModel

REPO = "microsoft/Phi-3.5-mini-instruct-onnx"
INSIDE = "cpu_and_mobile/cpu-int4-awq-block-128-acc-level-4"
COMMIT = "c" * 40
FILES = {
    f"{INSIDE}/genai_config.json": b"{}",
    f"{INSIDE}/tokenizer.json": b'{"x": 1}',
    f"{INSIDE}/model.onnx.data": os.urandom(11_000_000),
    "gpu/x.onnx": b"x",
}


def git_hash(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub(http.server.BaseHTTPRequestHandler):
    """What huggingface_hub asks of a hub: the list of files, and each of them, whole or from some byte on."""

    protocol_version = "HTTP/1.1"
    damaged = ""  # what the names of the files end in that are spoilt
    left: float = float("inf")  # bytes of weights until the line breaks off, for good
    asked: list = []  # noqa: RUF012 - what came, for the tests to look at

    def do_GET(self):
        path = self.path.partition("?")[0]
        if "wrong" in self.headers.get("Authorization", ""):
            return self.json({}, 401, {"X-Error-Message": "Invalid credentials in Authorization header"})
        if path.startswith(f"/api/models/{REPO}/tree/"):
            return self.json([{"type": "file", "path": n, "size": len(d), "oid": "0" * 40} for n, d in FILES.items()])
        if path.startswith(f"/api/models/{REPO}"):
            return self.json({"id": REPO, "sha": COMMIT, "siblings": [{"rfilename": name} for name in FILES]})
        return self.file(path)

    def do_HEAD(self):
        self.file(self.path)

    def file(self, path):
        name = path.partition(f"/resolve/{COMMIT}/")[2] or path.partition("/resolve/main/")[2]
        if not path.startswith(f"/{REPO}/") or name not in FILES:
            return self.json({"error": "not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        data, start = FILES[name], 0
        etag = hashlib.sha256(data).hexdigest() if name.endswith(".data") else git_hash(data)
        if wanted := re.match(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(wanted[1])
        if self.command == "GET":
            self.asked.append((name, start))
            if self.damaged and name.endswith(self.damaged):
                data = data[:-1] + bytes([data[-1] ^ 1])
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        for field, value in {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Content-Length": len(data) - start}.items():
            self.send_header(field, str(value))
        self.end_headers()
        if self.command == "GET":
            rest = data[start:] if self.left > len(data) else data[start : start + int(self.left)]
            Hub.left -= len(rest)
            self.wfile.write(rest)
            self.close_connection = start + len(rest) < len(data)
        return None

    def json(self, body, status=200, fields=()):
        data = json.dumps(body).encode()
        self.send_response(status)
        for field, value in {**dict(fields), "Content-Length": str(len(data))}.items():
            self.send_header(field, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@contextmanager
def served(handler):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def hub():
    Hub.damaged, Hub.left = "", float("inf")
    Hub.asked.clear()
    with served(Hub) as address:
        yield address


def run(endpoint, home, *arguments, **settings):
    """`python -m utils fetch ...` in a process of its own: the hub's address is read once, at import."""
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"} | settings
    program = "import sys; from utils.cli import main; sys.exit(main(['fetch', *sys.argv[1:]]))"
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


def test_a_model_is_fetched_once_and_then_found(hub, tmp_path, monkeypatch):
    done = run(hub, tmp_path, "phi-3.5-mini", "--for", "onnx", TQDM_POSITION="-1")  # a bar also without a terminal
    assert done.returncode == 0, done.stderr
    assert f"0.0 GB of it still to download from {hub}" in done.stderr and "GB are free for" in done.stderr
    assert done.stderr.index("still to download") < done.stderr.index("Ready in")
    assert {name for name, _ in Hub.asked} == {name for name in FILES if name.startswith(INSIDE)}
    assert re.search(r"model\.onnx\.data: 100%.*11\.0M/11\.0M", done.stderr)
    from utils.backends.target import downloaded

    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    folder = downloaded(f"{REPO}/{INSIDE}")
    assert folder and (folder / "model.onnx.data").read_bytes() == FILES[f"{INSIDE}/model.onnx.data"]
    Hub.asked.clear()
    assert run(hub, tmp_path, "phi-3.5-mini").returncode == 0 and not Hub.asked


def test_a_download_goes_on_where_it_stopped(hub, tmp_path):
    name, data = f"{INSIDE}/model.onnx.data", FILES[f"{INSIDE}/model.onnx.data"]
    blobs = tmp_path / "hub" / f"models--{REPO.replace('/', '--')}" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{hashlib.sha256(data).hexdigest()}.part").write_bytes(data[:7_000_000])
    assert run(hub, tmp_path, "phi-3.5-mini").returncode == 0
    assert (name, 7_000_000) in Hub.asked


def test_39_a_line_that_breaks_off_loses_no_more_than_a_megabyte(hub, tmp_path):
    name = f"{INSIDE}/model.onnx.data"
    Hub.left = 3_500_000
    done = run(hub, tmp_path, "phi-3.5-mini")
    assert done.returncode == 1 and "Traceback" not in done.stderr and "Ready" not in done.stderr
    assert not list(tmp_path.rglob("snapshots/**/model.onnx.data"))
    [part] = tmp_path.rglob("*.part")
    assert part.stat().st_size == 3_000_000
    Hub.left = float("inf")
    assert run(hub, tmp_path, "phi-3.5-mini").returncode == 0
    assert (name, 3_000_000) in Hub.asked and not list(tmp_path.rglob("*.part"))


def test_39_two_downloads_at_once_share_the_work(hub, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: run(hub, tmp_path, "phi-3.5-mini"), range(2)))
    assert [done.returncode for done in both] == [0, 0], both
    assert Hub.asked.count((f"{INSIDE}/model.onnx.data", 0)) == 1


def test_39_a_full_disk_is_told(tmp_path):
    error = explained(OSError(errno.ENOSPC, "No space left on device"), REPO, "https://huggingface.co")
    assert isinstance(error, BadInput) and "The disk is full. Make room, then run the same command" in str(error)


@pytest.mark.parametrize("damaged", [".data", ".json"])
def test_a_damaged_file_is_deleted_and_fetched_again(hub, tmp_path, damaged):
    Hub.damaged = damaged
    done = run(hub, tmp_path, "phi-3.5-mini")
    assert done.returncode == 1 and "Damaged on the way and deleted again: " in done.stderr
    if damaged == ".json":
        assert "deleted again: genai_config.json, tokenizer.json. Run the same command once more." in done.stderr
    Hub.damaged = ""
    again = run(hub, tmp_path, "phi-3.5-mini")
    assert again.returncode == 0, again.stderr
    assert not list(tmp_path.rglob("*.part"))
    assert {f.name: f.read_bytes() for f in tmp_path.rglob("snapshots/*/*/*/*")} == {
        name.rpartition("/")[2]: data for name, data in FILES.items() if name.startswith(INSIDE)
    }


def test_a_small_file_that_an_earlier_run_left_damaged_is_found(hub, tmp_path):
    assert run(hub, tmp_path, "phi-3.5-mini").returncode == 0
    [file] = tmp_path.rglob("snapshots/**/genai_config.json")
    file.write_bytes(b"[]")
    done = run(hub, tmp_path, "phi-3.5-mini")
    assert done.returncode == 1 and "deleted again: genai_config.json" in done.stderr
    assert run(hub, tmp_path, "phi-3.5-mini").returncode == 0 and file.read_bytes() == b"{}"


def test_no_hub_and_no_such_repository(hub, tmp_path):
    done = run("http://127.0.0.1:9", tmp_path, "phi-3.5-mini")
    assert done.returncode == 1 and "http://127.0.0.1:9 cannot be reached" in done.stderr
    done = run(hub, tmp_path, "phi-3-mini-4k", "--for", "transformers")
    assert done.returncode == 1 and "has no microsoft/Phi-3-mini-4k-instruct" in done.stderr
    assert "Traceback" not in done.stderr


def test_29_a_proxy_is_not_asked_for_a_hub_on_this_machine(hub, tmp_path):
    nobody = "http://127.0.0.1:9"
    proxies = {name: nobody for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY")}
    done = run(hub, tmp_path, "phi-3.5-mini", **proxies, NO_PROXY="example.org", no_proxy="example.org")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) is set"),
        ({"HF_TOKEN": "hf_wrong"}, "refused the key for microsoft/Phi-3.5-mini-instruct-onnx: check HF_TOKEN"),
        ({"HF_TOKEN": "“hf_x”"}, "HF_TOKEN is not plain ASCII"),
    ],
)
def test_a_setting_that_forbids_a_download_is_named(hub, tmp_path, settings, said):
    done = run(hub, tmp_path, "phi-3.5-mini", **settings)
    assert done.returncode == 1 and said in done.stderr
    assert "hf_" not in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("", "127.0.0.1"),
        ("example.org", "example.org,127.0.0.1"),
        ("*", "*"),  # alone it spares every host, in a list none
        ("example.org, 127.0.0.1", "example.org, 127.0.0.1"),
    ],
)
def test_a_mirror_on_this_machine_is_asked_past_the_proxy(monkeypatch, given, made):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, given)
    prepare()
    assert os.environ["no_proxy"] == made


def test_a_download_without_room_is_not_begun(hub, tmp_path):
    program = (
        "import shutil, sys; from types import SimpleNamespace as N; shutil.disk_usage = lambda p: N(free=5e8)\n"
        "from utils.cli import main; sys.exit(main(['fetch', 'phi-3.5-mini']))"
    )
    environment = os.environ | {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1 and "only 0.5 GB are free" in done.stderr and not Hub.asked


@pytest.mark.parametrize(
    ("name", "route", "kind", "said"),
    [
        ("phi-3.5-mini", "onix", BadInput, "There is no route 'onix'"),
        ("phi-3.5-mimi", "onnx", UnknownModel, "has no phi-3.5-mimi. Did you mean 'phi-3.5-mini'"),
        ("phi-4", "onnx", UnknownModel, "The route onnx has no phi-4"),
        ("pocket-phi-3-mini", "onnx", BadInput, "is part of this repository"),
        ("phi-4-mini", "nim", BadInput, "NVIDIA NIM runs its models itself"),
    ],
)
def test_what_cannot_be_fetched_is_said(name, route, kind, said):
    with pytest.raises(kind, match=said):
        fetch(name, route, print)


# ---- through Ollama


class Ollama(http.server.BaseHTTPRequestHandler):
    """An Ollama server's /api/pull: lines of progress, or an error."""

    lines: tuple = ()  # what it says: JSON, or bytes as they are; numbers are seconds between
    status, promised = 200, 0
    keys: list = []  # noqa: RUF012 - for the tests to look at

    def do_POST(self):
        self.keys.append(self.headers.get("Authorization"))
        self.send_response(self.status)
        if self.promised:
            self.send_header("Content-Length", str(self.promised))
        self.end_headers()
        for line in self.lines:
            if isinstance(line, float):
                time.sleep(line)
                continue
            self.wfile.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")

    def do_GET(self):
        self.send_error(404)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def ollama(monkeypatch):
    with served(Ollama) as address:
        monkeypatch.setenv("OLLAMA_HOST", address)
        yield Ollama


def test_ollama_tells_how_far_it_is(ollama, capsys):
    layer = [{"status": "pulling abc", "total": 2_200_000_000, "completed": n * 22_000_000} for n in range(50, 101)]
    layer[10:10] = [0.3]
    small = {"status": "pulling def", "total": 500, "completed": 500}
    ollama.lines = [{"status": "pulling manifest"}, *layer, small, {"status": "success"}]
    said = []
    fetch("phi-3.5-mini", "ollama", said.append)
    assert re.fullmatch(r"phi3\.5: 2\.2 GB, less what http://127\.0\.0\.1:\d+ has of it already", said[0])
    assert said[-3:] == ["pulling manifest", "success", "Ready: Ollama has phi3.5"]
    bars = re.sub(r"\x1b\[A", "", capsys.readouterr().err)
    assert re.search(r"pulling abc: +50%.*1\.10G/2\.20G", bars) and "pulling abc: 100%" in bars
    assert re.search(r"pulling abc: +60%.*<00:0\d, .*B/s", bars)  # and how long it will take
    assert "pulling def: 100%" in bars and "500/500" in bars


def test_a_disk_without_room_is_noted(ollama, monkeypatch):
    ollama.lines = [{"status": "success"}]
    monkeypatch.setattr("shutil.disk_usage", lambda path: types.SimpleNamespace(free=1e9))
    said = []
    fetch("phi-3.5-mini", "ollama", said.append)
    assert said[1].startswith("Note: only 1.0 GB are free on the disk of ")


def test_ollama_is_given_its_key(ollama, monkeypatch):
    monkeypatch.setenv("OLLAMA_API_KEY", "Secret-1")
    ollama.lines = [{"status": "success"}]
    fetch("phi-3.5-mini", "ollama", print)
    assert ollama.keys[-1] == "Bearer Secret-1"


def test_a_model_that_is_larger_than_the_memory_is_noted_first(ollama, monkeypatch):
    ollama.lines = [{"status": "success"}]
    monkeypatch.setattr("psutil.virtual_memory", lambda: types.SimpleNamespace(available=2e9))
    said = []
    fetch("phi-3.5-mini", "ollama", said.append)
    assert said[0] == "Note: phi-3.5-mini needs about 3.0 GB of memory in 4 bits, and 2.0 GB are free."


def test_what_ollama_cannot_pull(ollama, monkeypatch):
    ollama.lines = [{"error": "pull model manifest: file does not exist"}]
    with pytest.raises(UnknownModel, match=r"Ollama cannot pull phi3\.5: pull model manifest"):
        fetch("phi-3.5-mini", "ollama", print)
    ollama.lines = [{"status": "pulling manifest"}, {"error": "write: no space left on device"}]
    with pytest.raises(BackendError, match=r"Ollama cannot pull phi3\.5: write: no space left.*goes on from there"):
        fetch("phi-3.5-mini", "ollama", print)
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    with pytest.raises(NotRunning, match=r"does not answer at http://127\.0\.0\.1:9.*ollama serve"):
        fetch("phi-3.5-mini", "ollama", print)


def test_19_a_connection_that_breaks_off_in_a_pull_is_told(ollama, monkeypatch):
    monkeypatch.setattr(ollama, "promised", 10_000)
    ollama.lines = [{"status": "pulling abc", "total": 500, "completed": 5}]
    with pytest.raises(NotRunning, match=r"does not answer.*What came is kept: the same command goes on from there"):
        fetch("phi-3.5-mini", "ollama", print)


@pytest.mark.parametrize(
    ("status", "lines", "kind", "said"),
    [
        pytest.param(200, [], Interrupted, "broke off before it had all of phi3.5", id="20 nothing at all"),
        pytest.param(200, [{"status": "pulling manifest"}], Interrupted, "broke off before", id="20 no end"),
        pytest.param(200, [b"<html>Sign in</html>"], BadAnswer, "Is the address right?", id="26 a web page"),
        pytest.param(200, [[]], BadAnswer, "Is the address right?", id="26 a list"),
        pytest.param(307, [], BadAnswer, "sends us on to another address", id="28 a redirect"),
        pytest.param(401, [{"error": "unauthorized Secret-1"}], KeyProblem, "rejected the key", id="4 a wrong key"),
        pytest.param(500, [{"error": "oh"}], NotRunning, "out of order or busy.*goes on from there", id="12 broken"),
    ],
)
def test_a_pull_that_goes_wrong_is_explained(ollama, monkeypatch, status, lines, kind, said):
    monkeypatch.setenv("OLLAMA_API_KEY", "Secret-1")
    monkeypatch.setattr(ollama, "status", status)
    ollama.lines = lines
    told = []
    with pytest.raises(kind, match=said) as caught:
        fetch("phi-3.5-mini", "ollama", told.append)
    assert "Secret-1" not in str(caught.value) and not any("Ready" in line for line in told)
