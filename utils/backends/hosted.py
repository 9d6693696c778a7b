"""What the routes to a server share: how often to try, how long to wait, and what to say when it goes wrong.

It knows no SDK: each one's backend brings a way to ask once and to read the status of its own errors.
"""

from __future__ import annotations

import math
import random
import re
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from utils import catalog
from utils.backends.address import Address
from utils.backends.stream import BETWEEN_S, FIRST_S, Watch, check_kind, mended, shut
from utils.core import Chunk, Message, Options, as_messages
from utils.errors import (
    BackendError,
    BadAnswer,
    BadInput,
    Interrupted,
    KeyProblem,
    NotRunning,
    RateLimited,
    Retired,
    TooLong,
    UnknownModel,
)

TRIES = 3
PATIENCE_S = 20.0  # a server that asks for a longer wait is not waited for
CONNECT_S = 10.0
BUSY = {408, 429, 500, 502, 503, 504, 529}
_SECRET = re.compile(r"\b(nvapi-|gh[pousr]_|github_pat_|hf_|sk-)[\w-]+|(?<=[Bb]earer )\S+|(?<=account ')[^']*")
_LONG = re.compile(r"context|too long|maximum.{0,20}tokens|tokens.{0,20}exceed", re.IGNORECASE)


@dataclass(frozen=True)
class Trouble:
    """What an SDK's error says: HTTP status (None: nothing answered; 200: the answer itself is wrong), the server's
    words, its Retry-After header.
    """

    status: int | None
    said: str = ""
    retry_after: str | None = None


class HostedBackend(ABC):
    """A model behind a server. `first_s` and `between_s` are the seconds to wait for text; SLM_TIMEOUT changes both."""

    first_s, between_s = FIRST_S, BETWEEN_S

    def __init__(self, address: Address) -> None:
        given = _time_limit()
        if given is not None:
            self.first_s, self.between_s = given, given / 2
        self.name, self.model, self.source = address.route.name, address.model, address.source
        self.address, self.closed = address, False

    def __repr__(self) -> str:
        return f"<{self.source.upper()} {self.model} on {self.name}{' (closed)' if self.closed else ''}>"

    @abstractmethod
    def _ask(self, messages: Sequence[Message], options: Options, watch: Watch) -> Iterator[Chunk]:
        """Asks once, in the SDK's own way."""

    @abstractmethod
    def _read(self, error: Exception) -> Trouble:
        """What the SDK's error says."""

    @abstractmethod
    def models(self) -> list[str]:
        """The ids that the server offers; [] where it does not say. Raises the SDK's errors."""

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
            answer = _Answer(options.max_tokens)
            failure: BackendError | None = None
            wait: float | None = None
            try:
                with closing(self._ask(messages, options, watch)) as chunks:  # type: ignore[type-var]
                    for chunk in answer.of(chunks):
                        watch.pause()  # what the reader does with it is not the server's time
                        yield chunk
                        watch.text()
                if watch.late:  # it hung up, which some libraries take for the end
                    failure = watch.error(answer.text)
            except Exception as error:
                failure, wait = self._explain(error, watch, answer.text)
            finally:
                watch.done()
            if failure is None:
                return
            if answer.text or wait is None or attempt == TRIES:
                failure.partial = answer.text
                raise failure  # here and not above: no SDK error, with its request and its key, hangs on it
            time.sleep(wait * random.uniform(0.5, 1.0) * attempt if wait < 1 else wait)

    def _explain(self, error: Exception, watch: Watch, text: str) -> tuple[BackendError, float | None]:
        """Our error for it, and after how many seconds to try again (None: not)."""
        ours = _ours(error)
        if watch.late:
            return watch.error(text), None
        if ours is not None:
            return ours, None
        trouble = self._read(error)
        if text:
            said = f" ({self._clean(trouble.said)})" if trouble.said else ""
            return Interrupted(f"The answer broke off before its end{said}. The text so far is kept."), None
        return self._what(trouble), _wait(trouble)

    def explained(self, error: Exception) -> BackendError:
        """Our error for one that `models` raised."""
        return _ours(error) or self._what(self._read(error))

    def _what(self, trouble: Trouble) -> BackendError:
        route, status, said = self.address.route, trouble.status, self._clean(trouble.said)
        who, model = route.title, self.address.id
        if status is None:
            return NotRunning(f"{who} does not answer at {self.address.url}. {route.start or 'Is the network there?'}")
        if status == 200:
            return BadAnswer(f"{who} sent no answer of a model: {said or 'it cannot be read'}. Is the address right?")
        if 300 <= status < 400:
            return BadAnswer(f"{who} sends us on to another address, which is refused: a key must not go there.")
        if status == 401:
            return KeyProblem(f"{who} rejected the key ({route.key_variable}). {_new_key(route.key_variable)}")
        if status == 403:
            return KeyProblem(f"{who} does not let this key use {model}: {said or 'no permission'}.")
        if status == 404 and re.search(r"function.*account", said, re.IGNORECASE | re.DOTALL):
            return UnknownModel(f"{who} does not offer {model} to your account. {self._offers()}")
        if status == 404:
            return UnknownModel(f"{who} has no model {model!r}. {self._offers()}")
        if status == 410:
            return Retired(f"{model} on {who} has been switched off ({said or 'no reason given'}). {route.instead}")
        if status == 429:
            after = _seconds(trouble.retry_after)
            when = f"in {after:,.0f} s" if after else "later"
            return RateLimited(f"{who} has had too many requests. Ask again {when}, or use another route.")
        if status in (400, 413, 422) and _LONG.search(said):
            return TooLong(f"The prompt is too long for {model}: {said}. Shorten it.")
        if status < 500 and status not in BUSY:
            return BadInput(f"{who} refused the request: {said or status}.")
        return NotRunning(f"{who} is out of order or busy (status {status}). Try again later, or use another route.")

    def _offers(self) -> str:
        try:
            names = self.models()[:8]
        except Exception:  # the list is a courtesy: without it the message still helps
            names = []
        return f"It has: {', '.join(names)}." if names else "Ask the service for its list of models."

    def _clean(self, said: str) -> str:
        """A server's words without keys, account numbers and control characters, short enough to read."""
        text = said.replace(self.address.key, "***") if self.address.key else said
        text = _SECRET.sub("***", "".join(c if c.isprintable() else " " for c in text))
        return " ".join(text.split())[:300].rstrip(". ")


class _Answer:
    """Collects what has come, and ends an answer that the server does not end."""

    def __init__(self, max_tokens: int) -> None:
        self.text, self._most = "", max_tokens

    def of(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        pieces, tokens, finish = 0, None, None
        for chunk in chunks:
            pieces += bool(chunk.text)
            tokens = tokens if chunk.tokens is None else chunk.tokens
            finish = chunk.finish_reason or finish
            if pieces > self._most:  # every piece is a token at least, so the server counts wrongly or not at all
                yield Chunk("", finish_reason="length")
                return
            self.text += chunk.text
            yield chunk
        if not self.text and not tokens:
            raise BadAnswer("The answer was empty: no text came back. Try again, or use another model.")


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


def _new_key(variable: str | None) -> str:
    row = catalog.load().keys.get(variable or "")
    return f"Make a new one at {row.source}." if row else "Check it."


def _seconds(retry_after: str | None) -> float | None:
    try:
        return max(0.0, float(retry_after or ""))
    except ValueError:
        return None


def _wait(trouble: Trouble) -> float | None:
    """Seconds until another try makes sense; None: never."""
    if trouble.status is not None and trouble.status not in BUSY:
        return None
    after = _seconds(trouble.retry_after)
    if trouble.status is None:
        return None  # nothing listens there: it will not, a second later
    return 0.5 if after is None else after if after <= PATIENCE_S else None


def hook(watch: Watch, response: Any) -> None:
    """For httpx and httpx2, called when a response begins: guards its stream and refuses what is none."""
    if response.status_code != 200:
        return
    check_kind(response.headers.get("content-type", ""))
    library = sys.modules[type(response).__module__.partition(".")[0]]
    raw = response.stream
    watch.guard(lambda: shut(response.extensions["network_stream"].get_extra_info("socket")))

    class Mended(library.SyncByteStream):  # type: ignore[misc, name-defined]
        def __iter__(self) -> Iterator[bytes]:
            return mended(iter(raw))

        def close(self) -> None:
            raw.close()

    response.stream = Mended()
