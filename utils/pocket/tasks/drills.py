"""Exact little skills: copying, spelling, sums and bills."""

from __future__ import annotations

import re

from ..grammar import Document, invented, load
from . import Turn

ORDERS = (
    "soups",
    "teas",
    "coffees",
    "cakes",
    "beds",
    "sandwiches",
    "juices",
    "blankets",
    "maps",
    "lemonades",
    "towels",
    "candles",
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _mixed_words(document: Document) -> str:
    document.use("messages")
    makers = (
        lambda: invented(document, document.rng.randint(1, 3)),
        lambda: invented(document, 2),
        lambda: document.expand(document.choice(load("messages")["clean"])),
        lambda: str(document.rng.randint(2, 999)),
        lambda: document.choice(load("words")["item"]),
    )
    return " ".join(document.choice(makers)() for _ in range(document.rng.randint(1, 4)))


def copy(document: Document) -> Turn:
    """Say the given words again. The drill that makes a tiny model able to quote names."""
    text = _mixed_words(document)
    return Turn("copy", document.frame(load("dialogue")["copy_prompts"], text=text), text)


def long_copy(document: Document) -> Turn:
    """The same with more and other words: names, dates, pieces of sentences, in no order."""
    exchanges = load("field")["exchange"]
    makers = (
        lambda: invented(document, document.rng.randint(1, 3)),
        lambda: f"{invented(document, 2)} {invented(document, 2)}",
        lambda: document.expand(document.choice(["{place}", "{trail}", "{date}", "{time}", "{surname}", "{item}"])),
        lambda: document.rng.choice(document.choice(exchanges)["replies"][0].split(" ")),
        lambda: document.rng.choice(document.choice(exchanges)["replies"][0].split(" ")),
        lambda: str(document.rng.randint(2, 999)),
    )
    text = " ".join(document.choice(makers)() for _ in range(document.rng.randint(3, 14)))
    return Turn("copy", document.frame(load("dialogue")["copy_prompts"], text=text), text)


def letters(document: Document) -> Turn:
    word = document.choice(
        [invented(document, 2), document.slot("item"), document.slot("food"), document.slot("guest")]
    )
    prompt = document.frame(load("dialogue")["letter_prompts"], text=word)
    return Turn("letters", prompt, "-".join(word.replace(" ", "")))


def misspelt(document: Document, word: str) -> str:
    """`word` with one typing error, never the word itself."""
    while True:
        i = document.rng.randrange(len(word) - 1)
        swap = word[:i] + word[i + 1] + word[i] + word[i + 2 :]
        drop = word[:i] + word[i + 1 :]
        double = word[: i + 1] + word[i:]
        other = word[:i] + document.choice(LETTERS) + word[i + 1 :]
        wrong = str(document.choice([swap, drop, double, other]))
        if wrong != word:
            return wrong


def spelling(document: Document) -> Turn:
    """Correct one or two misspelt words of a sentence."""
    messages = document.use("messages")
    right = document.expand(document.phrasing(messages["clean"]))
    words = right.split(" ")
    candidates = [i for i, word in enumerate(words) if re.fullmatch(r"[a-z]{4,}", word)]
    wrong = list(words)
    for i in document.rng.sample(candidates, min(len(candidates), document.choice([1, 1, 2]))):
        wrong[i] = misspelt(document, words[i])
    prompt = document.frame(messages["spelling_prompts"], text=" ".join(wrong))
    return Turn("spelling", prompt, right)


def _pair(document: Document) -> tuple[int, int]:
    """Two numbers up to 99; an eighth of all pairs is kept for held-out sums."""
    while True:
        a, b = document.rng.randint(1, 99), document.rng.randint(1, 99)
        if ((31 * a + b) % 8 == 5) == document.held_out:
            return a, b


def _sum_turn(document: Document, task: str, prompts: str, a: int, b: int, reply: str) -> Turn:
    return Turn(task, document.frame(document.use("messages")[prompts], a=str(a), b=str(b)), reply)


def sums(document: Document) -> Turn:
    a, b = _pair(document)
    return _sum_turn(document, "sums", "sum_prompts", a, b, f"{a} + {b} = {a + b}")


def differences(document: Document) -> Turn:
    b, a = sorted(_pair(document))
    return _sum_turn(document, "differences", "difference_prompts", a, b, f"{a} - {b} = {a - b}")


def bill(document: Document) -> Turn:
    """Two things at their prices, added up step by step."""
    first, second = document.rng.sample(ORDERS, 2)
    (n, p), (m, q) = ((document.rng.randint(2, 6), document.rng.randint(2, 12)) for _ in range(2))
    order = f"{n} {first} at {p} euros and {m} {second} at {q} euros"
    prompt = document.frame(document.use("messages")["bill_prompts"], order=order)
    return Turn("bill", prompt, f"{n} x {p} = {n * p}, {m} x {q} = {m * q}, {n * p} + {m * q} = {n * p + m * q} euros.")
