"""The course server: pocket models behind the wire formats of OpenAI, Azure AI Inference and Ollama, on this machine.

It lets the official client libraries run for real without a key, a network or a big model. It is not Ollama and not
NIM, and never says that it is. Starting it loads no model: that happens with the first question.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from typing import cast

import uvicorn
from starlette.applications import Starlette

from utils import pocket
from utils.backends import connect
from utils.errors import BadInput
from utils.server.app import make
from utils.server.engine import Engine, Runtime

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Server:
    """A course server in this process. `url` is its address; `stop()` ends it, and so does the end of the process."""

    def __init__(self, *, port: int = 0, route: str = "onnx", key: str | None = None) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.engine = Engine(_loader(route), pocket.folder, pocket.NAMES)
        self._server = _server(make(self.engine, key=key))
        sockets = [self._socket]
        self._thread = threading.Thread(target=self._server.run, args=(sockets,), name="course server", daemon=True)
        self._thread.start()  # the socket listens already: nobody needs to wait

    def __repr__(self) -> str:
        return f"<course server at {self.url}>"

    def stop(self) -> None:
        """Ends the answers in progress, frees the models and the port. May be called twice."""
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()


def start(*, port: int = 0, route: str = "onnx", key: str | None = None) -> Server:
    """Starts a course server on this machine, on any free port unless one is named. Raises OSError for a taken port."""
    return Server(port=port, route=route, key=key)


def serve(names: Sequence[str], *, host: str, port: int, route: str, key: str | None) -> int:
    """Runs a course server in the foreground until Ctrl-C or SIGTERM; returns the exit status. Raises BadInput."""
    here = host in LOOPBACK
    if not here and not key:
        raise BadInput(f"On {host} others can reach this machine. Choose a key for them: --key SOMETHING.")
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or "no such port"
        raise BadInput(f"Port {port} of {host} cannot be used: {why}. Try --port 0, which takes a free one.") from None
    print(
        f"The course server is at http://{host}:{listener.getsockname()[1]} (OpenAI: /v1). Ctrl-C ends it.", flush=True
    )
    application = make(Engine(_loader(route), pocket.folder, names), key=key, hosts=None if here else ["*"])
    _server(application).run([listener])
    return 0


def _loader(route: str) -> Callable[[str], Runtime]:
    return lambda name: cast(Runtime, connect(route, name, mode="offline"))


def _server(application: Starlette) -> uvicorn.Server:
    config = uvicorn.Config(application, log_level="warning", access_log=False, ws="none")
    config.timeout_graceful_shutdown = 2  # seconds for the answers in progress
    return uvicorn.Server(config)
