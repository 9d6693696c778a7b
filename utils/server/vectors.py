"""Texts as vectors, in the three wire formats: OpenAI's and Azure's, and Ollama's newer and older one.

How a vector is made, `embed.py` knows.
"""

from __future__ import annotations

import base64
import struct
import time
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from utils.errors import BadInput
from utils.server.engine import Engine
from utils.server.ollama_requests import named, seconds
from utils.server.wire import Body, Texts, read

TEXTS = 2048  # in one request, as OpenAI allows


class Vectors(Body):
    """POST /v1/embeddings, /embeddings and /api/embed."""

    model: str = ""
    input: Texts
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    truncate: bool = True  # Ollama's: whether a text that is too long is cut
    keep_alive: float | str | None = None  # Ollama's


class Text(Body):
    """POST /api/embeddings, Ollama's older form."""

    model: str
    prompt: str
    keep_alive: float | str | None = None


async def _made(
    request: Request,
    model: str,
    texts: str | list[str],
    *,
    cut: bool = False,
    keep_alive: float | str | None = None,
) -> tuple[str, list[list[float]], int]:
    """The model's name, a vector for each text, and the tokens of all."""
    engine: Engine = request.app.state.engine
    kept = seconds(keep_alive)
    entry, listed = engine.library.find(model), [texts] if isinstance(texts, str) else texts
    if not listed or not all(text.strip() for text in listed):
        raise BadInput("An input is empty. Every text needs a word at least.")
    if len(listed) > TEXTS:
        raise BadInput(f"{len(listed):,} texts are too many for one request. Send at most {TEXTS:,}.")
    vectors, tokens = await engine.vectors(entry, listed, cut=cut)
    engine.keep(entry.base, kept)
    return entry.name, vectors, tokens


async def openai(request: Request) -> Response:
    """POST /v1/embeddings and, for Azure, /embeddings."""
    body = await read(request, Vectors)
    name, vectors, tokens = await _made(request, body.model, body.input)
    _check_dimensions(body, vectors)
    shaped: list[Any] = [_packed(v) for v in vectors] if body.encoding_format == "base64" else vectors
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(shaped)]
    counts = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JSONResponse({"object": "list", "data": data, "model": name, "usage": counts})


async def ollama(request: Request) -> Response:
    """POST /api/embed."""
    began = time.perf_counter_ns()
    body = await read(request, Vectors)
    model, cut = named(body.model), body.truncate
    _, vectors, tokens = await _made(request, model, body.input, cut=cut, keep_alive=body.keep_alive)
    _check_dimensions(body, vectors)
    spent = time.perf_counter_ns() - began
    counts = {"total_duration": spent, "load_duration": 0, "prompt_eval_count": tokens}
    return JSONResponse({"model": body.model, "embeddings": vectors, **counts})


async def ollama_older(request: Request) -> Response:
    """POST /api/embeddings: one text, one vector."""
    body = await read(request, Text)
    _, vectors, _ = await _made(request, named(body.model), body.prompt, cut=True, keep_alive=body.keep_alive)
    return JSONResponse({"embedding": vectors[0]})


def _check_dimensions(body: Vectors, vectors: list[list[float]]) -> None:
    if vectors and body.dimensions not in (None, len(vectors[0])):
        raise BadInput(f"dimensions: the vectors of this model have {len(vectors[0])}.")


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
