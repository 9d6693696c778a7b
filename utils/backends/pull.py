"""Real weights onto an Ollama server, which fetches them itself and goes on where it stopped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import ollama

from utils import catalog
from utils.backends import address
from utils.backends.ollama import OllamaBackend
from utils.backends.trouble import clean
from utils.catalog import Route
from utils.errors import BackendError, Interrupted, NotRunning, UnknownModel

KEPT = "What came is kept: the same command goes on from there."


def pull(name: str, route: Route, known: str, say: Callable[[str], object]) -> None:
    """Has Ollama fetch the model `name`, which it knows as `known`. Raises BackendError."""
    where = address.Address(
        route=route, model=name, source="live", id=known, url=address.endpoint(route), key=address.key_of(route)
    )
    if size := catalog.load().models[name].gigabytes.get("ollama"):
        say(f"{known}: {size:.1f} GB, less what {where.url} has of it already")
        free = shutil.disk_usage(Path.home()).free / 1e9
        if where.loopback and size > free:
            say(f"Note: only {free:.1f} GB are free on the disk of {Path.home()}. Ollama may use another.")
    with closing(OllamaBackend(where)) as backend, closing(_parts(backend)) as parts:
        last = _show(parts, say)
    if last != "success":
        raise Interrupted(f"Ollama broke off before it had all of {known}. {KEPT}")
    say(f"Ready: Ollama has {known}")


def _parts(backend: OllamaBackend) -> Generator[Any, None, None]:
    """What Ollama tells while it pulls. Raises BackendError."""
    try:
        yield from backend.client.pull(backend.address.id, stream=True)
    except Exception as error:
        raise _explained(error, backend) from None


def _explained(error: Exception, backend: OllamaBackend) -> BackendError:
    if not isinstance(error, ollama.ResponseError) or error.status_code > 0:
        ours = backend.explained(error)
        return NotRunning(f"{ours} {KEPT}") if isinstance(ours, NotRunning) else ours
    said, known = clean(error.error, backend.address.key), backend.address.id  # told in the midst of the pull
    if "not exist" in said or "not found" in said:
        return UnknownModel(f"Ollama cannot pull {known}: {said}.")
    return BackendError(f"Ollama cannot pull {known}: {said}. {KEPT}")


def _show(parts: Iterable[Any], say: Callable[[str], object]) -> str | None:
    """A bar with bytes and the time left for each file, a line for every other state; returns the last one."""
    from tqdm import tqdm

    told: str | None = None
    bar: Any = None
    for part in parts:
        if part.status != told:
            told = part.status
            if bar is not None:
                bar.close()
            bar = None
            if part.total:
                sizes: Any = {"total": part.total, "initial": part.completed or 0, "unit": "B", "unit_scale": True}
                bar = tqdm(desc=told, **sizes)
            else:
                say(str(told))
        if bar is not None:
            bar.update((part.completed or bar.n) - bar.n)
    if bar is not None:
        bar.close()
    return told
