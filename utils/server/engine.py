"""The models behind the course server: loaded when first asked for, each answering several requests at a time.

It knows backends and the queue before them. What a request looks like on the wire, other modules know.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from utils.backends.target import WEIGHTS
from utils.core import Chunk
from utils.errors import BackendError, Interrupted, RateLimited, Unsupported
from utils.server import job as jobs
from utils.server.job import Job, Runtime
from utils.server.library import Entry, Library
from utils.server.metrics import Metrics
from utils.server.pump import ENDING, pumped

if TYPE_CHECKING:
    from utils.server.embed import Embedder

WAITING = 64  # requests that may queue for one model; a class of forty sends one each


class Engine:
    """`load` makes a backend of a given model's name, `folder` finds its files; `names` are the given models.

    `memory` are the bytes that loaded models may take together: before one more is loaded, idle ones leave.
    """

    def __init__(
        self,
        load: Callable[[str], Runtime],
        folder: Callable[[str], Path],
        names: Sequence[str],
        slots: int = 1,
        memory: float = math.inf,
    ) -> None:
        self.library, self.folder = Library(names), folder
        self.metrics = Metrics()
        self.expires: dict[str, float] = {}  # given model -> when it leaves the memory, in seconds since 1970
        self._load, self._memory = load, memory
        self._backends: dict[str, Runtime] = {}  # the one asked last at the end
        self._embedders: dict[str, Embedder] = {}
        self._loading = asyncio.Lock()
        self._free = {name: asyncio.Semaphore(slots) for name in names}  # wakes those who wait in their order
        self._waiting = dict.fromkeys(names, 0)
        self._answering = dict.fromkeys(names, 0)
        self._leaving: set[str] = set()  # to be freed when the last answer in progress has ended
        self._workers = slots * len(names)
        self._threads = ThreadPoolExecutor(self._workers, "answer")
        self._closing = threading.Event()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.metrics.waiting.set_function(lambda: sum(self._waiting.values()))
        self.metrics.answering.set_function(lambda: sum(self._answering.values()))

    def config(self, name: str) -> dict[str, Any]:
        """A given model's own configuration, by the names that Hugging Face has for it; of one that sees, its
        decoder's and beside them `vision_config`."""
        folder = self.folder(name)
        if (folder / "config.json").exists():
            whole = dict(json.loads((folder / "config.json").read_bytes()))
            return {**whole.pop("text_config", {}), **whole}
        theirs = json.loads((folder / "genai_config.json").read_bytes())["model"]  # ONNX Runtime GenAI's
        sizes = {size: theirs["decoder"][size] for size in ("hidden_size", "num_hidden_layers")}
        return {"model_type": theirs["type"], "max_position_embeddings": theirs["context_length"], **sizes} | {
            "vocab_size": theirs["vocab_size"]
        }

    def files(self, name: str) -> list[Path]:
        """The files with a given model's weights."""
        return sorted(file for pattern in WEIGHTS for file in self.folder(name).glob(pattern))

    @property
    def loaded(self) -> tuple[str, ...]:
        """The given models in memory."""
        return tuple(dict.fromkeys([*self._embedders, *self._backends]))

    async def chunks(self, job: Job) -> AsyncGenerator[Chunk]:
        """The answer, piece by piece; a client that reads slowly slows the model down. Raises BackendError."""
        async with aclosing(self.metrics.watched(self._chunks(job))) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _chunks(self, job: Job) -> AsyncGenerator[Chunk]:
        name = job.entry.base
        async with self._turn(name), self._used(name) as backend:
            answer = partial(jobs.begin, backend, job)
            async with aclosing(pumped(answer, self._threads, self._closing)) as chunks:
                async for chunk in chunks:
                    yield chunk

    @asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        """A place among those who are answered at a time, in the order of arrival. Raises RateLimited, Interrupted."""
        if self._waiting[name] >= WAITING:
            raise RateLimited("Too many requests are waiting. Ask again in a few seconds.")
        self._waiting[name] += 1
        try:
            await self._free[name].acquire()
        finally:
            self._waiting[name] -= 1
        try:
            if self._closing.is_set():
                raise Interrupted(ENDING)
            yield
        finally:
            self._free[name].release()

    @asynccontextmanager
    async def _used(self, name: str) -> AsyncIterator[Runtime]:
        """The model, loaded, which stays so meanwhile. Raises BackendError."""
        async with self._busy(name):
            yield await self._backend(name)

    @asynccontextmanager
    async def _busy(self, name: str) -> AsyncIterator[None]:
        """While a model answers: it stays in memory."""
        self._answering[name] += 1
        try:
            yield
        finally:
            self._answering[name] -= 1
            if name in self._leaving:
                self.unload(name)

    async def vectors(self, entry: Entry, texts: Sequence[str], *, cut: bool = False) -> tuple[list[list[float]], int]:
        """An embedding of each text, and the tokens of all of them; `cut`: as in `Embedder`. Raises BackendError."""
        name = entry.base
        async with self._turn(name), self._busy(name):
            embedder = await self._embedder(name)
            made = [await run_in_threadpool(embedder, text, cut=cut) for text in texts]  # a client may leave between
        return [vector for vector, _ in made], sum(tokens for _, tokens in made)

    async def _embedder(self, name: str) -> Embedder:
        async with self._loading:
            if name not in self._embedders:
                from utils.server.embed import Embedder  # here: PyTorch takes seconds, and few need it

                if not any(file.suffix == ".safetensors" for file in self.files(name)):
                    raise Unsupported(f"{name} makes no vectors here: that needs weights in the safetensors format.")
                self._make_room(name)
                self._embedders[name] = await run_in_threadpool(Embedder, self.folder(name))
            return self._embedders[name]

    async def context(self, job: Job, answer: str) -> list[int]:
        """The tokens of a request and its answer, for `Job.before` of the next one. Raises BackendError."""
        async with self._used(job.entry.base) as backend:
            asked = await run_in_threadpool(jobs.ids, backend, job)
            return [*asked, *(await run_in_threadpool(backend.text_ids, answer) if answer else ())]

    async def load(self, entry: Entry) -> None:
        """Brings a model into memory before it is asked. Raises BackendError."""
        await self._backend(entry.base)

    async def _backend(self, name: str) -> Runtime:
        async with self._loading:
            if name not in self._backends:
                self._make_room(name)
                self._backends[name] = await run_in_threadpool(self._load, name)
            self._backends[name] = self._backends.pop(name)
            return self._backends[name]

    def _make_room(self, name: str) -> None:
        """Frees models that nobody is asking, those asked longest ago first, until `name` fits beside the others."""
        for other in self.loaded:
            together = [name, *self._backends, *self._embedders]
            if sum(map(self._bytes, together)) > self._memory and not self._answering[other]:
                self.unload(other)

    def _bytes(self, name: str) -> int:
        """What a model takes in memory: its weights, which as safetensors lie on the disk in half the width."""
        return sum(file.stat().st_size * (2 if file.suffix == ".safetensors" else 1) for file in self.files(name))

    def keep(self, name: str, seconds: float | None) -> None:
        """Leaves a model in memory for so long from now (below 0: for ever; 0: not at all; None: as before)."""
        if seconds is None:
            return
        if name in self._timers:
            self._timers.pop(name).cancel()
        self.expires.pop(name, None)
        self._leaving.discard(name)
        if seconds == 0:
            self.unload(name)
        elif seconds > 0:
            self.expires[name] = time.time() + seconds
            self._timers[name] = asyncio.get_running_loop().call_later(seconds, self.keep, name, 0)

    def unload(self, name: str) -> None:
        """Frees a model's memory, at once or after the answers in progress; the next request loads it again."""
        if self._answering[name]:
            self._leaving.add(name)
        else:
            self._leaving.discard(name)
            self._embedders.pop(name, None)
            if name in self._backends:
                self._backends.pop(name).close()

    def end(self) -> None:
        """Ends the answers in progress and those that wait, each with an error."""
        self._closing.set()

    def close(self) -> None:
        """Frees all models, once the answers in progress have ended; what is asked after that loads them again."""
        self.end()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._threads, self._closing = ThreadPoolExecutor(self._workers, "answer"), threading.Event()
        for backend in self._backends.values():
            with suppress(BackendError):
                backend.close()
        self._backends.clear()
        self._embedders.clear()
