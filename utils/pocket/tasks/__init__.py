"""The tasks that the corpus is made of: each is a function from a `Document` to a `Turn`.

A turn is one prompt with its reply. How turns become conversations is `dialogue.py`'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..grammar import Document
from ..pictures import Picture


@dataclass(frozen=True)
class Turn:
    """One prompt and the reply that the model learns. `accept` are replies counted as right in held-out scoring;
    with `facts`, a reply is right when it contains every one of them. `then` are further turns about the same text: a
    long prompt that is read once teaches several replies. `pictures` are those that it names, as <|image_1|>."""

    task: str
    prompt: str
    reply: str
    system: str = ""
    accept: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    then: tuple[Turn, ...] = ()
    pictures: tuple[Picture, ...] = field(default=(), repr=False)  # pages long

    def right(self, answer: str) -> bool:
        """Whether `answer` counts as correct."""
        if self.facts:
            return all(fact in answer for fact in self.facts)
        return answer.strip() in (self.reply, *self.accept)


Task = Callable[[Document], Turn]
