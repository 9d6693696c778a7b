"""Ollama's wire format: newline-delimited JSON, durations in nanoseconds.

https://docs.ollama.com/api. The course server is not Ollama: it offers pocket models and what is made of them.
What a request may say, `ollama_requests.py` knows; `ollama_library.py` has the addresses that list and change models.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from utils.core import Chunk, Message, Part
from utils.errors import BackendError, BadInput, Unsupported
from utils.server.engine import Engine
from utils.server.job import Job
from utils.server.ollama_requests import Asked, Chat, Generate, seconds
from utils.server.wire import read, said, scored, started

Shape = Callable[[str], dict[str, Any]]


def _message(role: str, text: str, pictures: list[str] | None) -> Message:
    if not pictures:
        return {"role": role, "content": text}  # type: ignore[typeddict-item]
    parts: list[Part] = [{"type": "image", "image": f"data:;base64,{data}"} for data in pictures]
    return {"role": role, "content": [*parts, {"type": "text", "text": text}]}  # type: ignore[typeddict-item]


async def chat(request: Request) -> Response:
    """POST /api/chat. Without messages it only loads the model, or with keep_alive 0 frees it."""
    engine: Engine = request.app.state.engine
    body = await read(request, Chat)
    job = body.job(engine, messages=[_message(turn.role, turn.content, turn.images) for turn in body.messages])
    return await _reply(engine, job, body, lambda text: {"message": {"role": "assistant", "content": text}})


async def generate(request: Request) -> Response:
    """POST /api/generate. Without a prompt it only loads the model, or with keep_alive 0 frees it."""
    engine: Engine = request.app.state.engine
    body = await read(request, Generate)
    if body.suffix:
        raise Unsupported(f"{body.model} cannot fill a gap: it was not trained to. Leave suffix out.")
    if body.raw:
        job = body.job(engine, text=body.prompt)
    else:
        turns = [_message("system", body.system, None)] if body.system else []
        turns += [_message("user", body.prompt, body.images)] if body.prompt else []
        before = _known(engine, body)
        job = body.job(engine, messages=turns, template=body.template or "", before=before, remembers=True)
    return await _reply(engine, job, body, lambda text: {"response": text})


def _known(engine: Engine, body: Generate) -> tuple[int, ...]:
    """The context that an earlier answer gave. Raises BadInput for ids that the model does not have."""
    if not body.context:
        return ()
    known = engine.config(engine.library.find(body.model).base)["vocab_size"]
    if not all(0 <= token < known for token in body.context):
        raise BadInput("context: not what an earlier answer of this model gave.")
    return tuple(body.context)


async def _reply(engine: Engine, job: Job, body: Asked, shape: Shape) -> Response:
    head, kept = {"model": body.model}, seconds(body.keep_alive)
    if not job.messages and not job.text:
        if kept != 0:
            await engine.load(job.entry)
        engine.keep(job.entry.base, kept)
        reason = "unload" if kept == 0 else "load"
        return JSONResponse({**head, "created_at": now(), **shape(""), "done": True, "done_reason": reason})
    if job.stream:
        lines = await started(_lines(engine, job, head, shape, kept))
        return StreamingResponse(lines, media_type="application/x-ndjson")
    text, last, clock, rows = "", Chunk(""), _Clock(), list[dict[str, Any]]()
    await engine.load(job.entry)
    clock.loaded = time.perf_counter_ns()
    async for last in engine.chunks(job):
        clock.tick()
        text += last.text
        rows += scored(last)
    context = await _context(engine, job, text)
    engine.keep(job.entry.base, kept)
    return JSONResponse({**head, **shape(text), **_logprobs(job, rows), **_end(last, clock), **context})


async def _lines(
    engine: Engine, job: Job, head: dict[str, Any], shape: Shape, kept: float | None
) -> AsyncIterator[str]:
    last, clock, text = Chunk(""), _Clock(), ""
    try:
        await engine.load(job.entry)
        clock.loaded = time.perf_counter_ns()
        async for last in engine.chunks(job):
            clock.tick()
            text += last.text
            if last.text:
                piece = {**head, "created_at": now(), **shape(last.text), **_logprobs(job, scored(last)), "done": False}
                yield json.dumps(piece) + "\n"
    except BackendError as error:
        if not clock.first:  # nothing was sent yet
            raise
        yield json.dumps(error_body(error)) + "\n"
        return
    context = await _context(engine, job, text)
    engine.keep(job.entry.base, kept)
    yield json.dumps({**head, **shape(""), **_end(last, clock), **context}) + "\n"


async def _context(engine: Engine, job: Job, text: str) -> dict[str, Any]:
    """What /api/generate gives to be sent with the next request, so that the model knows what was said."""
    return {"context": await engine.context(job, text)} if job.remembers else {}


def _logprobs(job: Job, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"logprobs": rows} if job.options.logprobs else {}


class _Clock:
    """When a request came, when the model was loaded and when the first piece was ready, in nanoseconds."""

    def __init__(self) -> None:
        self.began = self.loaded = time.perf_counter_ns()
        self.first = 0

    def tick(self) -> None:
        self.first = self.first or time.perf_counter_ns()


def _end(last: Chunk, clock: _Clock) -> dict[str, Any]:
    done = time.perf_counter_ns()
    first = clock.first or done
    return {
        "created_at": now(),
        "done": True,
        "done_reason": last.finish_reason or "stop",
        "total_duration": done - clock.began,
        "load_duration": clock.loaded - clock.began,
        "prompt_eval_count": last.prompt_tokens or 0,
        "prompt_eval_duration": first - clock.loaded,
        "eval_count": last.tokens or 0,
        "eval_duration": done - first,
    }


def now() -> str:
    """The time as Ollama writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def error_body(error: BackendError) -> dict[str, Any]:
    """An error as Ollama shapes it."""
    return {"error": said(error)}
