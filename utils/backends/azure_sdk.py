"""Routes through the `azure-ai-inference` client: GitHub Models, and Foundry's model inference endpoints.

Microsoft deprecated the package and switched its service off on 2026-08-26; servers that speak its wire format, and
code that uses it, are still around. Its reader of streams has gaps, which are closed here, below it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import requests
import urllib3
from azure.ai.inference import ChatCompletionsClient
from azure.ai.inference.models import JsonSchemaFormat
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.pipeline.transport import RequestsTransport

from utils.backends.address import Address
from utils.backends.hosted import CONNECT_S, Chunks, HostedBackend
from utils.backends.stream import Watch, check_kind, mended
from utils.backends.trouble import Trouble
from utils.backends.wire import chunks, turn
from utils.core import Message, Options


class AzureBackend(HostedBackend):
    """A server that speaks Azure AI Inference's wire format."""

    lists = False

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        session = requests.Session()
        session.trust_env = not address.loopback  # a proxy has no business between this machine and itself
        self.client = ChatCompletionsClient(
            address.url,
            AzureKeyCredential(address.key or "none"),
            transport=RequestsTransport(
                session=session,
                session_owner=True,
                use_env_settings=session.trust_env,
                connection_timeout=CONNECT_S,
                read_timeout=self.first_s,
            ),
            per_call_policies=[_Guard()],
            retry_total=0,
            permit_redirects=False,
        )

    def _ask(self, messages: Sequence[Message], options: Options, watch: Watch) -> Chunks:
        limit = self.address.route.image_characters
        request: dict[str, Any] = {
            "messages": [turn(message, limit) for message in messages],
            "max_tokens": options.max_tokens,
            "temperature": options.temperature,
            "top_p": options.top_p,
            "seed": options.seed,
            "model": self.address.id,
        }
        if options.stop:
            request["stop"] = list(options.stop)
        if options.schema is not None:
            request["response_format"] = JsonSchemaFormat(name="answer", schema=options.schema, strict=True)
        if options.logprobs:
            request["model_extras"] = {"logprobs": True}
        headers = {"Accept-Encoding": "identity"}  # so that the bytes can be mended
        with self.client.complete(**request, stream=True, headers=headers, watch=watch) as stream:
            yield from chunks(stream)

    def _read(self, error: Exception) -> Trouble:
        if isinstance(error, ServiceRequestError | ServiceResponseError | urllib3.exceptions.HTTPError):
            return Trouble(None)
        if isinstance(error, HttpResponseError) and error.status_code is not None:
            headers: Any = getattr(error.response, "headers", {})
            said = error.error.message if error.error else error.message
            return Trouble(error.status_code, said or "", headers.get("retry-after"))
        return Trouble(200, str(error) if isinstance(error, _StreamError) else "")

    def models(self, watch: Watch | None = None) -> list[str]:
        return [self.client.get_model_info().model_name]

    def _free(self) -> None:
        self.client.close()


class _StreamError(Exception):
    """An error object inside the stream, which the client itself passes over."""


class _Guard(SansIOHTTPPolicy[Any, Any]):
    """Puts the bytes of a stream right before the client reads them."""

    def on_request(self, request: Any) -> None:
        request.context["watch"] = request.context.options.pop("watch", None)

    def on_response(self, request: Any, response: Any) -> None:
        watch, answer = request.context.get("watch"), response.http_response
        if watch is None:
            return
        raw = answer._internal_response.raw  # urllib3's response: Azure's would wait until 4,096 bytes are there
        watch.guard(raw.shutdown)
        pieces = mended(iter(lambda: raw.read1(65536), b""))
        if answer.status_code == 200:
            check_kind(answer.headers.get("content-type", ""))
            pieces = _lines(pieces)
        answer.iter_bytes = lambda: pieces


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Whole lines of events, without comments and fields other than data, which the client takes for an error."""
    kept = b""
    for piece in pieces:
        *lines, kept = (kept + piece).split(b"\n")
        yield from (_line(line) for line in lines if line.startswith(b"data:"))
    if kept.startswith(b"data:"):
        yield _line(kept)


def _line(line: bytes) -> bytes:
    data = line.removeprefix(b"data:").strip()
    if b'"error"' in data[:1000]:
        with suppress(ValueError, AttributeError):
            if json.loads(data).get("error"):
                raise _StreamError(data.decode()[:1000])
    return b"data: " + data + b"\n"


load = AzureBackend  # what `connect` calls
