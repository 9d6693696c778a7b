"""The hut in Chinese, Japanese, Spanish, French and German, and translation between them and English.

Of the translations, phrases with a slot ("We arrived {time}.") are divided by what they say in English: an eighth of
all fillings is held out, in every language. Phrases without a slot are only trained: nothing leads to their
translation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import product
from zlib import crc32

from ..grammar import Document, load
from . import Task, Turn
from .exchange import capital
from .reading import UNSPACED, passage_turn
from .writing import words_in

CODES = ("zh", "ja", "es", "fr", "de")
Saying = dict[str, str]  # one sentence: {language code: text}


def translation(source: str, target: str) -> Task:
    """A task that translates from one language (code) into another; one of them is English."""

    def turn(document: Document, saying: Saying, framings: Sequence[str]) -> Turn:
        prompt = document.frame(framings, text=saying[source])
        variants = tuple(other[target] for other in _said(source).get(saying[source], ()))
        return Turn(f"translation {source}-{target}", prompt, saying[target], accept=variants)

    def task(document: Document) -> Turn:
        first, *others = (_alike if document.chance(0.7) else _any)(document)
        then = [turn(document, saying, load("phrases")["more"]) for saying in others]
        return replace(turn(document, first, _framings(source, target)), then=tuple(then))

    return task


def _any(document: Document) -> list[Saying]:
    """Five sentences that have nothing to do with each other."""
    return [document.choice(_phrase(document)) for _ in range(5)]


def _alike(document: Document) -> list[Saying]:
    """Sentences that differ in one or two words, or single words: what stays and what changes is what is to be learnt.

    With one sentence a prompt, 69 % of the trained sentences were right after 5,000 steps, and 9 % of the held-out."""
    if document.chance(0.25) and not document.held_out:
        return document.rng.sample(load("phrases")["word"], 6)
    sayings = _phrase(document)
    return document.rng.sample(sayings, min(5, len(sayings)))


def _phrase(document: Document) -> tuple[Saying, ...]:
    """The fillings of a phrase: in training mostly of one with a slot, for there is more to learn than its words."""
    phrases = phrasebook(document.held_out)
    if document.held_out or document.chance(0.3):
        return tuple(document.choice(phrases))
    return tuple(document.choice([sayings for sayings in phrases if len(sayings) > 1]))


@cache
def phrasebook(held_out: bool) -> tuple[tuple[Saying, ...], ...]:
    """Every filling of each phrase that belongs to the split."""
    split = [[s for s in sayings if _held_out(s, len(sayings)) == held_out] for sayings in _phrases()]
    return tuple(tuple(sayings) for sayings in split if sayings)


def _held_out(saying: Saying, fillings: int) -> bool:
    return fillings > 1 and crc32(saying["en"].encode()) % 8 == 5


@cache
def _phrases() -> tuple[tuple[Saying, ...], ...]:
    return tuple(_fillings(phrase) for phrase in load("phrases")["phrase"])


def _fillings(phrase: dict[str, str]) -> tuple[Saying, ...]:
    keys = list(dict.fromkeys(re.findall(r"\{(\w+)\}", phrase["en"])))
    return tuple(
        {
            code: capital(text.format(**{k: w[code] for k, w in zip(keys, words, strict=True)}))
            for code, text in phrase.items()
        }
        for words in product(*(words_in(key.rstrip("0123456789")) for key in keys))
    )


@cache
def _said(source: str) -> dict[str, list[Saying]]:
    """By its text in one language: everything that it can mean."""
    meanings: dict[str, list[Saying]] = {}
    for sayings in _phrases():
        for saying in sayings:
            meanings.setdefault(saying[source], []).append(saying)
    return meanings


@cache
def _framings(source: str, target: str) -> tuple[str, ...]:
    """How to ask for it: in English and, half as often, in the other language."""
    texts = load("phrases")
    name = "English" if target == "en" else load(target)["language"]
    english = [f for f in texts["translate_prompts"] if source == "en" or "English" not in f]
    own = texts["asked"][source]["to_english"] if target == "en" else texts["asked"][target]["from_english"]
    return tuple(f.replace("{language}", name) for f in (*english, *own * (len(english) // (2 * len(own)))))


def questions(code: str) -> Task:
    """A task that asks about the hut, the field or the model itself, or chats, in one language."""

    def task(document: Document) -> Turn:
        texts = document.use(code)
        entry = document.choice(texts["exchange"])
        prompt = document.expand(document.phrasing(entry["prompts"]))
        if document.chance(0.2):
            prompt = document.expand(document.choice(texts["before"])) + prompt
        elif document.chance(0.15):
            prompt = prompt.rstrip("?？。 ")
        replies = tuple(document.expand(reply) for reply in entry["replies"])
        return Turn(f"questions ({code})", prompt, document.choice(replies), accept=replies)

    return task


def sentiment(code: str) -> Task:
    """A task with a guestbook entry, and whether it is positive, negative or mixed, in one language."""

    def task(document: Document) -> Turn:
        texts = document.use(code)
        space, end = ("", "。") if code in UNSPACED else (" ", ".")
        kind = document.choice([0, 1, 2, 0, 1])
        sides = [["praise"] * 2, ["complaint"] * 2, ["praise", "complaint"]][kind]
        document.rng.shuffle(sides)
        pools = [texts[side] for side in sides]
        first = document.choice(pools[0])
        clauses = [document.expand(c) for c in (first, document.choice([c for c in pools[1] if c != first]))]
        joint = document.choice(texts["joint"]["mixed" if kind == 2 else "same"])
        entry = capital(joint.join(clauses[: 1 if kind < 2 and document.chance(0.4) else 2])) + end
        for _ in range(document.choice([0, 1, 1, 2])):
            neutral = document.expand(document.choice(texts["neutral"]))
            entry = f"{neutral}{space}{entry}" if document.chance(0.6) else f"{entry}{space}{neutral}"
        prompt = document.frame(texts["sentiment_prompts"], entry=entry)
        return Turn(f"sentiment ({code})", prompt, texts["labels"][kind])

    return task


def tasks(code: str) -> dict[str, tuple[float, Task]]:
    """All tasks of one language with their shares."""
    return {
        f"translation en-{code}": (8, translation("en", code)),
        f"translation {code}-en": (8, translation(code, "en")),
        f"questions ({code})": (4, questions(code)),
        f"reading ({code})": (4, partial(passage_turn, file=code)),
        f"sentiment ({code})": (1, sentiment(code)),
    }
