"""From tokens to text, piece by piece, and no further than the first stop text."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from math import isnan

from utils.core import Chunk


class Stops:
    """`stopped` says that one was found; `held` is the end of the text, which may be the beginning of one."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self.stopped, self.held, self._texts = False, "", texts

    def clip(self, piece: str) -> str:
        """What can be told of the text so far and was not before."""
        if not self._texts:
            return piece
        text = self.held + piece
        found = [at for at in map(text.find, self._texts) if at >= 0]
        if found:
            self.stopped, self.held = True, ""
            return text[: min(found)]
        shorter = ((s, min(len(s), len(text) + 1)) for s in self._texts)  # a stop text may be very long
        keep = max((n for s, most in shorter for n in range(1, most) if text.endswith(s[:n])), default=0)
        self.held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def rest(self) -> str:
        """What was held back and turned out to be text."""
        text, self.held = self.held, ""
        return text


class Text:
    """Tokens in, text out. Ends before the first stop text; holds back half a character or half a stop text."""

    def __init__(
        self, step: Callable[[int], str | None], whole: Callable[[list[int]], str], stop: tuple[str, ...]
    ) -> None:
        self._step, self._whole, self._stops = step, whole, Stops(stop)
        self._ids: list[int] = []
        self._decoded = ""
        self._waiting = False

    @property
    def stopped(self) -> bool:
        """Whether a stop text was found."""
        return self._stops.stopped

    def add(self, token: int) -> str:
        """The text that `token` completes, often its own, sometimes none."""
        self._ids.append(token)
        piece = self._step(token)
        if not piece:
            self._waiting = True
            return ""
        if self._waiting:  # ONNX Runtime GenAI's stream loses what follows bytes that are no character
            piece = self._rest(piece)
            self._waiting = False
        self._decoded += piece
        return self._stops.clip(piece)

    def flush(self) -> str:
        """What was held back and turned out to be text."""
        if self.stopped:
            return ""
        rest = self._stops.clip(self._rest("")) if self._waiting else ""
        return rest + self._stops.rest()

    def _rest(self, piece: str) -> str:
        text = self._whole(self._ids)
        return text[len(self._decoded) :] if text.startswith(self._decoded) else piece


def chunks(
    tokens: Iterator[int], text: Text, ends: Container[int], prompt_tokens: int, logprobs: list[float] | None = None
) -> Iterator[Chunk]:
    """A chunk for each token that completes some text, then a last one with the reason for the end; every token counts.
    `logprobs` are those of all so far: a chunk has none where one of its own is nan."""
    count, reason, told = 0, "length", 0
    for count, token in enumerate(tokens, 1):
        if token in ends:
            reason = "stop"
            break
        piece = text.add(token)
        if piece:
            yield Chunk(piece, count, _known(logprobs, told, count))
            told = count
        if text.stopped:
            reason = "stop"
            break
    yield Chunk(text.flush(), count, _known(logprobs, told, count), prompt_tokens, reason)


def _known(logprobs: list[float] | None, begin: int, end: int) -> tuple[float, ...] | None:
    return None if logprobs is None or any(map(isnan, logprobs[begin:end])) else tuple(logprobs[begin:end])
