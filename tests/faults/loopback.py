"""A server made of a raw socket, which does to a client whatever a test says, and the wire formats to say it in."""

import json
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field


class Wire(str):
    """A wire format, and a route (with one of its client libraries) that speaks it."""

    def __new__(cls, wire, route, client=None):
        made = super().__new__(cls, wire)
        made.route, made.client = route, client
        return made


WIRES = (
    Wire("openai", "nim"),
    Wire("openai", "github-models", "openai"),
    Wire("openai", "foundry", "openai"),
    Wire("azure", "github-models"),
    Wire("azure", "foundry"),
    Wire("ollama", "ollama"),
)
ROUTES = {"openai": "nim", "azure": "github-models", "ollama": "ollama"}  # for what one route shows for all
VARIABLES = {
    "nim": "NVIDIA_BASE_URL",
    "github-models": "GITHUB_MODELS_ENDPOINT",
    "foundry": "AZURE_INFERENCE_ENDPOINT",
    "ollama": "OLLAMA_HOST",
}
KEYS = {
    "nim": "NVIDIA_API_KEY",
    "github-models": "GITHUB_TOKEN",
    "foundry": "AZURE_INFERENCE_CREDENTIAL",
    "ollama": "OLLAMA_API_KEY",
}
KEY = "nvapi-Secret0123456789abcdef"


@dataclass
class Request:
    """What a client sent."""

    line: str
    headers: dict
    body: bytes = b""


@dataclass
class FaultServer:
    """Serves each chat request with the next of `acts`, the last one for ever; `requests` are the chats it got."""

    acts: list
    listing: bytes = b""
    requests: list = field(default_factory=list)

    def __post_init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self.socket.accept()[0],), daemon=True).start()

    def _serve(self, connection):
        with connection, suppress(OSError):
            request = _read(connection)
            if request is None:
                return
            if "chat" not in request.line:
                connection.sendall(self.listing or head(404, "application/json"))
                return
            self.requests.append(request)
            act = self.acts[min(len(self.requests), len(self.acts)) - 1]
            if isinstance(act, bytes):
                connection.sendall(act)
            else:
                act(connection)

    def close(self):
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # else the thread that waits in accept() keeps it open
        self.socket.close()


def _read(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    top, _, body = data.partition(b"\r\n\r\n")
    line, *fields = top.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (f.partition(": ") for f in fields)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    return Request(line, headers, body)


def head(status, kind, **fields):
    """The top of a response that ends with its connection."""
    lines = [f"HTTP/1.1 {status} Status", f"content-type: {kind}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def begin(wire):
    """The top of an answer in a stream."""
    return head(200, "application/x-ndjson" if wire == "ollama" else "text/event-stream")


def piece(wire, text, **fields):
    """One event with some text."""
    if wire == "ollama":
        body = {"model": "m", "created_at": "2026-11-21T00:00:00Z", "done": False}
        return _line(wire, body | {"message": {"role": "assistant", "content": text}} | fields)
    return _line(wire, _event({"content": text}, None) | fields)


def end(wire, tokens=2, finish="stop"):
    """The last events, with the token counts."""
    if wire == "ollama":
        counts = {"done": True, "done_reason": finish, "eval_count": tokens, "prompt_eval_count": 7}
        return piece(wire, "", **counts)
    usage = {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens}
    last = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage}
    return _line(wire, _event({}, finish)) + _line(wire, last) + b"data: [DONE]\n\n"


def _event(delta, finish):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def _line(wire, body):
    text = json.dumps(body, ensure_ascii=False).encode()
    return text + b"\n" if wire == "ollama" else b"data: " + text + b"\n\n"


def answer(wire, *texts):
    """A whole, healthy answer."""
    return begin(wire) + b"".join(piece(wire, text) for text in texts) + end(wire, len(texts))


def error(wire, status, message, **fields):
    """A response that says no, in the wire format's own shape."""
    code = {"message": message, "code": "x", "type": "x"}
    body = {"error": message} if wire == "ollama" else {"error": code}
    return head(status, "application/json", **fields) + json.dumps(body).encode()


def reset(connection):
    """Ends the connection the hard way."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
