"""Ollama's addresses that list, describe, make and fetch models.

https://docs.ollama.com/api. What is made here is a name with a system prompt and settings; weights are never uploaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from utils.errors import BadInput, Unsupported
from utils.pocket import weights
from utils.server.engine import Engine
from utils.server.library import Entry
from utils.server.ollama import now
from utils.server.ollama_requests import Parameters, named, settings
from utils.server.template import conversation
from utils.server.wire import Body, options, read

VERSION = "0.0.0-pocket-phi"
PIECE = 1_000_000  # bytes that are read between two lines of progress
CONTEXT = "max_position_embeddings"  # the context's length, by the name that model configurations have for it
FORMATS = {".safetensors": "safetensors", ".onnx": "onnx", ".bin": "openvino"}
FOR_EVER = "2318-01-01T00:00:00Z"


class Named(Body):
    """A request about one model; older clients say `name`."""

    model: str = ""
    name: str = ""
    stream: bool = True

    @property
    def which(self) -> str:
        """The model's name. Raises BadInput for none."""
        return named(self.model or self.name)


class Create(Named):
    """POST /api/create. `from` is the model it is made of."""

    from_: str = ""
    system: str | None = None
    template: str | None = None
    parameters: Parameters | None = None
    files: dict[str, str] | None = None
    adapters: dict[str, str] | None = None
    quantize: str | None = None
    messages: list[Any] | None = None
    license: str | list[str] | None = None

    model_config = Named.model_config | {"alias_generator": lambda name: name.rstrip("_")}


class Copy(Body):
    """POST /api/copy."""

    source: str
    destination: str


async def hello(request: Request) -> Response:
    """GET /: what a client asks to see whether a server is there."""
    return Response("The Pocket Phi course server is running.", media_type="text/plain")


async def version(request: Request) -> Response:
    """GET /api/version."""
    return JSONResponse({"version": VERSION})


async def tags(request: Request) -> Response:
    """GET /api/tags: the models that can be asked."""
    engine: Engine = request.app.state.engine
    return JSONResponse({"models": [_row(engine, entry) for entry in engine.library.entries]})


async def running(request: Request) -> Response:
    """GET /api/ps: the models in memory."""
    engine: Engine = request.app.state.engine
    rows = []
    for name in engine.loaded:
        until = engine.expires.get(name)
        leaves = FOR_EVER if until is None else datetime.fromtimestamp(until, UTC).isoformat()
        row = _row(engine, engine.library.find(name))
        del row["modified_at"]
        rows.append({**row, "size_vram": 0, "expires_at": leaves, "context_length": engine.config(name)[CONTEXT]})
    return JSONResponse({"models": rows})


async def show(request: Request) -> Response:
    """POST /api/show."""
    engine: Engine = request.app.state.engine
    entry = engine.library.find((await read(request, Named)).which)
    folder = engine.folder(entry.base)
    config = engine.config(entry.base)
    family, details = config["model_type"], _details(engine, entry)
    facts = {
        "general.architecture": family,
        f"{family}.context_length": config[CONTEXT],
        f"{family}.embedding_length": config["hidden_size"],
        f"{family}.block_count": config["num_hidden_layers"],
    }
    can = {"completion": True, "embedding": details["format"] == "safetensors", "vision": "vision_config" in config}
    answer = {
        "modelfile": _modelfile(entry),
        "parameters": "\n".join(_parameters(entry)),
        "template": entry.template or _template(folder),
        "system": entry.system,
        "details": details,
        "model_info": facts,
        "capabilities": [name for name, able in can.items() if able],
        "modified_at": now(),
    }
    return JSONResponse(answer)


def _parameters(entry: Entry) -> list[str]:
    """As a Modelfile has them, texts in quotation marks."""
    rows = [
        (name, one)
        for name, value in entry.parameters.items()
        for one in (value if isinstance(value, list) else [value])
    ]
    return [f"{name} {json.dumps(one, ensure_ascii=False)}" for name, one in rows]


def _modelfile(entry: Entry) -> str:
    lines = [f"FROM {entry.base}"]
    lines += [f'SYSTEM """{entry.system}"""'] if entry.system else []
    lines += [f'TEMPLATE """{entry.template}"""'] if entry.template else []
    return "\n".join([*lines, *(f"PARAMETER {parameter}" for parameter in _parameters(entry))])


def _template(folder: Path) -> str:
    file = folder / "chat_template.jinja"
    return file.read_text(encoding="utf-8") if file.exists() else ""


def _details(engine: Engine, entry: Entry) -> dict[str, Any]:
    family = engine.config(entry.base)["model_type"]
    suffixes = {file.suffix for file in engine.files(entry.base)}
    plain = ".safetensors" in suffixes
    return {
        "parent_model": "" if entry.name == entry.base else entry.base,
        "format": next((form for suffix, form in FORMATS.items() if suffix in suffixes), "unknown"),
        "family": family,
        "families": [family],
        "parameter_size": f"{weights.parameters(engine.folder(entry.base)) / 1e6:.1f}M" if plain else "",
        "quantization_level": "F16" if plain else "",
    }


def _row(engine: Engine, entry: Entry) -> dict[str, Any]:
    name = entry.name if ":" in entry.name else f"{entry.name}:latest"
    return {
        "name": name,
        "model": name,
        "modified_at": datetime.fromtimestamp(entry.made, UTC).isoformat(),
        "size": sum(file.stat().st_size for file in engine.files(entry.base)),
        "digest": hashlib.sha256(repr(entry).encode()).hexdigest(),
        "details": _details(engine, entry),
    }


async def create(request: Request) -> Response:
    """POST /api/create: a new name with a system prompt and settings over a model that is there."""
    engine: Engine = request.app.state.engine
    body = await read(request, Create)
    if body.files or body.adapters or body.quantize or body.messages or body.license:
        raise Unsupported("The course server makes models of FROM, SYSTEM, TEMPLATE and PARAMETER only.")
    if not body.from_:
        raise BadInput("from: field required. It names the model that the new one is made of.")
    if body.template:
        conversation(body.template, [{"role": "user", "content": "x"}])  # an error is better said now than when asked
    given = settings(body.parameters)
    options(given, {})  # as above
    said: dict[str, Any] = {"system": body.system, "template": body.template}
    said["parameters"] = body.parameters.model_dump(exclude_none=True) if body.parameters else {}
    engine.library.make(body.which, body.from_, **said, **given)
    return await _lines(body.stream, _said("using existing layer", "writing manifest", "success"))


async def copy(request: Request) -> Response:
    """POST /api/copy."""
    body = await read(request, Copy)
    request.app.state.engine.library.make(body.destination, body.source)
    return Response()


async def delete(request: Request) -> Response:
    """DELETE /api/delete."""
    request.app.state.engine.library.delete((await read(request, Named)).which)
    return Response()


async def pull(request: Request) -> Response:
    """POST /api/pull: the models lie here already, so their files are read and checked, with the progress of that."""
    engine: Engine = request.app.state.engine
    body = await read(request, Named)
    return await _lines(body.stream, _checked(engine.files(engine.library.find(body.which).base)))


async def _checked(files: list[Path]) -> AsyncIterator[dict[str, Any]]:
    yield {"status": "pulling manifest"}
    for file in files:
        digest, total, done = hashlib.sha256(), file.stat().st_size, 0
        with file.open("rb") as data:
            while piece := await run_in_threadpool(data.read, PIECE):
                digest.update(piece)
                done += len(piece)
                yield {"status": f"reading {file.name}", "digest": "", "total": total, "completed": done}
        yield {"status": f"sha256:{digest.hexdigest()}"}
    yield {"status": "success"}


async def _said(*states: str) -> AsyncIterator[dict[str, Any]]:
    for state in states:
        yield {"status": state}


async def _lines(stream: bool, states: AsyncIterator[dict[str, Any]]) -> Response:
    """All states, a line each, or only the last."""
    if stream:
        return StreamingResponse((json.dumps(s) + "\n" async for s in states), media_type="application/x-ndjson")
    last = [state async for state in states][-1]
    return JSONResponse(last)
