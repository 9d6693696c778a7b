"""The route `ollama`: the official client against an Ollama server, on this machine or another."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import httpx
import ollama

from utils import catalog
from utils.backends import images
from utils.backends.address import Address
from utils.backends.hosted import CONNECT_S, Chunks, HostedBackend
from utils.backends.stream import Hook, Watch
from utils.backends.trouble import Trouble
from utils.core import Chunk, Message, Options
from utils.values import count

NUM_CTX = 4096  # what Ollama takes when nobody says: tokens of prompt and answer together
CHARACTERS = 4  # of English text, for each token


class OllamaBackend(HostedBackend):
    """A model of an Ollama server. `keep_alive` and `num_ctx` are Ollama's own settings; None leaves them to it.

    A prompt that is longer than num_ctx would be cut by the server without a word: that is warned of.
    """

    first_s = 300.0  # the first answer waits until the model is loaded: gigabytes from a disk

    def __init__(self, address: Address, *, keep_alive: str | float | None = None, num_ctx: int | None = None) -> None:
        super().__init__(address)
        self.keep_alive, self.num_ctx = keep_alive, None if num_ctx is None else count("num_ctx", num_ctx)
        self._hook = Hook()
        self.client = ollama.Client(
            address.url,
            follow_redirects=False,
            trust_env=not address.loopback,  # a proxy has no business between this machine and itself
            timeout=httpx.Timeout(self.first_s, connect=CONNECT_S),
            headers={"Accept-Encoding": "identity"}  # so that the bytes can be mended
            | ({"Authorization": f"Bearer {address.key}"} if address.key else {}),
            event_hooks={"response": [self._hook]},
        )

    def _ask(self, messages: Sequence[Message], options: Options, watch: Watch) -> Chunks:
        sampling = {
            "num_predict": options.max_tokens,
            "temperature": options.temperature,
            "top_p": options.top_p,
            "seed": options.seed,
            "stop": list(options.stop),
        }
        if self.num_ctx is not None:
            sampling["num_ctx"] = self.num_ctx
            if self.address.loopback:
                _warn_of_memory(self.model, self.num_ctx)
        _warn_of_cut(messages, self.num_ctx or NUM_CTX)
        stream: Any = self.client.chat(
            self.address.id,
            [_turn(message) for message in messages],
            stream=True,
            options=sampling,
            format=options.schema,
            keep_alive=self.keep_alive,
            logprobs=options.logprobs or None,
        )
        self._hook.watch = watch
        try:
            for part in stream:
                self._hook.watch = None
                done = part.done
                yield Chunk(
                    part.message.content or "",
                    part.eval_count if done else None,
                    tuple(found.logprob for found in part.logprobs) if part.logprobs else None,
                    prompt_tokens=part.prompt_eval_count if done else None,
                    finish_reason=(part.done_reason or "stop") if done else None,
                )
        finally:
            self._hook.watch = None
            stream.close()

    def _read(self, error: Exception) -> Trouble:
        if isinstance(error, ollama.ResponseError):
            return Trouble(error.status_code if error.status_code > 0 else 200, error.error)
        if isinstance(error, ConnectionError | httpx.TransportError):
            return Trouble(None)
        return Trouble(200)

    def models(self, watch: Watch | None = None) -> list[str]:
        with self._hook.watched(watch):
            return [model.model or "" for model in self.client.list().models]

    def _free(self) -> None:
        self.client.close()


def _warn_of_memory(model: str, num_ctx: int) -> None:
    import psutil

    row = catalog.load().models.get(model)
    need, free = row.needs_gb(num_ctx) if row else None, psutil.virtual_memory().available / 1e9
    if need is not None and need > free:
        warnings.warn(
            f"A context of {num_ctx:,} tokens needs about {need:.1f} GB of memory with {model}, and {free:.1f} GB are "
            "free: Ollama may be very slow, or stop. Set a smaller num_ctx.",
            stacklevel=2,
        )


def _warn_of_cut(messages: Sequence[Message], num_ctx: int) -> None:
    turns = [_turn(message)["content"] for message in messages]
    plain = sum(character.isascii() for turn in turns for character in turn)
    estimate = plain // CHARACTERS + sum(map(len, turns)) - plain  # Chinese, emoji: about a token each
    if estimate > num_ctx:
        warnings.warn(
            f"The prompt has about {estimate:,} tokens, but the context is {num_ctx:,}: Ollama would leave out its "
            "beginning. Shorten it, or connect with a larger num_ctx (which takes memory).",
            stacklevel=2,
        )


def _turn(message: Message) -> dict[str, Any]:
    content = message["content"]
    if isinstance(content, str):
        return {"role": message["role"], "content": content}
    text = "".join(part.get("text", "") for part in content)
    pictures = [images.read(part.get("image")) for part in content if part["type"] == "image"]
    return {"role": message["role"], "content": text, "images": pictures}


load = OllamaBackend  # what `connect` calls
