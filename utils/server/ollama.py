"""Ollama's wire format: newline-delimited JSON, durations in nanoseconds.

https://docs.ollama.com/api. The course server is not Ollama: it keeps no library of its own and offers pocket models.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from utils import pocket
from utils.core import Chunk, Message, Part
from utils.errors import BackendError
from utils.server.engine import Engine, Job
from utils.server.wire import Body, options, read, started

VERSION = "0.0.0-pocket-phi"


class Turn(Body):
    """A message; pictures are base64 texts beside it."""

    role: str
    content: str = ""
    images: list[str] | None = None


class Sampling(Body):
    """`options`: what the course's lessons use of them."""

    num_predict: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None


class Chat(Body):
    """POST /api/chat."""

    model: str
    messages: list[Turn] = Field(default_factory=list)
    stream: bool = True
    format: str | dict[str, Any] | None = None
    options: Sampling | None = None

    def job(self) -> Job:
        """The same for the engine. Raises BadInput."""
        given = self.options or Sampling()
        schema = {"type": "object"} if self.format == "json" else self.format or None
        limit = given.num_predict
        chosen = options(
            max_tokens=None if limit is None or limit < 0 else limit,  # -1: as long as the model likes
            temperature=given.temperature,
            top_p=given.top_p,
            seed=given.seed,
            stop=given.stop,
            schema=schema if isinstance(schema, dict) else None,
            otherwise=0.8,
        )
        turns = [_message(turn) for turn in self.messages]
        return Job(model=self.model, messages=turns, options=chosen, stream=self.stream)


class Named(Body):
    """The body of requests about one model."""

    model: str = ""
    name: str = ""


def _message(turn: Turn) -> Message:
    if not turn.images:
        return {"role": turn.role, "content": turn.content}  # type: ignore[typeddict-item]
    pictures: list[Part] = [{"type": "image", "image": f"data:;base64,{data}"} for data in turn.images]
    return {"role": turn.role, "content": [*pictures, {"type": "text", "text": turn.content}]}  # type: ignore[typeddict-item]


async def chat(request: Request) -> Response:
    """POST /api/chat."""
    job = (await read(request, Chat)).job()
    engine: Engine = request.app.state.engine
    head = {"model": job.model}
    engine.find(job.model)
    if job.stream:
        return StreamingResponse(await started(_lines(engine, job, head)), media_type="application/x-ndjson")
    text, last, clock = [], Chunk(""), _Clock()
    async for last in engine.chunks(job):
        clock.tick()
        text.append(last.text)
    return JSONResponse({**head, **_end("".join(text), last, clock)})


async def _lines(engine: Engine, job: Job, head: dict[str, Any]) -> AsyncIterator[str]:
    last, clock = Chunk(""), _Clock()
    try:
        async for last in engine.chunks(job):
            clock.tick()
            if last.text:
                message = {"role": "assistant", "content": last.text}
                yield json.dumps({**head, "created_at": _now(), "message": message, "done": False}) + "\n"
    except BackendError as error:
        if not clock.first:  # nothing was sent yet
            raise
        yield json.dumps(error_body(error)) + "\n"
        return
    yield json.dumps({**head, **_end("", last, clock)}) + "\n"


class _Clock:
    """When a request came, and when its first piece was ready, in nanoseconds."""

    def __init__(self) -> None:
        self.began, self.first = time.perf_counter_ns(), 0

    def tick(self) -> None:
        self.first = self.first or time.perf_counter_ns()


def _end(text: str, last: Chunk, clock: _Clock) -> dict[str, Any]:
    now = time.perf_counter_ns()
    first = clock.first or now
    return {
        "created_at": _now(),
        "message": {"role": "assistant", "content": text},
        "done": True,
        "done_reason": last.finish_reason or "stop",
        "total_duration": now - clock.began,
        "load_duration": 0,
        "prompt_eval_count": last.prompt_tokens or 0,
        "prompt_eval_duration": first - clock.began,
        "eval_count": last.tokens or 0,
        "eval_duration": now - first,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


async def hello(request: Request) -> Response:
    """GET /: what a client asks to see whether a server is there."""
    return Response("The Pocket Phi course server is running.", media_type="text/plain")


async def version(request: Request) -> Response:
    """GET /api/version."""
    return JSONResponse({"version": VERSION})


async def tags(request: Request) -> Response:
    """GET /api/tags: the models that can be asked."""
    return JSONResponse({"models": [_row(name) for name in request.app.state.engine.names]})


async def running(request: Request) -> Response:
    """GET /api/ps: the models in memory."""
    rows = [{**_row(name), "size_vram": 0, "expires_at": _now()} for name in request.app.state.engine.loaded]
    return JSONResponse({"models": rows})


async def show(request: Request) -> Response:
    """POST /api/show."""
    body = await read(request, Named)
    name = request.app.state.engine.find(body.model or body.name)
    config = json.loads((pocket.folder(name) / "config.json").read_bytes())
    facts = {"general.architecture": "phi3", "phi3.context_length": config["max_position_embeddings"]}
    details = {"modelfile": f"FROM {name}", "template": "", "parameters": "", "license": "MIT", "model_info": facts}
    return JSONResponse({**details, "details": _row(name)["details"], "capabilities": ["completion"]})


def _row(name: str) -> dict[str, Any]:
    file = pocket.folder(name) / "model.safetensors"
    details = {"parent_model": "", "format": "safetensors", "family": "phi3", "families": ["phi3"]}
    details |= {"parameter_size": "4M", "quantization_level": "F16"}
    return {
        "name": f"{name}:latest",
        "model": f"{name}:latest",
        "modified_at": datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat(),
        "size": file.stat().st_size,
        "digest": "",
        "details": details,
    }


def error_body(error: BackendError) -> dict[str, Any]:
    """An error as Ollama shapes it."""
    return {"error": str(error)}
