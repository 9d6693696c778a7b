"""The course server: pocket models behind the wire formats of OpenAI, Azure AI Inference and Ollama, on this machine.

It lets the official client libraries run for real without a key, a network or a big model. It is not Ollama and not
NIM, and never says that it is. Starting it loads no model: that happens with the first question.
"""

from __future__ import annotations

import socket
import threading

import uvicorn

from utils import pocket
from utils.backends import connect
from utils.core import Backend
from utils.server.app import make
from utils.server.engine import Engine


class Server:
    """A course server in this process. `url` is its address; `stop()` ends it, and so does the end of the process."""

    def __init__(self, *, port: int = 0, route: str = "onnx", key: str | None = None) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

        def load(name: str) -> Backend:
            return connect(route, name, mode="offline")

        self.engine = Engine(load, pocket.NAMES)
        config = uvicorn.Config(make(self.engine, key=key), log_level="warning", access_log=False, ws="none")
        config.timeout_graceful_shutdown = 2  # seconds for the answers in progress
        self._server = uvicorn.Server(config)
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
