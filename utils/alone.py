"""A model asked in a process of its own, so that neither its speed nor its memory holds anything of another.

Speed and memory come from two passes, since looking at a process takes time. The memory is that of its whole tree.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from utils import catalog
from utils.core import Options, complete, named
from utils.errors import BackendError, Unsupported

EVERY = 0.02  # seconds from one look at the memory to the next


@dataclass(frozen=True)
class Question:
    """`prompt` asked `runs` times for `tokens` tokens. A number is put before it, so that no run finds what an earlier
    one has left in a cache."""

    prompt: str
    tokens: int
    runs: int = 1


@dataclass(frozen=True)
class Asked:
    """The answers to one question, run by run."""

    prompt_tokens: int
    first_token_s: tuple[float, ...]
    tokens_per_s: tuple[float, ...]


@dataclass(frozen=True)
class Memory:
    """What a model takes on a route, in bytes: `peak`, resident at most, of process and libraries with it, and `files`,
    its weights on the disk."""

    name: str  # model and route, as in `measure.Speed`
    peak: int
    files: int


def ask(route: str, model: str, questions: Sequence[Question], mode: str = "auto") -> list[Asked]:
    """Asks after a warm-up. Raises Unsupported where the route has no such models, and BackendError."""
    said = _run(route, model, questions, mode, subprocess.Popen.wait)["answers"]
    return [Asked(given["prompt_tokens"], *map(tuple, (given["first"], given["speeds"]))) for given in said]


def peak_memory(route: str, model: str, question: Question, mode: str = "auto") -> int:
    """Bytes resident at most while the question is asked. Raises as `weigh`."""
    return weigh(route, model, question, mode).peak


def weigh(
    route: str,
    model: str | None,
    question: Question,
    mode: str | None = "auto",
    stop: threading.Event | None = None,
) -> Memory:
    """What it takes to ask the question. Raises as `ask` (also when `stop` is set before the end), and Unsupported
    where the model lies in a server."""
    rows = catalog.load().routes
    if route in rows and rows[route].hosted:
        raise Unsupported(f"On the route {route} a server has the model: what that takes cannot be seen from here.")
    seen: list[int] = []
    said = _run(route, model, [question], mode, lambda process: seen.append(peak_of(process, stop)))
    return Memory(said["name"], seen[0], sum(Path(file).stat().st_size for file in said["files"]))


def peak_of(process: subprocess.Popen[Any], stop: threading.Event | None = None) -> int:
    """Bytes resident at most in a process and those that it started, until it ends or `stop` is set."""
    tree, peak = psutil.Process(process.pid), 0
    while process.poll() is None and not (stop and stop.is_set()):
        with suppress(psutil.Error):
            everyone = [tree, *tree.children(recursive=True)]
            peak = max(peak, sum(one.memory_info().rss for one in everyone))
        time.sleep(EVERY)
    return peak


def _run(
    route: str,
    model: str | None,
    questions: Sequence[Question],
    mode: str | None,
    wait: Callable[[subprocess.Popen[str]], object],
) -> dict[str, Any]:
    order = json.dumps([route, model, mode, [asdict(question) for question in questions]])
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as trouble:
        process = subprocess.Popen([sys.executable, "-m", "utils.alone", order], stdout=said, stderr=trouble, text=True)
        try:
            wait(process)
        finally:
            process.kill()
            process.wait()
        said.seek(0), trouble.seek(0)
        if process.returncode == 0:
            return dict(json.loads(said.read().splitlines()[-1]))
        kind, _, words = (trouble.read().strip().splitlines() or ["it ended without a word"])[-1].partition(": ")
        raise (Unsupported if kind == Unsupported.__name__ else BackendError)(words or kind)


def _answered(route: str, model: str | None, mode: Any, questions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the process says: who answered, from which files (none of a server), and the answers' times."""
    from utils.backends import connect

    backend: Any = connect(route, model, mode=mode)
    backend.force_length = True
    made: list[dict[str, Any]] = []
    for question in (Question(**given) for given in questions):
        numbers = range(1 if made else 0, question.runs + 1)  # the very first answer is a warm-up
        asked = [complete(backend, f"{i} {question.prompt}", Options(max_tokens=question.tokens)) for i in numbers]
        counted = asked[-question.runs :]
        speeds = [answer.tokens_per_s for answer in counted]
        first = [answer.first_token_s for answer in counted]
        made.append({"prompt_tokens": counted[0].prompt_tokens, "first": first, "speeds": speeds})
    files = [str(file) for file in getattr(backend, "files", ())]
    return {"name": named(backend.model, backend.name), "files": files, "answers": made}


if __name__ == "__main__":
    try:
        print(json.dumps(_answered(*json.loads(sys.argv[1]))))
    except BackendError as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
