"""From what a server or its SDK said to one of our errors: what happened, and what to do.

It knows statuses and words. Whether to try again it says as well; trying is the backend's part.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from utils import catalog
from utils.backends.address import Address, key_variable
from utils.errors import (
    BackendError,
    BadAnswer,
    BadInput,
    KeyProblem,
    NotRunning,
    RateLimited,
    Retired,
    TooLong,
    UnknownModel,
)

PATIENCE_S = 20.0  # a server that asks for a longer wait is not waited for
BUSY = {408, 429, 500, 502, 503, 504, 529}
_SECRET = re.compile(r"\b(nvapi-|gh[pousr]_|github_pat_|hf_|sk-)[\w-]+|(?<=[Bb]earer )\S+|(?<=account ')[^']*")
_LONG = re.compile(r"context|too long|(tokens|characters) long|maximum.{0,20}tokens|tokens.{0,20}exceed", re.IGNORECASE)
_ACCOUNT = re.compile(r"function.*account", re.IGNORECASE)


@dataclass(frozen=True)
class Trouble:
    """What an SDK's error says: HTTP status (None: nothing answered; 200: the answer itself is wrong), the server's
    words, its Retry-After header.
    """

    status: int | None
    said: str = ""
    retry_after: str | None = None

    @property
    def wait_s(self) -> float | None:
        """Seconds until another try, as the server says, else 0; None: never, or later than anyone likes to wait."""
        if self.status not in BUSY:
            return None
        after = _seconds(self.retry_after)
        return 0.0 if after is None else after if after <= PATIENCE_S else None


def explain(
    trouble: Trouble, address: Address, models: Callable[[], list[str]], *, other: bool = False
) -> BackendError:
    """Our error for it. `models` asks the server for its list, which helps whoever asked for another model; `other`: it
    may be about another model than the address's.
    """
    route, status, said = address.route, trouble.status, clean(trouble.said, address.key)
    who, model = route.title, address.id
    if status is None:
        return NotRunning(f"{who} does not answer at {address.url}. {route.start or 'Is the network there?'}")
    if status == 200:
        return BadAnswer(f"{who} sent no answer of a model: {said or 'it cannot be read'}. Is the address right?")
    if 300 <= status < 400:
        return BadAnswer(f"{who} sends us on to another address, which is refused: a key must not go there.")
    if status in (400, 413, 422) and _LONG.search(said):
        advice = "" if "horten" in said else " Shorten it."  # the course server gives it itself
        return TooLong(f"The prompt is too long for {model}: {said}.{advice}")
    if status == 404:
        to_you = _ACCOUNT.search(said)
        problem = f"does not offer {model} to your account" if to_you else f"has no model {model!r}"
        if other:
            problem = f"does not have that: {said or 'not found'}"
        return UnknownModel(f"{who} {problem}. {_offers(models)}")
    if status == 429:
        after = _seconds(trouble.retry_after)
        when = f"in {after:,.0f} s" if after else "later"
        return RateLimited(f"{who} has had too many requests. Ask again {when}, or use another route.")
    if status in BUSY or status >= 500:
        return NotRunning(f"{who} is out of order or busy (status {status}). Try again later, or use another route.")
    if status == 401:
        variable = key_variable(route)
        if not address.key:
            return KeyProblem(f"{who} wants a key: set {variable} (in the environment or in the file .env).")
        return KeyProblem(f"{who} rejected the key ({variable}). {_new_key(variable)}")
    if status == 403:
        return KeyProblem(f"{who} does not let this key use {model}: {said or 'no permission'}.")
    if status == 410:
        return Retired(f"{model} on {who} has been switched off ({said or 'no reason given'}). {route.instead}")
    return BadInput(f"{who} refused the request: {said or status}.")


def clean(said: str, key: str | None) -> str:
    """A server's words without keys, account numbers and control characters, short enough to read."""
    text = said.replace(key, "***") if key else said
    text = _SECRET.sub("***", "".join(c if c.isprintable() else " " for c in text))
    return " ".join(text.split())[:300].rstrip(". ")


def _offers(models: Callable[[], list[str]]) -> str:
    try:
        names = models()[:8]
    except Exception:  # the list is a courtesy: without it the message still helps
        names = []
    return f"It has: {', '.join(names)}." if names else "Ask the service for its list of models."


def _new_key(variable: str | None) -> str:
    row = catalog.load().keys.get(variable or "")
    return f"Make a new one at {row.source}." if row else "Check it."


def _seconds(retry_after: str | None) -> float | None:
    """A Retry-After header, which is a number of seconds or a date (RFC 9110), in seconds from now."""
    with suppress(ValueError):
        return max(0.0, float(retry_after or ""))
    with suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(retry_after or "").timestamp() - time.time())
    return None
