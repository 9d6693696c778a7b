"""The web application: which address answers in which wire format, and who is let in."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from utils.errors import BackendError, KeyProblem
from utils.server import azure, ollama, ollama_library, openai, openapi, vectors
from utils.server.engine import Engine
from utils.server.metrics import Counted
from utils.server.wire import Refused, attended, status

LOOPBACK = ["127.0.0.1", "localhost", "::1"]  # what a Host header may say: a page of the web cannot reach us by name
LATER = {"retry-after": "2"}  # seconds
Handler = Callable[[Request], Awaitable[Response]]


async def health(request: Request) -> Response:
    """Whether the server lives, and which models are in memory."""
    return JSONResponse({"status": "ok", "loaded": request.app.state.engine.loaded})


async def metrics(request: Request) -> Response:
    """Counts and times in Prometheus's text format."""
    return Response(generate_latest(request.app.state.engine.metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def describe(request: Request) -> Response:
    """This description of all addresses."""
    return JSONResponse(openapi.description(ROUTES))


ROUTES: dict[str, dict[str, Handler]] = {
    "GET": {
        "/": ollama_library.hello,
        "/health": health,
        "/metrics": metrics,
        "/openapi.json": describe,
        "/v1/models": openai.models,
        "/v1/models/{name:path}": openai.model,
        "/info": azure.info,
        "/api/version": ollama_library.version,
        "/api/tags": ollama_library.tags,
        "/api/ps": ollama_library.running,
    },
    "POST": {
        "/v1/chat/completions": openai.chat,
        "/v1/completions": openai.completions,
        "/v1/embeddings": vectors.openai,
        "/chat/completions": azure.chat,
        "/embeddings": vectors.openai,
        "/api/chat": ollama.chat,
        "/api/generate": ollama.generate,
        "/api/embed": vectors.ollama,
        "/api/embeddings": vectors.ollama_older,
        "/api/show": ollama_library.show,
        "/api/create": ollama_library.create,
        "/api/copy": ollama_library.copy,
        "/api/pull": ollama_library.pull,
    },
    "DELETE": {"/api/delete": ollama_library.delete},
}


def make(
    engine: Engine, *, key: str | None = None, hosts: Sequence[str] = LOOPBACK, origins: Sequence[str] = ()
) -> Starlette:
    """The application. With a `key`, every request but /health must bring it; `hosts` are the names it answers to;
    `origins` are the web pages that may ask it from a browser.
    """

    def guarded(handler: Handler) -> Handler:
        async def checked(request: Request) -> Response:
            if "*" not in hosts and _host(request) not in hosts:
                raise Refused(f"The course server answers only as {', '.join(hosts)}.", 400)
            page = request.headers.get("origin")  # only a browser sends it, for the page that asks
            if page and page not in origins and "*" not in origins:
                raise Refused("A web page may ask only where the server was started with --cors for it.", 403)
            if key and handler is not health and not _is(key, request):
                raise KeyProblem("The key is missing or wrong. Ask whoever started the course server for it.")
            return await attended(request, handler)

        return checked

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        yield
        engine.close()

    routes = [
        Route(path, guarded(handler), methods=[method])
        for method, rows in ROUTES.items()
        for path, handler in rows.items()
    ]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(Counted, metrics=engine.metrics, paths=frozenset(p for rows in ROUTES.values() for p in rows)),
            *(
                [Middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])]
                * bool(origins)
            ),
        ],
        exception_handlers={BackendError: _explain, HTTPException: _explain_http, Exception: _explain_other},  # type: ignore[dict-item]
        lifespan=life,
    )
    app.state.engine = engine
    return app


async def busy(scope: Scope, receive: Receive, send: Send) -> None:
    """The application in place of the other one, when there are too many connections."""
    request = Request(scope)
    answer = JSONResponse(
        _body(request, Refused("Too many clients. Ask again in a few seconds.", 503)),
        503,
        LATER | {"connection": "close"},
    )
    await answer(scope, receive, send)


def _host(request: Request) -> str:
    """The name by which the client calls this server."""
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def _is(key: str, request: Request) -> bool:
    """Whether the request brings the key, in UTF-8 or Latin-1, as clients differ in that."""
    given = request.headers.get("authorization", "").partition(" ")[2] or request.headers.get("api-key", "")
    return any(hmac.compare_digest(form, key.encode()) for form in (given.encode("latin-1", "replace"), given.encode()))


def _body(request: Request, error: BackendError) -> dict[str, Any]:
    """The error in the shape of the wire format that this address belongs to."""
    path = request.url.path
    if path.startswith("/v1/"):
        return openai.error_body(error)
    return ollama.error_body(error) if path.startswith("/api/") else azure.error_body(error)


async def _explain(request: Request, error: BackendError) -> Response:
    code = status(error)
    return JSONResponse(_body(request, error), code, LATER if code in (429, 503) else None)


async def _explain_http(request: Request, error: HTTPException) -> Response:
    what = Refused(f"{request.method} {request.url.path[:80]}: {error.detail}.", error.status_code)
    return JSONResponse(_body(request, what), error.status_code, error.headers)


async def _explain_other(request: Request, error: Exception) -> Response:
    """A fault of ours: its traceback is in the server's log, and nothing of it goes to the client."""
    what = BackendError(f"The course server stumbled ({type(error).__name__}). Its log says more.")
    return JSONResponse(_body(request, what), 500)
