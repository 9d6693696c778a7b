"""OpenAI's wire format, which NVIDIA NIM, vLLM, llama.cpp and Azure's newer endpoints speak too.

https://platform.openai.com/docs/api-reference. `azure.py` uses the same shapes at other addresses. What a
request may say, `openai_requests.py` knows.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from utils.core import Chunk
from utils.errors import BackendError, BadInput
from utils.server.engine import Engine
from utils.server.job import Job
from utils.server.library import Entry
from utils.server.openai_requests import CHOICES, Chat, Continue
from utils.server.wire import messages, read, said, scored, started, status

Explain = Callable[[BackendError], dict[str, Any]]
CREATED = 1_700_000_000  # the models' date in /v1/models: any will do, but the field must be there


# How a choice holds its text: in a message, in a piece of a message, or bare.
def _whole(text: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text}}


def _piece(text: str) -> dict[str, Any]:
    return {"delta": {"content": text} if text else {}}


def _bare(text: str) -> dict[str, Any]:
    return {"text": text}


async def chat(request: Request) -> Response:
    """POST /v1/chat/completions."""
    engine: Engine = request.app.state.engine
    body = await read(request, Chat)
    return await reply(engine, body.job(engine, messages=messages(body.messages)), n=body.choices)


async def completions(request: Request) -> Response:
    """POST /v1/completions: how a text goes on, without a chat template."""
    engine: Engine = request.app.state.engine
    body = await read(request, Continue)
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    if not 1 <= len(prompts) * body.choices <= CHOICES:
        raise BadInput(f"prompt: 1 to {CHOICES} answers can be had at a time, n of them for each prompt.")
    return await reply(engine, *(body.job(engine, text=prompt) for prompt in prompts), n=body.choices)


async def reply(engine: Engine, job: Job, *more: Job, n: int = 1, explain: Explain | None = None) -> Response:
    """`n` answers to each, whole or as server-sent events; `explain` shapes an error in them, if not as OpenAI does.

    Raises BackendError before the first piece only.
    """
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": job.entry.name}
    jobs = [
        replace(one, options=replace(one.options, seed=(one.options.seed + i) % 2**31))
        for one in (job, *more)
        for i in range(n)
    ]
    kind = "chat.completion" if job.text is None else "text_completion"
    if job.stream:
        piece, name = (_piece, f"{kind}.chunk") if job.text is None else (_bare, kind)
        events = await started(_events(engine, jobs, {**head, "object": name}, piece, n, explain or error_body))
        return StreamingResponse(events, media_type="text/event-stream")
    shape = _whole if job.text is None else _bare
    choices, used = [], []
    for index, one in enumerate(jobs):
        text, last, rows = "", Chunk(""), list[dict[str, Any]]()
        async for last in engine.chunks(one):
            text += last.text
            rows += scored(last)
        told = _logprobs(one, rows)
        choices.append({"index": index, **shape(text), "finish_reason": last.finish_reason, "logprobs": told})
        used.append(last)
    return JSONResponse({**head, "object": kind, "choices": choices, "usage": usage(used, n)})


async def _events(
    engine: Engine,
    jobs: list[Job],
    head: dict[str, Any],
    piece: Callable[[str], dict[str, Any]],
    n: int,
    explain: Explain,
) -> AsyncIterator[str]:
    used: list[Chunk] = []

    def event(index: int, shaped: dict[str, Any], chunk: Chunk, finish: str | None = None) -> str:
        told = _logprobs(jobs[index], scored(chunk))
        return _sse({**head, "choices": [{"index": index, **shaped, "finish_reason": finish, "logprobs": told}]})

    sent = False
    try:
        for index, job in enumerate(jobs):
            last, first = Chunk(""), piece is _piece
            async for last in engine.chunks(job):
                if first:
                    yield event(index, {"delta": {"role": "assistant", "content": last.text}}, last)
                elif last.text:
                    yield event(index, piece(last.text), last)
                sent, first = True, False
            yield event(index, piece(""), Chunk(""), last.finish_reason)
            used.append(last)
    except BackendError as error:
        if not sent:
            raise
        broken = {"index": len(used), **piece(""), "finish_reason": "error", "logprobs": None}
        yield _sse({**head, "choices": [broken], **explain(error)})  # Azure's client hands on no event without choices
        return
    if jobs[0].usage:
        yield _sse({**head, "choices": [], "usage": usage(used, n)})
    yield "data: [DONE]\n\n"


def _logprobs(job: Job, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """In the shape of a chat, or of a text that goes on; None where nobody asked."""
    if not job.options.logprobs:
        return None
    if job.text is None:
        return {"content": rows, "refusal": None}
    return {"tokens": [row["token"] for row in rows], "token_logprobs": [row["logprob"] for row in rows]}


def _sse(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"


def usage(answers: list[Chunk], n: int = 1) -> dict[str, int]:
    """Token counts of the whole response, from the last chunk of each answer; `n` of them share a prompt."""
    prompt, answer = sum(last.prompt_tokens or 0 for last in answers[::n]), sum(last.tokens or 0 for last in answers)
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def error_body(error: BackendError) -> dict[str, Any]:
    """An error as OpenAI shapes it."""
    kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
    codes = {"TooLong": "context_length_exceeded", "UnknownModel": "model_not_found", "KeyProblem": "invalid_api_key"}
    kind = kinds.get(status(error), "invalid_request_error" if status(error) < 500 else "server_error")
    return {"error": {"message": said(error), "type": kind, "param": None, "code": codes.get(type(error).__name__)}}


async def models(request: Request) -> Response:
    """GET /v1/models."""
    rows = [_model(entry) for entry in request.app.state.engine.library.entries]
    return JSONResponse({"object": "list", "data": rows})


async def model(request: Request) -> Response:
    """GET /v1/models/NAME."""
    return JSONResponse(_model(request.app.state.engine.library.find(request.path_params["name"])))


def _model(entry: Entry) -> dict[str, Any]:
    return {"id": entry.name, "object": "model", "created": CREATED, "owned_by": "pocket-phi"}
