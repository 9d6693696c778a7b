"""Correcting misspelt words in sentences of every kind."""

from __future__ import annotations

import re
from functools import cache

from ..grammar import Document, load
from . import Turn
from .exchange import capital
from .writing import fact_sentence, text_sentence


@cache
def practised() -> frozenset[str]:
    """The words that get typing errors: a tiny model learns the usual mistakes in a few hundred words, not in all."""
    return frozenset(re.findall(r"\b[a-z]{4,}\b", " ".join(load("messages")["clean"])))


def misspelt(document: Document, word: str) -> str:
    """`word` with one of the usual typing errors after its first letter: two letters swapped, one lost, one doubled."""
    while True:
        i = document.rng.randrange(1, len(word))
        swap = word[:i] + word[i + 1 : i + 2] + word[i] + word[i + 2 :]
        wrong = str(document.choice([swap, word[:i] + word[i + 1 :], word[: i + 1] + word[i:]]))
        if wrong != word and wrong not in practised():
            return wrong


def _sentence(document: Document) -> str:
    """A sentence to misspell: any of the corpus teaches copying; held-out ones come from a list of their own."""
    writing, kind = load("writing"), document.rng.random()
    if document.held_out or kind < 0.5:
        document.use("messages")
        return document.expand(document.phrasing(load("messages")["clean"]))
    if kind < 0.65:
        return text_sentence(document)
    if kind < 0.8:
        return fact_sentence(document)
    document.use("writing")
    kinds = [writing["praise"], writing["complaint"], writing["neutral"], load("messages")["booking_noise"]]
    return capital(document.expand(document.choice(document.choice(kinds)))).rstrip(".") + "."


def spelling(document: Document) -> Turn:
    """Correct one or two misspelt words of a sentence."""
    while True:
        words = _sentence(document).split(" ")
        candidates = [i for i, word in enumerate(words) if word in practised()]
        if candidates and len(words) < 16:
            break
    wrong = list(words)
    for i in document.rng.sample(candidates, min(len(candidates), document.choice([1, 1, 2]))):
        wrong[i] = misspelt(document, words[i])
    prompt = document.frame(load("messages")["spelling_prompts"], text=" ".join(wrong))
    return Turn("spelling", prompt, " ".join(words))
