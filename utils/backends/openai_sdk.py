"""Routes through the `openai` client: NVIDIA NIM, and Microsoft Foundry's and others' OpenAI-compatible endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import openai

from utils.backends.address import Address
from utils.backends.hosted import CONNECT_S, Chunks, HostedBackend
from utils.backends.stream import Hook, Watch
from utils.backends.trouble import Trouble
from utils.backends.wire import chunks, turn
from utils.core import Message, Options


class OpenAIBackend(HostedBackend):
    """A server that speaks OpenAI's wire format."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._hook = Hook()
        self._http = openai.DefaultHttpxClient(
            follow_redirects=False,
            trust_env=not address.loopback,  # a proxy has no business between this machine and itself
            timeout=openai.Timeout(self.first_s, connect=CONNECT_S),
            headers={"Accept-Encoding": "identity"},  # so that the bytes can be mended
            event_hooks={"response": [self._hook]},
        )
        key = address.key or "none"  # never the OPENAI_API_KEY that it would take by itself
        self.client = openai.OpenAI(base_url=address.openai, api_key=key, max_retries=0, http_client=self._http)

    def _ask(self, messages: Sequence[Message], options: Options, watch: Watch) -> Chunks:
        request: dict[str, Any] = {
            "model": self.address.id,
            "messages": [turn(message, self.address.route.image_characters) for message in messages],
            "max_tokens": options.max_tokens,
            "temperature": options.temperature,
            "top_p": options.top_p,
            "seed": options.seed,
        }
        if options.stop:
            request["stop"] = list(options.stop)
        if options.logprobs:
            request["logprobs"] = True
        if options.schema is not None:
            schema = {"name": "answer", "schema": options.schema, "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        with self._hook.watched(watch):
            stream = self.client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True})
        with stream:
            yield from chunks(stream)

    def _read(self, error: Exception) -> Trouble:
        if isinstance(error, openai.APIStatusError):
            return Trouble(error.status_code, _said(error), error.response.headers.get("retry-after"))
        if isinstance(error, openai.APIConnectionError):
            return Trouble(None)
        if isinstance(error, openai.APIError):  # an error object inside the stream
            return Trouble(200, error.message)
        return Trouble(200)

    def models(self, watch: Watch | None = None) -> list[str]:
        with self._hook.watched(watch):
            return [model.id for model in self.client.models.list()]

    def _free(self) -> None:
        self.client.close()


def _said(error: openai.APIStatusError) -> str:
    body = error.body
    return str(body.get("message") or body.get("detail") or "") if isinstance(body, dict) else str(body or "")


load = OpenAIBackend  # what `connect` calls
