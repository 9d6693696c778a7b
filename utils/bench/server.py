"""What the course server adds to the model behind it, and how it does with many clients at once.

Client and server share the machine. The client is http.client, so that no SDK's time is counted.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import psutil

from utils import server
from utils.backends.onnx import OnnxBackend
from utils.bench import streams
from utils.bench.rows import Row, once, tried
from utils.core import Options, complete
from utils.measure import Comparison, compare
from utils.pocket import folder
from utils.server.engine import Engine

CLIENTS = 64
REQUESTS, WARM = 10_000, 1_000
IDLE = 1_000


def rows(pairs: int) -> list[Row]:
    """Takes some five minutes."""
    with closing(OnnxBackend(streams.pocket("onnx-fp32"))) as backend:
        course = server.start()
        try:
            measured = latency(course, backend, 4 * pairs)
            both = f"all answers to {CLIENTS} clients at once: ONNX Runtime GenAI beside llama.cpp"
            measured += [crowd(course), tried(both, lambda: Row(both, "s", slots(course, pairs)))]
            measured += [idle(course), growth(course), startup(pairs)]
        finally:
            course.stop()
    return measured


def slots(course: server.Server, pairs: int) -> Comparison:
    """The two ways to answer many at once: ONNX Runtime GenAI's generators in turns, and llama.cpp's batches."""
    from utils.backends.llama_cpp import LlamaCppBackend

    engine = Engine(
        lambda name: LlamaCppBackend(streams.pocket("gguf-f32"), slots=CLIENTS), folder, [streams.MODEL], CLIENTS
    )
    batches = server.Server(engine, 0, None)
    try:
        return compare(lambda: max(_crowd(course)), lambda: max(_crowd(batches)), max(pairs // 3, 1))
    finally:
        batches.stop()


def startup(pairs: int) -> Row:
    """From the command to the first answer of /health, in seconds."""
    seconds = sorted(_started_s() for _ in range(pairs))[pairs // 2]
    return Row("start-up of `python -m utils serve` ÷ 2 s", "s", once(seconds, 2.0), "most", 1)


def _started_s() -> float:
    program = "import sys; from utils.cli import main; sys.exit(main(['serve', '--port', '0']))"
    before = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        try:
            place = re.search(r"127\.0\.0\.1:\d+", process.stdout.readline() if process.stdout else "")
            if place is None:
                raise RuntimeError("The server did not start.")
            with closing(http.client.HTTPConnection(place[0], timeout=60)) as connection:
                connection.request("GET", "/health")
                connection.getresponse().read()
            return time.perf_counter() - before
        finally:
            process.terminate()


def latency(course: server.Server, backend: OnnxBackend, pairs: int) -> list[Row]:
    """Seconds to the first token, and between two tokens, through the server and in this process."""

    def here() -> tuple[float, float]:
        answer = complete(backend, streams.MESSAGES, Options(max_tokens=64))
        return answer.first_token_s, 1 / answer.tokens_per_s

    def there() -> tuple[float, float]:
        arrivals, tokens = timed(course)
        return arrivals[0], (arrivals[-1] - arrivals[0]) / (tokens - 1)

    return [
        Row(what, "s", compare(lambda i=i: there()[i], lambda i=i: here()[i], pairs), "added", limit)  # type: ignore[misc]
        for i, what, limit in (
            (0, "first token through the server, beside in process", 0.003),
            (1, "each token through the server, beside in process", 0.0001),
        )
    ]


def ask(course: server.Server, tokens: int, **fields: object) -> Iterator[dict]:  # type: ignore[type-arg]
    """Asks with a stream and yields its events."""
    body = {"model": streams.MODEL, "messages": streams.MESSAGES, "temperature": 0, "stream": True}
    body |= {"max_tokens": tokens, "stream_options": {"include_usage": True}, **fields}
    with closing(http.client.HTTPConnection(urlsplit(course.url).netloc, timeout=300)) as connection:
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"status {answer.status}: {answer.read(300)!r}")
        for line in answer:
            if line.startswith(b"data: {"):
                yield json.loads(line[6:])


def timed(course: server.Server, tokens: int = 64) -> tuple[list[float], int]:
    """Seconds until each piece of text, and the number of tokens."""
    start, arrivals, made = time.perf_counter(), [], 0
    for event in ask(course, tokens):
        if event["choices"] and event["choices"][0]["delta"].get("content"):
            arrivals.append(time.perf_counter() - start)
        if event.get("usage"):
            made = event["usage"]["completion_tokens"]
    return arrivals, made


def crowd(course: server.Server) -> Row:
    """Many clients at the same moment: the slowest one's time over the fastest one's, after a first time to warm up."""
    _crowd(course)
    ends = _crowd(course)
    return Row(f"{CLIENTS} clients at once: slowest ÷ fastest", "s", once(max(ends), min(ends)), "most", 1.5)


def _crowd(course: server.Server) -> list[float]:
    ends: list[float] = []
    together = threading.Barrier(CLIENTS)

    def one() -> None:
        together.wait()
        ends.append(timed(course)[0][-1])

    threads = [threading.Thread(target=one) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(ends) != CLIENTS:
        raise RuntimeError(f"{CLIENTS - len(ends)} of {CLIENTS} clients got no whole answer.")
    return ends


def idle(course: server.Server) -> Row:
    """Memory with many connections that say nothing, beside none: bytes for each."""
    process, place = psutil.Process(), urlsplit(course.url)
    before = process.memory_info().rss
    with ExitStack() as held:
        for _ in range(IDLE):
            held.enter_context(socket.create_connection((place.hostname, place.port)))
        time.sleep(1)
        after = process.memory_info().rss
    limit = 64 * 1024  # bytes; the client's ends of the connections are counted too
    return Row("memory of an idle connection ÷ 64 KiB", "bytes", once((after - before) / IDLE, limit), "most", 1)


def growth(course: server.Server) -> Row:
    """Memory after all requests over that after the first ones."""
    process, sizes = psutil.Process(), {}
    for number in range(1, REQUESTS + 1):
        for _ in ask(course, 1):
            pass
        if number in (WARM, REQUESTS):
            sizes[number] = process.memory_info().rss
    return Row(
        f"memory after {REQUESTS:,} requests ÷ after {WARM:,}",
        "bytes",
        once(sizes[REQUESTS], sizes[WARM]),
        "most",
        1.05,
    )
