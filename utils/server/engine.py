"""The models behind the course server: loaded when first asked for, each answering one request after the other.

It knows backends and the queue before them. What a request looks like on the wire, other modules know.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from utils.core import Backend, Chunk, Message, Options
from utils.errors import BackendError, RateLimited, UnknownModel

WAITING = 64  # requests that may queue for one model; a class of forty sends one each


@dataclass(frozen=True, kw_only=True)
class Job:
    """One request, whatever wire format it came in."""

    model: str
    messages: Sequence[Message]
    options: Options
    stream: bool = False
    usage: bool = True  # whether a stream ends with the token counts


class Engine:
    """`load` makes a backend of a model's name; `names` are the models that may be asked for, the first by default."""

    def __init__(self, load: Callable[[str], Backend], names: Sequence[str], slots: int = 1) -> None:
        self.names = tuple(names)
        self._load = load
        self._backends: dict[str, Backend] = {}
        self._loading = asyncio.Lock()
        self._free = {name: asyncio.Semaphore(slots) for name in names}  # wakes those who wait in their order
        self._waiting = dict.fromkeys(names, 0)

    @property
    def loaded(self) -> tuple[str, ...]:
        """The models in memory."""
        return tuple(self._backends)

    def find(self, name: str) -> str:
        """The model that a client means by `name`; Ollama's clients add ":latest". Raises UnknownModel."""
        known = name.removesuffix(":latest") or self.names[0]
        if known not in self.names:
            raise UnknownModel(f"There is no model {name!r}. There are: {', '.join(self.names)}.")
        return known

    async def chunks(self, job: Job) -> AsyncIterator[Chunk]:
        """The answer, piece by piece; a client that reads slowly slows the model down. Raises BackendError."""
        name = self.find(job.model)
        if self._waiting[name] >= WAITING:
            raise RateLimited("Too many requests are waiting. Ask again in a few seconds.")
        self._waiting[name] += 1
        try:
            await self._free[name].acquire()
        finally:
            self._waiting[name] -= 1
        try:
            backend = await self._backend(name)
            stream = backend.stream(job.messages, job.options)
            try:
                while (chunk := await run_in_threadpool(next, iter(stream), None)) is not None:
                    yield chunk
            finally:
                stream.close()  # type: ignore[attr-defined]  # a client that leaves ends the work
        finally:
            self._free[name].release()

    async def _backend(self, name: str) -> Backend:
        async with self._loading:
            if name not in self._backends:
                self._backends[name] = await run_in_threadpool(self._load, name)
            return self._backends[name]

    def unload(self, name: str) -> None:
        """Frees a model's memory, unless it is answering; the next request loads it again."""
        if name in self._backends and not self._free[name].locked():
            self._backends.pop(name).close()

    def close(self) -> None:
        """Frees all models."""
        for backend in self._backends.values():
            with suppress(BackendError):
                backend.close()
        self._backends.clear()
