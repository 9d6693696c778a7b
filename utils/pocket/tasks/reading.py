"""Reading: answering from a passage the model has never seen, or saying that it does not say; summaries of reports.

An answer names what it answers before it does, as in "Age of Hime: 36 years.": the value is then looked up from the
word before it. In lists of names, lookups with the name were right in 57 %, with the bare value in 28 %, after some
500,000 tokens (one run each).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from ..grammar import Document, load
from . import Turn
from .exchange import capital, reworded

ENGLISH = "reading"  # the file; each other language has one of its own
NOT_SAID = "not in the text."
UNSPACED = ("zh", "ja")
Attribute = dict[str, Any]


@cache
def attributes(topic: str | None = None, file: str = ENGLISH) -> tuple[Attribute, ...]:
    return tuple(a for a in load(file)["attribute"] if topic in (None, a["topic"]))


@cache
def topics(file: str) -> tuple[str, ...]:
    return tuple(sorted({a["topic"] for a in load(file)["attribute"]}))


def statement(document: Document, attribute: Attribute, taken: set[str], file: str = ENGLISH) -> Document:
    """A sub-document in which the attribute's subject and value are chosen; subjects in `taken` are avoided."""
    inner = Document(document.rng, document.held_out, load(file).get("lists"))
    if subject := attribute.get("subject"):
        for _ in range(20):
            inner.slots.pop(subject, None)
            if inner.slot(subject) not in taken:
                break
        inner.slots["subject"] = inner.slots[subject]
        taken.add(inner.slots["subject"])
    inner.slots["value"] = inner.slot(attribute["value"], "9" if attribute["value"] == subject else "")
    return inner


def short_passage(document: Document) -> Turn:
    """Questions about one or two statements, often not answered: the drill for telling which question fits what."""
    return passage_turn(document, document.rng.randint(1, 2), 0.5)


def passage_turn(document: Document, size: int = 0, absent_share: float = 0.38, file: str = ENGLISH) -> Turn:
    """Questions about a passage of `size` statements, or of two to four; some ask what the passage does not say."""
    texts = load(file)
    not_said = texts.get("not_said", NOT_SAID)
    names = [f"{name} ({file})" if file != ENGLISH else name for name in ("reading", "not in the text")]
    chosen_topics = document.rng.sample(topics(file), 2 if document.chance(0.5) else 1)
    pool = [a for topic in chosen_topics for a in attributes(topic, file)]
    size = min(len(pool), size or document.rng.randint(2, 4))
    picked = document.rng.sample(pool, size)
    if size > 1 and document.chance(0.2):  # one kind of statement about two subjects: the question must be read whole
        picked += [a for a in picked if a.get("subject")][:1]
    taken: set[str] = set()
    statements = [(a, statement(document, a, taken, file)) for a in picked]
    passage = _passage(document, statements, file)
    others = [a for a in pool if a not in picked] or [a for a in attributes(None, file) if a not in picked]
    answered = document.rng.sample(statements, len(statements))
    turns = []
    for _ in range(document.rng.randint(3, 5)):
        if not document.chance(absent_share):
            attribute, told = answered.pop() if answered else document.choice(statements)
            question = _asked(document, told, attribute)
            turns.append(Turn(names[0], question, _named(told, attribute, attribute["answer"])))
        else:
            alike = [
                a for a in others if a["value"] in {a["value"] for a in picked}
            ]  # what only reading can tell apart
            absent = document.choice(alike if alike and document.chance(0.5) else others)
            if document.chance(0.2):  # what is said of another subject
                absent = document.choice([a for a in picked if a.get("subject")] or others)
            untold = statement(document, absent, taken, file)
            question = _asked(document, untold, absent)
            turns.append(Turn(names[1], question, _named(untold, absent, not_said), facts=(not_said,)))
    first, *then = turns
    prompt = document.frame(texts["reading_prompts"], passage=passage, question=first.prompt)
    return replace(first, prompt=prompt, then=tuple(replace(turn, prompt=capital(turn.prompt)) for turn in then))


def _named(inner: Document, attribute: Attribute, answer: str) -> str:
    """The answer after what it answers; in the other languages as a plain sentence."""
    return inner.expand(f"{attribute['key']}: {answer}" if "key" in attribute else answer)


def _asked(document: Document, inner: Document, attribute: Attribute) -> str:
    """A question about the attribute; its slots, which stay as they are, are filled last."""
    question = document.phrasing(attribute["questions"])
    english = "key" in attribute
    return inner.expand(reworded(document, question) if english and "[" not in question else question)


def _passage(document: Document, statements: list[tuple[Attribute, Document]], file: str) -> str:
    sentences = [capital(inner.expand(document.choice(a["sentences"]))) for a, inner in statements]
    fillers = load(file)["filler"]
    sentences += [document.expand(document.choice(fillers)) for _ in range(document.choice([0, 0, 1]))]
    document.rng.shuffle(sentences)
    return ("" if file in UNSPACED else " ").join(sentences)


def summary(document: Document) -> Turn:
    """A trail report of two or three facts among chatter, and the one sentence that keeps the facts."""
    reading = document.use("reading")
    aspects = document.rng.sample(reading["aspect"], document.choice([2, 2, 3]))
    sentences = [document.expand(document.choice(aspect["sentences"])) for aspect in aspects]
    clauses = [document.expand(aspect["clause"]) for aspect in aspects]
    for _ in range(document.choice([0, 1, 1])):
        sentences.insert(
            document.rng.randint(0, len(sentences)), document.expand(document.choice(reading["report_filler"]))
        )
    intro = document.expand(document.phrasing(reading["report_intro"]))
    if document.slots.get("trail") is None:
        intro = f"Report from the {document.slot('trail')}. " + intro
    report = " ".join(capital(sentence) for sentence in [intro, *sentences])
    prompt = document.frame(reading["summary_prompts"]) + document.choice([" ", "\n", "\n\n"]) + report
    listed = ", ".join(clauses[:-1]) + " and " + clauses[-1]
    return Turn(
        "summary", prompt, f"On the {document.slots['trail']}, {listed}.", facts=(document.slots["trail"], *clauses)
    )
