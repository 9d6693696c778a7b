"""Correcting misspelt words in sentences of every kind."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

from ..grammar import Document, invented, load
from . import Turn
from .exchange import capital
from .writing import fact_sentence, text_sentence


@cache
def practised() -> frozenset[str]:
    """The words that get typing errors: a tiny model learns the usual mistakes in some two hundred words, not in all.

    They are those that stand in two or more of the sentences, and some that people often get wrong."""
    counts = Counter(w for s in load("messages")["clean"] for w in set(re.findall(r"\b[a-z]{4,}\b", s)))
    return frozenset({word for word, count in counts.items() if count > 1} | set(load("messages")["often_wrong"]))


def misspelt(document: Document, word: str) -> str:
    """`word` with one of the usual typing errors after its first letter: two letters swapped, one lost, one doubled."""
    while True:
        i = document.rng.randrange(1, len(word))
        swap = word[:i] + word[i + 1 : i + 2] + word[i] + word[i + 2 :]
        wrong = str(document.choice([swap, word[:i] + word[i + 1 :], word[: i + 1] + word[i:]]))
        if wrong != word and wrong not in practised():
            return wrong


def _sentence(document: Document) -> str:
    """Words to misspell: half of them in no order, so that only copying helps; held-out ones have their own list."""
    writing, kind = load("writing"), document.rng.random()
    if not document.held_out and kind < 0.5:
        return _salad(document)
    if document.held_out or kind < 0.7:
        document.use("messages")
        return document.expand(document.phrasing(load("messages")["clean"]))
    if kind < 0.8:
        return text_sentence(document)
    if kind < 0.9:
        return fact_sentence(document)
    document.use("writing")
    kinds = [writing["praise"], writing["complaint"], writing["neutral"], load("messages")["booking_noise"]]
    return capital(document.expand(document.choice(document.choice(kinds)))).rstrip(".") + "."


@cache
def _in_order() -> tuple[str, ...]:
    return tuple(sorted(practised()))


def _salad(document: Document) -> str:
    """Practised words, names and numbers in no order."""
    words: list[str] = [document.choice(_in_order()) for _ in range(document.rng.randint(2, 6))]
    others = [invented(document, 2), str(document.rng.randint(2, 99))]
    words += document.rng.sample(others, document.choice([0, 1, 1, 2]))
    document.rng.shuffle(words)
    end: str = document.choice([".", ".", "", "!"])
    return capital(" ".join(words)) + end


def spelling(document: Document) -> Turn:
    """Correct the misspelt words of a sentence."""
    while True:
        words = _sentence(document).split(" ")
        candidates = [i for i, word in enumerate(words) if word in practised()]
        if candidates and len(words) < 16:
            break
    wrong = list(words)
    # More errors teach more in a sentence of the same length; held-out ones have one or two, as people make them.
    errors = document.choice([1, 1, 2] if document.held_out else [1, 2, 3, 4])
    for i in document.rng.sample(candidates, min(len(candidates), errors)):
        wrong[i] = misspelt(document, words[i])
    prompt = document.frame(load("messages")["spelling_prompts"], text=" ".join(wrong))
    return Turn("spelling", prompt, " ".join(words))
