"""What the routes to a server share: how often to try, how long to wait, and what to say when it goes wrong.

It knows no SDK: each one's backend brings a way to ask once and to read the status of its own errors.
"""

from __future__ import annotations

import math
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any, TypeAlias

from utils import catalog
from utils.backends import schema
from utils.backends.address import Address
from utils.backends.stream import BETWEEN_S, FIRST_S, Watch, in_time
from utils.backends.text import Stops
from utils.backends.trouble import Trouble, clean, explain
from utils.core import Chunk, Message, Options, as_messages
from utils.errors import BackendError, BadAnswer, BadInput, Interrupted, Unsupported

Chunks: TypeAlias = Generator[Chunk, None, None]
TRIES = 3
BACKOFF_S = 0.5  # before another try, twice that before the third; jittered, so that not all come back at once
CONNECT_S = 10.0
OFFERS_S = 5.0


class HostedBackend(ABC):
    """A model behind a server. `first_s` and `between_s` are the seconds to wait for text; SLM_TIMEOUT changes both.

    `client` is the SDK's own client, for what else it can do. It raises the SDK's own errors; `sdk()` makes them ours.
    """

    client: Any
    lists = True  # whether `models` gives all that the server offers, and not only the model it is asked for

    first_s, between_s = FIRST_S, BETWEEN_S

    def __init__(self, address: Address) -> None:
        given = _time_limit()
        if given is not None:
            self.first_s, self.between_s = given, given / 2
        self.name, self.model, self.source = address.route.name, address.model, address.source
        self.address, self.closed = address, False

    def __repr__(self) -> str:
        return f"<{self.source.upper()} {self.model} on {self.name}{' (closed)' if self.closed else ''}>"

    @property
    def paid(self) -> bool:
        """Whether an answer may cost something: of a service, not of a server on this machine."""
        return self.source == "live" and not self.address.loopback

    @abstractmethod
    def _ask(self, messages: Sequence[Message], options: Options, watch: Watch) -> Chunks:
        """Asks once, in the SDK's own way."""

    @abstractmethod
    def _read(self, error: Exception) -> Trouble:
        """What the SDK's error says."""

    @abstractmethod
    def models(self, watch: Watch | None = None) -> list[str]:
        """The ids that the server offers; [] where it does not say. Raises the SDK's errors."""

    def _offers(self) -> list[str]:
        """The same for an error message, which does not wait long."""
        watch = Watch(OFFERS_S, OFFERS_S)
        try:
            return in_time(lambda: self.models(watch), watch.left, watch.hang_up)
        finally:
            watch.done()

    @abstractmethod
    def _free(self) -> None:
        """Closes the connections."""

    def close(self) -> None:
        """Closes the connections. May be called twice."""
        if not self.closed:
            self.closed = True
            self._free()

    def stream(self, messages: Sequence[Message], options: Options) -> Iterator[Chunk]:
        """The answer as it comes. Tries again while there is no text yet and hope. Raises BackendError."""
        if self.closed:
            raise BackendError("This backend is closed. Call connect() again.")
        conversation = as_messages(messages)
        return self._tries(conversation, options)

    def _tries(self, messages: Sequence[Message], options: Options) -> Iterator[Chunk]:
        for attempt in range(1, TRIES + 1):
            watch = Watch(self.first_s, self.between_s)
            answer = _Answer(options)
            failure: BackendError | None = None
            wait: float | None = None
            try:
                with closing(_begun(self._ask(messages, options, watch), watch)) as chunks:
                    for chunk in answer.of(chunks):
                        watch.pause()  # what the reader does with it is not the server's time
                        yield chunk
                        watch.text()
                if watch.late:  # it hung up, which some libraries take for the end
                    failure = watch.error(answer.text)
            except Exception as error:
                failure, wait = self._failure(error, watch, answer.text)
            finally:
                watch.done()
            if failure is None:
                return
            if answer.text or wait is None or attempt == TRIES:
                failure.partial = answer.text
                raise failure  # here and not above: no SDK error, with its request and its key, hangs on it
            time.sleep(wait + random.uniform(0.0, 0.2) if wait else BACKOFF_S * random.uniform(0.5, 1.0) * attempt)

    def _failure(self, error: Exception, watch: Watch, text: str) -> tuple[BackendError, float | None]:
        """Our error for it, and after how many seconds to try again (None: not)."""
        ours = _ours(error)
        if watch.late:
            return watch.error(text), None
        if ours is not None:
            return ours, None
        trouble = self._read(error)
        trouble = replace(trouble, retry_after=trouble.retry_after or watch.retry_after)
        if text:
            said = f" ({clean(trouble.said, self.address.key)})" if trouble.said else ""
            return Interrupted(f"The answer broke off before its end{said}. The text so far is kept."), None
        return explain(trouble, self.address, self._offers), trouble.wait_s

    @contextmanager
    def sdk(self) -> Iterator[Any]:
        """The SDK's own client, as in `with backend.sdk() as client: client.show("phi3.5")`. Raises BackendError."""
        try:
            yield self.client
        except Exception as error:
            raise self.explained(error, other=True) from None

    def explained(self, error: Exception, *, other: bool = False) -> BackendError:
        """Our error for one of the SDK's; `other`: it may be about another model than this backend's."""
        return _ours(error) or explain(self._read(error), self.address, self._offers, other=other)


def _begun(chunks: Chunks, watch: Watch) -> Chunks:
    """The same chunks. Until the first of them there may be no response yet, which the watch could hang up on."""

    def begin() -> Chunk | None:
        chunk = next(chunks, None)
        if watch.late:  # nobody waits for it any more, or only for what comes in time
            chunks.close()
            return None
        return chunk

    first = in_time(begin, watch.left, watch.hang_up)
    with closing(chunks):
        if first is not None:
            yield first
            yield from chunks


class _Answer:
    """Collects what has come, ends an answer that the server does not end, and tells when an option was ignored."""

    def __init__(self, options: Options) -> None:
        self._said, self._options, self._stops = "", options, Stops(options.stop)

    @property
    def text(self) -> str:
        """All that has come."""
        return self._said + self._stops.held

    def of(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        pieces, tokens, finish, logprobs = 0, None, None, False
        for chunk in chunks:
            pieces += bool(chunk.text)
            tokens = tokens if chunk.tokens is None else chunk.tokens
            finish, logprobs = chunk.finish_reason or finish, logprobs or chunk.logprobs is not None
            if chunk.text and self._options.logprobs and not logprobs:
                raise Unsupported("The server sent no log-probabilities with its answer. Ask without logprobs.")
            if pieces > self._options.max_tokens:  # each is a token at least: the server counts wrongly or not at all
                yield self._told(Chunk(self._stops.rest(), finish_reason="length"))
                return
            told = self._stops.clip(chunk.text)
            if self._stops.stopped:  # a server that honours stop texts never sends one
                yield self._told(replace(chunk, text=told, tokens=None, finish_reason="stop"))
                return
            told += self._stops.rest() if chunk.finish_reason else ""
            yield self._told(chunk if told == chunk.text else replace(chunk, text=told))
        if self._stops.held:
            yield self._told(Chunk(self._stops.rest()))
        if not self.text and not tokens:
            raise BadAnswer("The answer was empty: no text came back. Try again, or use another model.")
        asked = None if self._options.stop else self._options.schema  # a stop text may cut JSON anywhere
        if asked is not None and finish == "stop" and not schema.fits(self.text, asked):
            raise BadAnswer(
                "The server ignored the schema: its answer, which is kept, does not follow it. Ask for JSON in the "
                "prompt, or use another route."
            )

    def _told(self, chunk: Chunk) -> Chunk:
        self._said += chunk.text
        return chunk


def _time_limit() -> float | None:
    """SLM_TIMEOUT: seconds to the first text. Raises BadInput."""
    text = catalog.variable("SLM_TIMEOUT")
    try:
        seconds = float(text) if text else None
    except ValueError:
        seconds = math.nan
    if seconds is not None and not 0 < seconds < math.inf:
        raise BadInput(f"SLM_TIMEOUT is {text!r}, but it must be a number of seconds above 0.")
    return seconds


def _ours(error: BaseException | None) -> BackendError | None:
    """One of our own errors, raised below an SDK that wrapped it."""
    while error is not None and not isinstance(error, BackendError):
        error = error.__cause__ or error.__context__
    return error
