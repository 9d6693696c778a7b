"""Exercises about how a small model learns: clean text, a model that knows nothing, and the work of a training."""

from __future__ import annotations

import math
from collections.abc import Iterable

from utils import catalog, facts
from utils.checks import exercise
from utils.exercises.answers import judged

ENTRIES = (
    "The soup was great!",
    "the soup was great! ",
    "Cold beds.",
    "The  soup was great!",
    "Cold beds.",
    "A lovely view.",
)
_RIGHT = ["The soup was great!", "Cold beds.", "A lovely view."]


@exercise(
    "learning.unique",
    praise="Three entries, in their order. On a whole web of pages the same idea is called deduplication.",
    hints=(
        "Compare entries by what is left when case and spaces do not matter: ' '.join(text.lower().split()).",
        "Keep a set of the forms that you have seen, and take an entry only if its form is not among them.",
        "A dict keeps the order and only one entry for each form: fill it from the back, or with setdefault.",
    ),
)
def unique(answer: object) -> str | None:
    """`ENTRIES` without those that say the same again, whatever their case and spaces: the first of each, in order."""
    if isinstance(answer, set | frozenset):
        return "A set has no order. Give a list, the entries in the order in which they came."
    if isinstance(answer, str) or not isinstance(answer, Iterable):
        return f"The exercise expects a list of texts, and this is of type {type(answer).__name__}."
    given = list(answer)
    if given == _RIGHT:
        return None
    if strangers := [text for text in given if text not in ENTRIES]:
        return f"{strangers[0]!r} is none of the entries: compare them in another form, but keep them as they are."
    if len(given) > len(set(map(_form, given))):
        return f"{len(given)} entries are left, and some of them still say the same."
    if sorted(given) == sorted(_RIGHT):
        return "The right entries, in another order: keep the order in which they came."
    if {_form(text) for text in given} == {_form(text) for text in _RIGHT}:
        return "Of those that say the same, keep the first."
    return f"{len(given)} entries are left. Something is gone that nobody else said."


def _form(text: object) -> str:
    return " ".join(str(text).lower().split())


@exercise(
    "learning.untrained",
    praise="8.54 nats: the curve below begins there, because a net of random numbers has no idea.",
    hints=(
        "It gives each of the 5,120 tokens the same probability: 1 / 5120.",
        "The loss is the surprise in nats: -math.log of that probability, the natural logarithm.",
        "loss = math.log(5120)",
    ),
)
def untrained(answer: object) -> str | None:
    """The loss, in nats, of a model that finds 5,120 tokens equally likely."""
    right = math.log(5120)
    near = (
        (-right, "The logarithm of a probability is negative, a loss is not: turn the sign around."),
        (
            math.log2(5120),
            "This is in bits, as in lesson 01. The loss of a training is in nats: math.log, not math.log2.",
        ),
        (math.log10(5120), "This is the logarithm to base 10. The loss is in nats: math.log."),
        *(
            (one, "This is not yet a loss: take the logarithm of the probability, turned around.")
            for one in (1 / 5120, 5120)
        ),
    )
    return judged(answer, right, near, unit="nats")


@exercise(
    "learning.work",
    praise="7.6e22 operations. The next cell shows what that means here.",
    hints=(
        "Three factors: 6 operations, the parameters, the tokens.",
        "3.3 trillion is 3.3e12.",
        "work = 6 * 3_821_079_552 * 3.3e12",
    ),
)
def work(answer: object) -> str | None:
    """The operations of Phi-3-mini's training: 6 for each parameter and token."""
    parameters = catalog.load().models["phi-3-mini-4k"].parameters
    tokens = facts.fact("training tokens", "Phi-3-mini").value
    right = 6 * parameters * tokens
    near = (
        (right / 3, "Two operations for each is reading only. Learning takes about three times as much: six."),
        (right / 6, "This is one operation for each parameter and token. It takes about six."),
        *(
            (right * off, "A factor of a thousand is off: a trillion is 1e12, a billion 1e9.")
            for off in (1e-3, 1e-6, 1e3)
        ),
        *((6 * one, "Both count: each token passes all the parameters.") for one in (parameters, tokens)),
    )
    return judged(answer, right, near, unit="operations", within=0.01)
