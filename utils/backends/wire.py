"""OpenAI's shapes of a message and of a piece of an answer, which Azure's client has taken over.

Here and not in one of the two backends, so that neither client's package is needed for the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from utils.backends import images
from utils.core import Chunk, Message


def turn(message: Message, limit: int | None) -> Any:
    """The message; pictures as data URLs of at most `limit` characters. Raises BadInput."""
    content = message["content"]
    if isinstance(content, str):
        return {"role": message["role"], "content": content}
    parts = [
        {"type": "image_url", "image_url": {"url": images.data_url(part.get("image"), limit)}}
        if part["type"] == "image"
        else {"type": "text", "text": part.get("text", "")}
        for part in content
    ]
    return {"role": message["role"], "content": parts}


def chunks(events: Iterable[Any]) -> Iterator[Chunk]:
    """The client's events as chunks; the token counts come with the last one, where the server tells them."""
    for event in events:
        choice = event.choices[0] if event.choices else None
        text = (choice.delta.content if choice and choice.delta else None) or ""
        reason = choice.finish_reason if choice else None
        used = event.usage
        logprobs = _logprobs(choice)
        if text or reason or used or logprobs:
            yield Chunk(
                text,
                used.completion_tokens if used else None,
                logprobs,
                prompt_tokens=used.prompt_tokens if used else None,
                finish_reason=getattr(reason, "value", reason),  # Azure's is an enumeration
            )


def _logprobs(choice: Any) -> tuple[float, ...] | None:
    """OpenAI's client has a field for them, Azure's only what came."""
    if isinstance(choice, Mapping):
        found = choice.get("logprobs")
        return tuple(row["logprob"] for row in found.get("content") or ()) if found else None
    found = getattr(choice, "logprobs", None)
    return tuple(row.logprob for row in found.content or ()) if found else None
