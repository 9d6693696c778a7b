"""What every route has in common: messages, options, chunks, completions, errors and `complete()`.

Standard library only. It knows no SDK, no file and no network: a `Backend` is anything with these five members.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, Protocol, TypedDict

from utils.errors import *  # noqa: F403 - the errors belong to the core; a file of their own keeps both short
from utils.errors import BackendError, BadInput
from utils.values import check_json, finite, whole

Source = Literal["pocket", "live", "recorded"]
Mode = Literal["auto", "offline", "live"]
ROLES = ("system", "user", "assistant")
EMPTY = "The prompt is empty. Write a question, such as 'What is an SLM?'."
WARM_UP = "Hello"  # not what is asked afterwards: a server would keep that, and answer it sooner


class Part(TypedDict):
    """A piece of a message: text, or a picture as bytes, file name or data URL."""

    type: Literal["text", "image"]
    text: NotRequired[str]
    image: NotRequired[Any]


class Message(TypedDict):
    """One turn of a conversation: the plain dict that every SDK takes."""

    role: Literal["system", "user", "assistant"]
    content: str | list[Part]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to generate: what every backend honours, or says that it cannot. Raises BadInput when out of range."""

    max_tokens: int = 128  # tokens generated at most, the end token included
    temperature: float = 0.0  # 0: always the likeliest token
    top_p: float = 1.0  # sample from the likeliest tokens that share this much probability
    seed: int = 0
    stop: tuple[str, ...] = ()  # the answer ends before the first of these
    schema: dict[str, Any] | None = None  # JSON schema that the answer must satisfy
    logprobs: bool = False  # the chunks carry how likely each token was

    def __post_init__(self) -> None:
        stops = isinstance(self.stop, list | tuple) and all(isinstance(text, str) and text for text in self.stop)
        rules = {
            "max_tokens": (whole(self.max_tokens) and self.max_tokens >= 1, "a whole number, 1 or more"),
            "temperature": (finite(self.temperature) and 0 <= self.temperature <= 100, "a number from 0 to 100"),
            "top_p": (finite(self.top_p) and 0 < self.top_p <= 1, "a number above 0 and at most 1"),
            "seed": (whole(self.seed) and 0 <= self.seed < 2**31, "a whole number from 0 to 2147483647"),
            "stop": (stops, "a tuple of texts, none of them empty"),
            "schema": (self.schema is None or isinstance(self.schema, dict), "a dict or None"),
            "logprobs": (isinstance(self.logprobs, bool), "True or False"),
        }
        for name, (good, allowed) in rules.items():
            if not good:
                raise BadInput(f"{name} is {getattr(self, name)!r}, but it must be {allowed}.")
        plain = {"max_tokens": int, "temperature": float, "top_p": float, "seed": int, "stop": tuple}
        for name, kind in plain.items():  # numpy's numbers as well: not every library takes them
            object.__setattr__(self, name, kind(getattr(self, name)))
        check_json("stop", self.stop)
        check_json("schema", self.schema)

    @property
    def greedy(self) -> bool:
        """Below 0.01 a softmax is one-hot in float32 (or overflows), so that counts as 0."""
        return self.temperature < 0.01


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a backend yields: some text, and what is known about it so far."""

    text: str
    tokens: int | None = None  # running count of generated tokens, where known
    logprobs: tuple[float, ...] | None = None  # natural logarithms of its tokens' probabilities, where asked for
    prompt_tokens: int | None = None
    finish_reason: str | None = None  # on the last chunk: "stop", "length", ...


class Backend(Protocol):
    """Anything that streams an answer. Write one in a notebook cell: nothing to inherit."""

    name: str
    model: str
    source: Source

    def stream(self, messages: Sequence[Message], options: Options) -> Iterator[Chunk]:
        """Yields the answer as it is made; the last chunk carries `finish_reason`. Raises BackendError."""
        ...

    def close(self) -> None:
        """Frees the model."""
        ...


@dataclass(frozen=True, repr=False)
class Completion:
    """An answer and how long it took; shows itself in a notebook with the model that gave it."""

    backend: str
    model: str
    source: str
    text: str
    arrivals: tuple[float, ...]  # seconds spent waiting for the backend until each chunk, from the first text on
    tokens: int | None
    prompt_tokens: int | None
    finish_reason: str | None
    head: int = 1  # tokens that had arrived with the first text: they belong to the prefill
    logprobs: tuple[float, ...] | None = None  # of each token, where asked for: before temperature and top-p

    @property
    def first_token_s(self) -> float:
        """Seconds from the request to the first text that is not empty (nan: there was none)."""
        return self.arrivals[0] if self.arrivals else math.nan

    @property
    def total_s(self) -> float:
        """Seconds from the request to the last chunk (nan: there was no text)."""
        return self.arrivals[-1] if self.arrivals else math.nan

    @property
    def tokens_per_s(self) -> float:
        """Decode speed: tokens after the first ÷ seconds after the first (nan: count or time unknown)."""
        seconds = self.total_s - self.first_token_s
        if self.tokens is None or self.tokens <= self.head or not seconds > 0:
            return math.nan
        return (self.tokens - self.head) / seconds

    @property
    def badge(self) -> str:
        """POCKET, LIVE or RECORDED."""
        return self.source.upper()

    def __repr__(self) -> str:
        return f"<{self.badge} {self.model} on {self.backend}: {self.text!r}>"

    def _repr_markdown_(self) -> str:
        facts = [f"`{_escaped(self.badge)}` **{_escaped(self.model)}** on {_escaped(self.backend)}"]
        facts += [] if self.tokens is None else [f"{self.tokens} tokens"]
        facts += {"stop": [], "length": ["cut off at the token limit"], None: ["incomplete"]}.get(
            self.finish_reason, [_escaped(str(self.finish_reason))]
        )
        style = "white-space:pre-wrap;word-break:normal;margin:0 1em"  # JupyterLab would break lines within words
        return f'{" · ".join(facts)}\n\n<pre style="{style}">{_escaped(self.text)}</pre>'


def named(model: str, backend: str) -> str:
    """How models are told apart: speed and memory of the same name belong together."""
    return f"{model} on {backend}"


def _escaped(text: str) -> str:
    """`text` so that neither HTML, Markdown nor MathJax finds anything in it to act on."""
    import html  # here: only a notebook needs it

    return html.escape(text).translate({ord(c): f"&#{ord(c)};" for c in "$\\`@*_[]"})


def as_messages(prompt: str | Sequence[Message]) -> list[Message]:
    """The prompt as a list of messages. Raises BadInput when empty, malformed or not valid Unicode text."""
    if not isinstance(prompt, str | list | tuple):
        raise BadInput(f"A prompt is a text or a list of messages, not {prompt!r:.80}.")
    messages: list[Message] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ROLES or "content" not in message:
            raise BadInput(f"A message is a dict with a role ({', '.join(ROLES)}) and a content, not {message!r:.80}.")
        _check_content(message)
    if not any(message["content"] for message in messages if message["role"] != "system"):
        raise BadInput(EMPTY)
    return messages


def _check_content(message: Message) -> None:
    content = message["content"]
    parts: Sequence[Part] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    known = isinstance(parts, list) and all(isinstance(p, dict) and p.get("type") in ("text", "image") for p in parts)
    if not known or not all(isinstance(p.get("text", ""), str) for p in parts):
        raise BadInput(f"A message's content is text or a list of text and image parts, not {content!r:.80}.")
    text = "".join(part.get("text", "") for part in parts)
    if message["role"] == "user" and not text.strip() and all(part["type"] == "text" for part in parts):
        raise BadInput(EMPTY)
    if "\0" in text:
        raise BadInput("The prompt holds a NUL character (\\x00), which no tokenizer can read. Remove it.")
    half = next((c for c in text if "\ud800" <= c <= "\udfff"), None)
    if half:
        raise BadInput(f"The prompt holds half a character (lone surrogate U+{ord(half):04X}). Remove it.")


def complete(
    backend: Backend,
    prompt: str | Sequence[Message],
    options: Options = Options(),
    *,
    on_text: Callable[[str], object] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Completion:
    """Asks `backend` and collects the answer, calling `on_text` with each piece of text as it arrives.

    Only the time spent waiting for the backend is counted, never what `on_text` does with the text.
    Raises BackendError with the text so far in `partial`.
    """
    messages = as_messages(prompt)
    text: list[str] = []
    logprobs: list[float] = []
    arrivals: list[float] = []
    tokens = prompt_tokens = finish = None
    head, waited, before = 1, 0.0, clock()
    stream = iter(backend.stream(messages, options))
    try:
        for chunk in stream:
            waited += clock() - before
            tokens = tokens if chunk.tokens is None else chunk.tokens
            prompt_tokens = prompt_tokens if chunk.prompt_tokens is None else chunk.prompt_tokens
            finish = chunk.finish_reason or finish
            if chunk.text and not arrivals:
                head = chunk.tokens or 1
            if chunk.text or arrivals:
                arrivals.append(waited)
            text.append(chunk.text)
            logprobs += chunk.logprobs or ()
            if on_text and chunk.text:
                on_text(chunk.text)
            before = clock()  # from here on we wait again
    except BackendError as error:
        error.partial = error.partial or "".join(text)
        raise
    finally:  # at once, even where a notebook keeps the traceback and all that hangs on it
        close = getattr(stream, "close", None)  # a plain iterator has none
        if close:
            close()
    who, answer = (backend.name, backend.model, backend.source), "".join(text)
    return Completion(*who, answer, tuple(arrivals), tokens, prompt_tokens, finish, head, tuple(logprobs) or None)


def warm_up(backend: Backend, on_text: Callable[[str], object] | None = None) -> None:
    """Asks something short, as a first answer is slower, unless it may cost something. Trouble is left to the next."""
    if not getattr(backend, "paid", False):
        with suppress(BackendError):
            complete(backend, WARM_UP, Options(max_tokens=8), on_text=on_text)
