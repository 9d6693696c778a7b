"""A model asked in a process of its own, so that neither its speed nor its memory holds anything of another.

Speed and memory come from two passes, since looking at a process takes time. The memory is that of its whole tree.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from utils.core import Options, complete
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


def ask(route: str, model: str, questions: Sequence[Question], mode: str = "auto") -> list[Asked]:
    """Asks after a warm-up. Raises Unsupported where the route has no such models, and BackendError."""
    said = _run(route, model, questions, mode, subprocess.Popen.wait)
    return [Asked(given["prompt_tokens"], *map(tuple, (given["first"], given["speeds"]))) for given in json.loads(said)]


def peak_memory(route: str, model: str, question: Question, mode: str = "auto") -> int:
    """Bytes resident at most while the question is asked. Raises as `ask`."""
    seen: list[int] = []
    _run(route, model, [question], mode, lambda process: seen.append(peak_of(process)))
    return seen[0]


def peak_of(process: subprocess.Popen[Any]) -> int:
    """Bytes resident at most in a process and those that it started, until it ends."""
    tree, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        with suppress(psutil.Error):
            everyone = [tree, *tree.children(recursive=True)]
            peak = max(peak, sum(one.memory_info().rss for one in everyone))
        time.sleep(EVERY)
    return peak


def _run(
    route: str, model: str, questions: Sequence[Question], mode: str, wait: Callable[[subprocess.Popen[str]], object]
) -> str:
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
            return said.read().splitlines()[-1]
        kind, _, words = (trouble.read().strip().splitlines() or ["it ended without a word"])[-1].partition(": ")
        raise (Unsupported if kind == Unsupported.__name__ else BackendError)(words or kind)


def _answers(route: str, model: str, mode: Any, questions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
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
    return made


if __name__ == "__main__":
    try:
        print(json.dumps(_answers(*json.loads(sys.argv[1]))))
    except BackendError as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
