"""OpenAI's wire format, which NVIDIA NIM, vLLM, llama.cpp and Azure's newer endpoints speak too.

https://platform.openai.com/docs/api-reference/chat. `azure.py` uses the same chunks at other addresses.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from utils.core import Chunk
from utils.errors import BackendError, BadInput
from utils.server.engine import Engine, Job
from utils.server.wire import Body, Turn, messages, options, read, started, status

CREATED = 1_700_000_000  # the models' date in /v1/models: any will do, but the field must be there
ANY_OBJECT = {"type": "object"}


class StreamOptions(Body):
    """What a stream's end tells."""

    include_usage: bool = False


class Schema(Body):
    """A JSON schema and its name."""

    name: str = "answer"
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")  # `schema` is a method of every Body


class Format(Body):
    """What the answer must look like."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: Schema | None = None


class Chat(Body):
    """POST /v1/chat/completions."""

    model: str = ""
    messages: list[Turn]
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    n: int | None = 1
    response_format: Format | None = None

    def job(self, usage: bool) -> Job:
        """The same for the engine. Raises BadInput."""
        if self.n not in (None, 1):
            raise BadInput("The course server gives one answer at a time: n must be 1.")
        limit = self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
        chosen = options(
            max_tokens=limit,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            stop=self.stop,
            schema=_schema(self.response_format),
        )
        return Job(model=self.model, messages=messages(self.messages), options=chosen, stream=self.stream, usage=usage)


def _schema(wanted: Format | None) -> dict[str, Any] | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return ANY_OBJECT
    if wanted.json_schema is None or wanted.json_schema.schema_ is None:
        raise BadInput("response_format.json_schema.schema: field required.")
    return wanted.json_schema.schema_


async def chat(request: Request) -> Response:
    """POST /v1/chat/completions."""
    body = await read(request, Chat)
    job = body.job(usage=bool(body.stream_options and body.stream_options.include_usage))
    return await reply(request.app.state.engine, job)


async def reply(engine: Engine, job: Job) -> Response:
    """The answer, whole or as server-sent events. Raises BackendError before its first piece only."""
    name = engine.find(job.model)
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": name}
    if job.stream:
        events = await started(_events(engine, job, head))
        return StreamingResponse(events, media_type="text/event-stream")
    text, last = [], Chunk("")
    async for last in engine.chunks(job):
        text.append(last.text)
    message = {"role": "assistant", "content": "".join(text)}
    choice = {"index": 0, "message": message, "finish_reason": last.finish_reason, "logprobs": None}
    return JSONResponse({**head, "object": "chat.completion", "choices": [choice], "usage": usage(last)})


async def _events(engine: Engine, job: Job, head: dict[str, Any]) -> AsyncIterator[str]:
    head = {**head, "object": "chat.completion.chunk"}

    def event(delta: dict[str, str], finish: str | None) -> str:
        return _sse({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]})

    role: dict[str, str] = {"role": "assistant"}
    last = Chunk("")
    try:
        async for last in engine.chunks(job):
            if last.text or role:
                yield event({**role, "content": last.text}, None)
                role = {}
    except BackendError as error:
        if role:  # nothing was sent yet
            raise
        yield _sse(error_body(error))
        return
    yield event({}, last.finish_reason)
    if job.usage:
        yield _sse({**head, "choices": [], "usage": usage(last)})
    yield "data: [DONE]\n\n"


def _sse(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"


def usage(last: Chunk) -> dict[str, int]:
    """Token counts of the whole answer."""
    prompt, answer = last.prompt_tokens or 0, last.tokens or 0
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def error_body(error: BackendError) -> dict[str, Any]:
    """An error as OpenAI shapes it."""
    kinds = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
    codes = {"TooLong": "context_length_exceeded", "UnknownModel": "model_not_found", "KeyProblem": "invalid_api_key"}
    kind, code = kinds.get(status(error), "server_error"), codes.get(type(error).__name__)
    return {"error": {"message": str(error), "type": kind, "param": None, "code": code}}


async def models(request: Request) -> Response:
    """GET /v1/models."""
    rows = [_model(name) for name in request.app.state.engine.names]
    return JSONResponse({"object": "list", "data": rows})


async def model(request: Request) -> Response:
    """GET /v1/models/NAME."""
    return JSONResponse(_model(request.app.state.engine.find(request.path_params["name"])))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "pocket-phi"}
