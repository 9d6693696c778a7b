"""The tasks of pocket-phi-3.5-mini in other languages than English: questions, passages, feelings and translation.

Each language has one corpus file, named by its code, with everything but the phrasebook that all share.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..grammar import Document, load
from . import Task, Turn
from .exchange import capital, of_category
from .reading import passage_turn
from .writing import parallel

LANGUAGES = {"zh": "Chinese", "ja": "Japanese", "es": "Spanish", "fr": "French", "de": "German"}
PAIRS = [(code, "en") for code in LANGUAGES] + [("en", code) for code in LANGUAGES]


def ask(code: str, category: str) -> Task:
    """A task that asks one exchange of `category` in the language `code`."""

    def task(document: Document) -> Turn:
        entry, document.lists = document.choice(of_category(category, (code,)))
        prompt = document.expand(document.phrasing(entry["prompts"]))
        if document.chance(0.15):
            prompt = document.choice(load(code)["before"]) + prompt
        elif document.chance(0.2):
            prompt = prompt.rstrip(" .?!。？！¿¡") or prompt
        [reply] = entry["replies"]
        return Turn(f"{code} {category}", capital(prompt), document.expand(reply))

    return task


def read(code: str) -> Task:
    """A task that asks about a passage in the language `code`."""

    def task(document: Document) -> Turn:
        first = passage_turn(document, code)
        return replace(first, task=f"{code} {first.task}")

    return task


def feeling(code: str) -> Task:
    """A task that asks for the sentiment of a guestbook entry in the language `code`."""

    def task(document: Document) -> Turn:
        texts = document.use(code)
        kind = document.rng.randrange(3)
        sides = (["praise"] * 2, ["complaint"] * 2, ["praise", "complaint"])[kind]
        document.rng.shuffle(sides)
        clauses = [document.expand(document.choice(texts[side])) for side in sides]
        joint = document.choice(texts["joint"]["mixed" if kind == 2 else "same"])
        stop = "。" if code in ("zh", "ja") else "."
        entry = capital(joint.join(clauses)) + stop
        if document.chance(0.6):
            neutral = document.expand(document.choice(texts["neutral"]))
            entry = " ".join([neutral, entry] if document.chance(0.6) else [entry, neutral])
        prompt = document.frame(texts["sentiment_prompts"], entry=entry)
        return Turn(f"{code} sentiment", prompt, texts["labels"][kind])

    return task


def translate(source: str, target: str) -> Task:
    """A task that translates a sentence of the phrasebook; which sentences are held out, their letters decide."""

    def task(document: Document) -> Turn:
        phrases = load("phrases")["phrase"]
        while True:
            english, given, wanted = parallel(document, ("en", source, target), phrases)
            if (sum(map(ord, english)) % 8 == 5) == document.held_out:
                break
        language = {"en": "English", **LANGUAGES}[target]
        prompt = document.frame(load("phrases")["translate_prompts"], language=language, text=given)
        return Turn(f"{source}-{target}", prompt, wanted)

    return task
