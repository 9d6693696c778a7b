"""What one request asks of a model, whatever wire format it came in, and how a backend is asked for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from utils.core import Backend, Chunk, Message, Options
from utils.server.library import Entry
from utils.server.template import conversation


class Runtime(Backend, Protocol):
    """A backend that can also go on with a text that is no conversation, or with token ids."""

    def stream_text(self, text: str, options: Options) -> Iterator[Chunk]:
        """How `text` goes on. Raises BackendError."""
        ...

    def stream_ids(self, ids: Sequence[int], options: Options) -> Iterator[Chunk]:
        """How these tokens go on. Raises BackendError."""
        ...

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """The tokens of a conversation. Raises BackendError."""
        ...

    def text_ids(self, text: str) -> list[int]:
        """The tokens of a text. Raises BackendError."""
        ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """One request, whatever wire format it came in: a conversation, or a plain text to go on with.

    `template` is used in place of the model's own, and `before` are the tokens of what was said earlier.
    """

    entry: Entry
    messages: Sequence[Message] = ()
    text: str | None = None
    template: str = ""
    before: tuple[int, ...] = ()
    options: Options
    stream: bool = False
    usage: bool = True  # whether a stream ends with the token counts
    remembers: bool = False  # whether the answer comes with the tokens of all that was said


def begin(backend: Runtime, job: Job) -> Iterator[Chunk]:
    """The answer as it is made. Raises BackendError."""
    if job.before:
        return iter(backend.stream_ids(ids(backend, job), job.options))
    text = _text(job)
    if text is not None:
        return iter(backend.stream_text(text, job.options))
    return iter(backend.stream(_messages(job), job.options))


def ids(backend: Runtime, job: Job) -> list[int]:
    """The tokens of all that the model is given. Raises BackendError."""
    text = _text(job)
    return [*job.before, *(backend.prompt_ids(_messages(job)) if text is None else backend.text_ids(text))]


def _text(job: Job) -> str | None:
    """The prompt as a text, where it is one; None where the model's own chat template makes it."""
    template = job.template or job.entry.template
    return conversation(template, _messages(job)) if template and job.text is None else job.text


def _messages(job: Job) -> list[Message]:
    messages = list(job.messages)
    if job.entry.system and not job.before and not any(message["role"] == "system" for message in messages):
        messages.insert(0, {"role": "system", "content": job.entry.system})
    return messages
