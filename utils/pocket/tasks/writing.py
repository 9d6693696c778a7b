"""Guestbook feelings, short stories, continuing a text, translating a phrase, and plain prose."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from ..grammar import Document, load, reserve
from . import Turn
from .exchange import FILES, capital
from .reading import attributes, statement

LANGUAGES = {"French": "fr", "German": "de", "Spanish": "es"}  # what pocket-phi-3-mini learns; the tokenizer knows more


def sentiment(document: Document) -> Turn:
    """A guestbook entry and whether it is positive, negative or mixed."""
    writing = document.use("writing")
    label = document.choice(["positive", "negative", "mixed", "positive", "negative"])
    sides = {"positive": ["praise"] * 2, "negative": ["complaint"] * 2, "mixed": ["praise", "complaint"]}[label]
    document.rng.shuffle(sides)
    clauses = [document.expand(document.choice(writing[side])) for side in sides]
    joint = document.choice(
        [", but ", ". However, ", ", although "] if label == "mixed" else [" and ", ", and ", ". Also, "]
    )
    entry = capital(joint.join(clauses[: 1 if label != "mixed" and document.chance(0.4) else 2])) + document.choice(
        [".", ".", "!"]
    )
    for _ in range(document.choice([0, 1, 1, 2])):
        neutral = capital(document.expand(document.choice(writing["neutral"])))
        entry = f"{neutral} {entry}" if document.chance(0.6) else f"{entry} {neutral}"
    return Turn("sentiment", document.frame(writing["sentiment_prompts"], entry=entry), label)


def _story(document: Document) -> tuple[str, str]:
    """(topic, text) of a story."""
    writing = document.use("writing")
    skeleton = document.choice(writing["story"])
    names = reserve(load("words")["names"], document.held_out)  # known names: invented ones read badly in a story
    document.slots.update(zip(("guest", "guest2"), document.rng.sample(names, 2), strict=True))
    text = " ".join(document.expand(sentence) for sentence in skeleton["sentences"])
    return document.expand(document.choice([skeleton["topic"], skeleton["title_words"]])), text


def story(document: Document) -> Turn:
    topic, text = _story(document)
    return Turn("story", document.frame(load("writing")["story_prompts"], topic=topic), text)


def completion(document: Document) -> Turn:
    """Go on with the beginning of a story or of a sentence."""
    writing = document.use("writing")
    text = _story(document)[1] if document.chance(0.5) else document.expand(document.choice(writing["prose"]))
    words = text.split(" ")
    cut = document.rng.randint(3, max(3, min(12, len(words) - 2)))
    prompt = document.frame(writing["completion_prompts"], start=" ".join(words[:cut]))
    return Turn("completion", prompt, " ".join(words[cut:]) or words[-1])


@cache
def _prose_sources() -> tuple[tuple[str, str], ...]:
    """(file, sentence) to learn plain text from: prose and the course's own answers."""
    replies = [
        (f, r) for f in FILES for e in load(f)["exchange"] if e["category"] in ("field", "hut") for r in e["replies"]
    ]
    return (*(("writing", sentence) for sentence in load("writing")["prose"]), *replies)


def text_sentence(document: Document) -> str:
    """A sentence or two of prose, or one of the course's own answers."""
    file, text = document.choice(_prose_sources())
    inner = Document(document.rng, document.held_out)
    inner.use(file)
    return inner.expand(text)


def prose(document: Document) -> Turn:
    """Plain text without a chat around it (the prompt is empty): what the model of lesson 01 completes."""
    kind = document.rng.random()
    if kind < 0.35:
        text = _story(document)[1]
    elif kind < 0.85:
        text = " ".join(text_sentence(document) for _ in range(3))
    else:
        text = " ".join(fact_sentence(document) for _ in range(3))
    return Turn("prose", "", text)


def fact_sentence(document: Document) -> str:
    """A statement as it could stand in a passage."""
    attribute = document.choice(attributes())
    inner = statement(document, attribute, set())
    return capital(inner.expand(document.choice(attribute["sentences"])))


@cache
def words_in(slot: str) -> tuple[dict[str, str], ...]:
    return tuple(word for word in load("phrases")["word"] if word["slot"] == slot)


@cache
def short_phrases() -> tuple[dict[str, str], ...]:
    """The small phrasebook of a model that speaks only English."""
    fixed = [phrase for phrase in load("phrases")["phrase"] if "{" not in phrase["en"]]
    return tuple(sorted(fixed, key=lambda phrase: len(phrase["en"]))[:30])


def parallel(document: Document, languages: tuple[str, ...], phrases: Sequence[dict[str, str]]) -> tuple[str, ...]:
    """One of `phrases` in each of `languages` (codes), its slots filled alike."""
    phrase = document.choice(phrases)
    versions = [phrase[language] for language in languages]
    for key in dict.fromkeys(phrase["en"].replace("}", "{").split("{")[1::2]):  # not a set: its order is not seeded
        name = key.rstrip("0123456789")
        number = str(document.rng.randint(2, 30)) if name in ("n", "price", "big") else None
        word = document.choice(words_in(name)) if number is None else dict.fromkeys(languages, number)
        versions = [v.replace("{" + key + "}", word[code]) for v, code in zip(versions, languages, strict=True)]
    return tuple(capital(v) for v in versions)


def translation(document: Document) -> Turn:
    language = document.choice(tuple(LANGUAGES))
    english, other = parallel(document, ("en", LANGUAGES[language]), short_phrases())
    prompt = document.frame(load("phrases")["translate_prompts"], language=language, text=english)
    return Turn("translation", prompt, other)
