"""Questions with a learnt answer: the field, the hut, small talk, refusals, "I do not know", one-line code."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from ..grammar import Document, load, reserve
from . import Task, Turn

FILES = ("field", "hut", "chat")
LITTLE = {"a", "an", "the", "is", "are", "do", "does", "did", "of", "to", "in", "it", "me", "my", "you", "please"}


@cache
def of_category(category: str) -> tuple[tuple[dict[str, Any], dict[str, list[Any]]], ...]:
    """The exchanges of one category, each with the lists of its file."""
    files = [load(name) for name in FILES]
    return tuple((e, f.get("lists", {})) for f in files for e in f["exchange"] if e["category"] == category)


def exchange(category: str, wrap: bool = True, more: bool = False) -> Task:
    """A task that asks one exchange of `category`; with `wrap`, as people type: greetings, please, no question mark.

    With `more` it is asked in the wordings of `more.toml`, which only the larger model is taught."""

    def task(document: Document) -> Turn:
        entry, document.lists = document.choice(of_category(category))
        prompts = load("more")[category][entry["id"]] if more else reserve(entry["prompts"], document.held_out)
        prompt = document.expand(document.choice(prompts))
        if wrap:
            prompt = as_typed(document, prompt)
        replies = tuple(document.expand(reply) for reply in entry["replies"])
        return Turn(category, capital(prompt), document.choice(replies), accept=replies)

    return task


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def reworded(document: Document, prompt: str) -> str:
    """In training, `prompt` in slightly other words: what a model has read in one wording it only knows in that one."""
    if document.held_out or not document.chance(0.5):
        return prompt
    texts = load("dialogue")
    for old, *new in document.rng.sample(texts["reworded"], len(texts["reworded"])):
        if document.chance(0.6):
            prompt = re.sub(rf"\b{old}\b", document.choice(new), prompt, count=1)
    words = prompt.split(" ")
    if len(words) > 3 and document.chance(0.25):
        words.insert(document.rng.randint(1, len(words) - 1), document.choice(texts["fillers"]))
    if len(words) > 4 and document.chance(0.25):
        short = [i for i, word in enumerate(words) if word.islower() and len(word) < 5]  # hardly what it is about
        if short:
            words.pop(document.choice(short))
    if document.chance(0.1):
        i = document.rng.randrange(len(words))
        if len(words[i]) > 4 and words[i].isalpha() and words[i].islower():
            j = document.rng.randint(1, len(words[i]) - 2)
            words[i] = words[i][:j] + words[i][j + 1] + words[i][j] + words[i][j + 2 :]
    return " ".join(words)


def as_typed(document: Document, prompt: str) -> str:
    """`prompt` as somebody might type it."""
    prompt = reworded(document, prompt)
    words = load("dialogue")
    if document.chance(0.12):  # in a hurry, without the little words
        prompt = " ".join(w for w in prompt.split(" ") if w not in LITTLE or document.chance(0.3)) or prompt
    lowered = (
        prompt if prompt[:2].isupper() or prompt.split(" ")[0] in ("I", "I'm") else prompt[:1].lower() + prompt[1:]
    )
    if document.chance(0.2):
        prompt = document.expand(document.choice(words["before"])) + lowered
    elif document.chance(0.25) and prompt.endswith("?"):
        prompt = document.expand(document.choice(words["indirect"])) + " " + prompt
    elif document.chance(0.25):
        return (lowered.rstrip("?.") or lowered) if document.chance(0.6) else lowered
    if document.chance(0.12):
        prompt += " " + document.expand(document.choice(words["after"]))
    return prompt
