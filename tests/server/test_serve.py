"""`python -m utils serve`: a process of its own, as another program meets it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import ollama
import openai
import pytest
from azure.ai.inference import ChatCompletionsClient
from azure.core.credentials import AzureKeyCredential

from utils import catalog, pocket, server
from utils.cli import main
from utils.errors import BadInput
from utils.pocket import export

MODEL = "pocket-phi-3-mini"
PROGRAM = "import sys; from utils.cli import main; sys.exit(main(['serve', *sys.argv[1:]]))"
SLOW = """
import time
from utils import server
from utils.core import Chunk

class Slow:
    name, model, source = "slow", "slow", "pocket"

    def stream(self, messages, options):
        for number in range(1, 1000 if messages[-1]["content"] == "long" else 5):
            time.sleep(0.2)
            yield Chunk("more ", number)
        yield Chunk("", number, prompt_tokens=1, finish_reason="stop")

    def close(self):
        pass

server.connect = lambda *a, **k: Slow()
"""


def start(*arguments, program=PROGRAM):
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals for another process")
def test_it_answers_until_it_is_told_to_end_and_frees_its_port(end):
    process = start("--port", "0")
    line = process.stdout.readline()
    url = re.search(r"http://127\.0\.0\.1:\d+", line)[0]
    answer = ollama.Client(url).chat("pocket-phi-3-mini", [{"role": "user", "content": "Hello!"}])
    assert answer.message.content
    process.send_signal(end)
    assert process.wait(10) in (0, -end, 128 + end, 130)
    assert "Traceback" not in process.stderr.read()
    with pytest.raises(OSError):
        urllib.request.urlopen(url, timeout=2)


def openai_stream(url, asked):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client:
        for event in client.chat.completions.create(model=MODEL, messages=asked, stream=True):
            yield event.choices[0].delta.content or "", event.choices[0].finish_reason


def ollama_stream(url, asked):
    for part in ollama.Client(url).chat(MODEL, asked, stream=True):
        yield part.message.content, part.done_reason


def azure_stream(url, asked):
    with ChatCompletionsClient(url, AzureKeyCredential("x"), retry_total=0) as client:
        for event in client.complete(messages=asked, model=MODEL, stream=True):
            if "error" in event:  # which this client hands on like any other event
                raise RuntimeError(event["error"]["message"])
            if event.choices:
                yield event.choices[0].delta.content or "", event.choices[0].finish_reason


STREAMS = {openai_stream: openai.APIError, ollama_stream: ollama.ResponseError, azure_stream: RuntimeError}


@pytest.mark.parametrize(("stream", "error"), STREAMS.items())
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals for another process")
def test_when_it_is_told_to_end_answers_end_cleanly(stream, error):
    process = start("--port", "0", program=SLOW + PROGRAM)
    url = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]
    short, long = (stream(url, [{"role": "user", "content": text}]) for text in ("short", "long"))
    next(short), next(long)
    process.send_signal(signal.SIGTERM)
    ends = list(short)
    assert "".join(text for text, _ in ends) == "more " * 3 and ends[-1][1] == "stop"  # it had the time
    with pytest.raises(error, match="The course server is ending, and this answer with it"):
        list(long)
    assert process.wait(10) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    assert "Traceback" not in process.stderr.read()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals for another process")
def test_when_it_is_told_to_end_those_who_wait_are_told():
    process = start("--port", "0", "--slots", "1", program=SLOW + PROGRAM)
    url = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]

    def ask(_):
        with (
            openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client,
            pytest.raises(openai.InternalServerError, match="The course server is ending") as caught,
        ):
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "long"}])
        return caught.value.status_code, caught.value.response.headers["retry-after"]

    with ThreadPoolExecutor(3) as threads:
        asked = threads.map(ask, range(3))
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert set(asked) == {(503, "2")}
    process.wait(10)


def test_others_need_a_key_that_is_made_up_and_said_once_and_the_log_is_silent_about_it():
    process = start("--host", "0.0.0.0", "--port", "0")
    port = re.search(r":(\d+)", process.stdout.readline())[1]
    key = re.search(r"must send this key: (\S+)", process.stdout.readline())[1]
    url = f"http://127.0.0.1:{port}"
    with pytest.raises(ollama.ResponseError, match="The key is missing or wrong"):
        ollama.Client(url).list()
    client = ollama.Client(url, headers={"authorization": f"Bearer {key}"})
    assert client.chat("pocket-phi-3-mini", [{"role": "user", "content": "Secret42"}]).message.content
    process.terminate()
    process.wait(10)
    logged = process.stderr.read()
    assert "GET /api/tags 401" in logged and "POST /api/chat 200" in logged
    assert key not in logged and "Secret42" not in logged


def test_a_port_that_is_taken_is_said():
    first = start("--port", "0")
    port = re.search(r"http://127\.0\.0\.1:(\d+)", first.stdout.readline())[1]
    second = start("--port", port)
    assert second.wait(30) == 1
    told = second.stderr.read()
    assert f"Port {port} of 127.0.0.1 cannot be used" in told and "Try --port 0" in told
    first.kill()
    first.wait()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--port", "99999"), "Port 99999 of 127.0.0.1 cannot be used"),
        (("--model", "no-such-folder"), "no-such-folder is neither a model of the catalogue"),
        (("--model", "phi-3.5-mini"), "Download it with `python -m utils fetch phi-3.5-mini --for onnx`"),
        (("--route", "nim"), "runs its models on onnx, transformers"),
        (("--slots", "0"), "slots is 0, but it must be a whole number, 1 or more"),
        (("--memory", "nan"), "memory is nan, but it must be a number of gigabytes above 0"),
    ],
)
def test_what_cannot_be_served_is_said(capsys, arguments, said):
    assert main(["serve", *arguments]) == 1
    told = capsys.readouterr().err
    assert said in told and "Traceback" not in told


@pytest.mark.parametrize(
    "given",
    [
        *({"slots": slots} for slots in ("4", 2.5, True, None)),
        *({"memory": gb} for gb in ("4", True, -1, float("inf"))),
    ],
)
def test_what_is_no_number_is_said(given):
    ((name, value),) = given.items()
    with pytest.raises(BadInput, match=rf"^{name} is {re.escape(repr(value))}, but it must be a "):
        server.start(**given)


def test_a_real_model_that_was_fetched_is_served_in_its_own_format(tmp_path, monkeypatch):
    """A pocket model's export in the place of Phi-3.5-mini's: a folder of ONNX files without the makers' own."""
    known = "microsoft/Phi-3.5-mini-instruct-onnx/cpu_and_mobile/cpu-int4-awq-block-128-acc-level-4"
    assert catalog.load().models["phi-3.5-mini"].ids["onnx"] == known
    owner, repository, inside = known.split("/", 2)
    home = tmp_path / f"models--{owner}--{repository}"
    shutil.copytree(export.made(pocket.folder("pocket-phi-3-mini"), "onnx-int4"), home / "snapshots" / "abc" / inside)
    (home / "snapshots" / "abc" / inside / "config.json").unlink(missing_ok=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("abc")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    served = server.start("phi-3.5-mini")
    try:
        client = ollama.Client(served.url)
        answer = client.chat("phi-3.5-mini", [{"role": "user", "content": "What is an SLM?"}])
        assert answer.message.content and answer.load_duration > 1000
        [row] = client.list().models
        assert row.details.format == "onnx" and row.size > 1_000_000
        shown = client.show("phi-3.5-mini")
        assert shown.modelinfo["phi3.context_length"] == 1024 and "embedding" not in shown.capabilities
        assert client.ps().models[0].context_length == 1024
        with pytest.raises(ollama.ResponseError, match="makes no vectors here"):
            client.embed("phi-3.5-mini", "Hello")
    finally:
        served.stop()


def test_a_model_folder_of_ones_own_is_served(tmp_path):
    mine = shutil.copytree(pocket.folder("pocket-phi-3-mini"), tmp_path / "my-model")
    served = server.start(mine, slots=2)
    try:
        client = ollama.Client(served.url)
        assert [model.model for model in client.list().models] == ["my-model:latest"]
        assert client.chat("my-model", [{"role": "user", "content": "Hello!"}]).message.content
    finally:
        served.stop()
