"""Azure AI Inference's wire format, which GitHub Models spoke and Foundry's model endpoints spoke until 2026.

https://learn.microsoft.com/en-us/rest/api/aifoundry/modelinference/. Its chunks and vectors are OpenAI's.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from utils.errors import BackendError
from utils.server import openai
from utils.server.openai_requests import Chat
from utils.server.wire import messages, read, said, status


async def chat(request: Request) -> Response:
    """POST /chat/completions."""
    engine = request.app.state.engine
    body = await read(request, Chat)
    job = body.job(engine, usage=True, messages=messages(body.messages))
    return await openai.reply(engine, job, n=body.choices, explain=error_body)


async def info(request: Request) -> Response:
    """GET /info: the model that answers when a request names none."""
    name = request.app.state.engine.library.find("").name
    return JSONResponse({"model_name": name, "model_type": "chat-completion", "model_provider_name": "pocket-phi"})


def error_body(error: BackendError) -> dict[str, Any]:
    """An error as Azure shapes it."""
    return {"error": {"code": type(error).__name__, "message": said(error), "status": status(error)}}
