"""Text of the kind that the pocket models have read: for lessons that count, train and test on it.

Held-out texts have names, places and questions that no training text has; the sentences around them are shared.
`pages` are the same texts as one finds such things: with everything around them that nobody wants to learn.
"""

from __future__ import annotations

import random
from html import escape

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


MENU = "Home | Bookings | Weather | Gallery | Contact"
COOKIES = "We use cookies to make your visit better. Accept all. Reject all. Settings."
ADS = ("CHEAP boots!!! CLICK HERE!!! ", "win win win a FREE tent $$$ ", "best best best price jackets 50% 70% 90% off ")


def pages(count: int) -> list[str]:
    """So many pages, always the same ones: two in five good, the others copies, broken, empty or advertisements."""
    dice, good = random.Random("pages"), iter(texts(count))
    made: list[str] = []
    for _ in range(count):
        kind = dice.choices(["good", "copy", "loud", "ad", "stub", "broken"], [8, 5, 2, 3, 1, 1])[0]
        if kind == "good" or not made:
            made.append(_page(next(good)))
        elif kind == "copy":
            made.append(dice.choice(made))
        elif kind == "loud":
            made.append(dice.choice(made).upper())
        elif kind == "broken":
            made.append(_page("".join(dice.choice("§¤¶ÃÂ€�#~^") for _ in range(dice.randint(60, 240)))))
        else:
            made.append(_page(dice.choice(ADS) * dice.randint(5, 20) if kind == "ad" else "Coming soon."))
    dice.shuffle(made)
    return made


def _page(text: str) -> str:
    return f"<nav>{MENU}</nav>\n<p>{escape(text)}</p>\n<footer>{COOKIES}</footer>"
