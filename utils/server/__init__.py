"""The course server: pocket models behind the wire formats of OpenAI, Azure AI Inference and Ollama, on this machine.

It lets the official client libraries run for real without a key, a network or a big model. It is not Ollama and not
NIM, and never says that it is. Starting it loads no model: that happens with the first question.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import psutil
import uvicorn
from starlette.applications import Starlette

from utils import catalog, pocket
from utils.backends import connect
from utils.backends.probe import direct
from utils.backends.target import resolve
from utils.errors import BadInput
from utils.server import patience
from utils.server.app import LOOPBACK, make
from utils.server.engine import Engine
from utils.server.job import Runtime
from utils.values import count, finite

GRACE_S = 2.0  # for the answers in progress when the server is told to end; the rest of them then gets an error
SLOTS = 64  # answers at a time for each model: as many as a class sends at once take turns, token by token


class Server:
    """A course server in this process. `url` is its address; `stop()` ends it, and so does the end of the process."""

    def __init__(self, engine: Engine, port: int, key: str | None) -> None:
        self._socket = _listen("127.0.0.1", port, "Leave port out: then any free one is taken.")
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        direct(self.url)
        self.engine = engine
        self._server = _server(engine, make(engine, key=key))
        sockets = [self._socket]
        self._thread = threading.Thread(target=self._server.run, args=(sockets,), name="course server", daemon=True)
        self._thread.start()  # the socket listens already: nobody needs to wait

    def __repr__(self) -> str:
        return f"<course server at {self.url}>"

    def __str__(self) -> str:
        return self.url

    def stop(self) -> None:
        """Ends the answers in progress, frees the models and the port. May be called twice."""
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()


def start(
    model: str | os.PathLike[str] | None = None,
    *,
    port: int = 0,
    route: str = "onnx",
    key: str | None = None,
    slots: int = SLOTS,
    memory: float | None = None,
) -> Server:
    """Starts a course server on this machine, on any free port unless one is named; its `url` is where to ask it.

    `model`: the one that answers when a request names none; a real model that was fetched for this route, or a model
    folder, is offered instead of the pocket models.
    `slots`: answers at a time for each model. `memory`: GB for all loaded models together; half the machine's if None.
    Raises BadInput.
    """
    return Server(_engine(model, route, slots, memory), port, key)


def serve(
    model: str | None,
    *,
    host: str,
    port: int,
    route: str,
    key: str | None,
    slots: int,
    memory: float | None,
    origins: Sequence[str],
    say: Callable[[str], object],
) -> None:
    """Runs a course server until Ctrl-C or SIGTERM, telling `say` where it is, and each request to the log
    "utils.server". Where others can reach this machine it asks them for a key, made up if none is given.

    Raises BadInput.
    """
    here = host in LOOPBACK
    made_up = not here and not key
    key = secrets.token_urlsafe(12) if made_up else key
    engine = _engine(model, route, slots, memory)
    listener = _listen(host, port, "Try --port 0, which takes a free one.")
    shown = f"[{host}]" if ":" in host else host
    say(f"The course server is at http://{shown}:{listener.getsockname()[1]} (OpenAI: /v1). Ctrl-C ends it.")
    if made_up:
        say(f"Others can reach it, so every client must send this key: {key}")
    _server(engine, make(engine, key=key, hosts=LOOPBACK if here else ["*"], origins=origins)).run([listener])


def _listen(host: str, port: int, advice: str) -> socket.socket:
    try:
        found = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        # asyncio sends at once (TCP_NODELAY) only through sockets that say they are TCP; else answers wait for 40 ms
        return socket.socket(found.family, found.type, socket.IPPROTO_TCP, fileno=found.detach())
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or "no such port"
        raise BadInput(f"Port {port} of {host} cannot be used: {why}. {advice}") from None


def _engine(model: str | os.PathLike[str] | None, route: str, slots: int, memory: float | None) -> Engine:
    """Raises BadInput."""
    routes = [row.name for row in catalog.load().routes.values() if not row.hosted]
    if route not in routes:
        raise BadInput(f"The course server runs its models on {', '.join(routes)}, not on {route!r}.")
    slots = count("slots", slots)
    if memory is not None and not (finite(memory) and memory > 0):
        raise BadInput(f"memory is {memory!r:.80}, but it must be a number of gigabytes above 0.")
    names, folder = _offered(None if model is None else os.fspath(model), catalog.load().routes[route])

    def load(name: str) -> Runtime:
        wanted = name if name in pocket.NAMES else folder(name)
        batches: dict[str, Any] = {"slots": slots} if route == "llama.cpp" else {}  # computed in batches
        return cast(Runtime, connect(route, wanted, mode="offline", **batches))

    allowed = psutil.virtual_memory().total / 2 if memory is None else memory * 1e9
    return Engine(load, folder, names, slots, allowed)


def _offered(model: str | None, route: catalog.Route) -> tuple[list[str], Callable[[str], Path]]:
    """The names of the models to offer, the first by default, and where each lies.

    Raises BadInput, or NotInstalled for one to download.
    """
    if model is None or model in pocket.NAMES:
        return sorted(pocket.NAMES, key=lambda name: name != model), pocket.folder  # which unpacks: not all at once
    if model in catalog.load().models:
        return [model], {model: resolve(route, model, "live").folder}.__getitem__
    folder = Path(model).expanduser().resolve()
    if not any((folder / name).is_file() for name in ("config.json", "genai_config.json")):
        raise BadInput(f"{model} is neither a model of the catalogue nor a model folder.")
    return [folder.name], {folder.name: folder}.__getitem__


class _Graceful(uvicorn.Server):
    """Ends what is still being answered in time for each client to hear of it."""

    def __init__(self, config: uvicorn.Config, engine: Engine) -> None:
        super().__init__(config)
        self._engine = engine

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """What uvicorn does when it is told to end."""
        end = asyncio.get_running_loop().call_later(GRACE_S, self._engine.end)
        await super().shutdown(sockets)
        end.cancel()


def _server(engine: Engine, application: Starlette) -> uvicorn.Server:
    config = uvicorn.Config(application, log_level="warning", access_log=False, ws="none", **patience.settings())
    config.timeout_graceful_shutdown = round(GRACE_S + 2)  # for a client that does not read, too
    return _Graceful(config, engine)
