"""Text of the kind that the pocket models have read: for lessons that count, train and test on it.

Held-out texts have names, places and questions that no training text has; the sentences around them are shared.
"""

from __future__ import annotations

import random

from .grammar import Document
from .tasks.reading import passage_turn
from .tasks.writing import prose


def texts(count: int, *, held_out: bool = False) -> list[str]:
    """So many short texts, always the same ones."""
    return [prose(Document(random.Random(f"text {number}"), held_out)).reply for number in range(count)]


def questions(count: int, *, held_out: bool = False) -> list[tuple[str, str]]:
    """So many questions about a sentence that stands with them, each with its answer."""
    turns = (passage_turn(Document(random.Random(f"question {number}"), held_out), 1, 0.0) for number in range(count))
    return [(turn.prompt, turn.reply) for turn in turns]
