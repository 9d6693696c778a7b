"""Exercises about small or large: what a month costs, and which claims are true."""

from __future__ import annotations

from collections.abc import Mapping

from utils import facts
from utils.checks import exercise
from utils.exercises.answers import judged

QUESTIONS, READ, WRITTEN, DAYS = 1000, 800, 200, 30
RIGHT, WRONG, UNKNOWN = "right", "wrong", "unknown"
CLAIMS: Mapping[str, tuple[str, str]] = {
    "GPT-4 has 1.76 trillion parameters.": (
        UNKNOWN,
        "OpenAI has never published a number, so nobody outside can say that it is right, or wrong.",
    ),
    "Small models are made by shrinking large ones.": (
        WRONG,
        "Some are, but Phi is trained from random numbers on chosen and written text (arXiv 2404.14219).",
    ),
    "Small models are less biased, because they read less.": (
        UNKNOWN,
        "Nobody has shown that. The probe in this lesson finds bias in a very small one: measure it.",
    ),
    "GPT models have an encoder and a decoder.": (
        WRONG,
        "They are decoder-only, as Phi is: see lesson 01, where no token looks to its right.",
    ),
    "Phi-3-mini knows fewer facts than GPT-3.5.": (
        RIGHT,
        "In TriviaQA, a test of facts, the technical report gives 64.0 and 85.8 %.",
    ),
}


@exercise(
    "choosing.month",
    praise="13.50 dollars: 6.00 for reading, and 7.50 for writing, though that is only a fifth of the tokens.",
    hints=(
        "Work out the tokens of a month first, those that are read and those that are written apart from each other.",
        "24 million are read, 6 million are written. The prices are for a million tokens each.",
        "dollars = 24 * 0.25 + 6 * 1.25",
    ),
)
def month(answer: object) -> str | None:
    """Dollars for 30 days of 1,000 questions a day, 800 tokens read and 200 written, by Claude 3 Haiku in 2024."""
    read, written = (facts.fact(what, "Claude 3 Haiku").value for what in ("reading", "writing"))
    right = _dollars(read, written)
    near = (
        (right / DAYS, "This is for one day. A month has 30 of them here."),
        (
            _dollars(read, 0),
            "This is for what the model reads. What it writes is missing, and each token of that costs more.",
        ),
        (_dollars(0, written), "This is for what the model writes. What it reads is missing."),
        (_dollars(written, read), "The two prices have changed places: reading is the cheaper one."),
        *((right * off, "The prices are for a million tokens.") for off in (1e6, 1e3)),
    )
    return judged(answer, right, near, unit="dollars")


def _dollars(read: float, written: float) -> float:
    return QUESTIONS * DAYS * (READ * read + WRITTEN * written) / 1e6


@exercise(
    "choosing.claims",
    praise="All five. Each of them can be read somewhere on the web without a source.",
    hints=(
        "Ask of each: could somebody outside know this? Where would it be written?",
        "Two of them nobody has shown: 'unknown'. Two are wrong. One is right.",
        "Where to look: tables above (1 and 5), lesson 02 (2), the probe above (3), lesson 01 (4).",
    ),
)
def claims(answer: object) -> str | None:
    """For each claim in `CLAIMS`: "right", "wrong" or "unknown"."""
    if isinstance(answer, Mapping):
        answer = list(answer.values())
    if isinstance(answer, str) or not isinstance(answer, list | tuple):
        return f"The exercise expects a list of five words, and this is of type {type(answer).__name__}."
    if len(answer) != len(CLAIMS):
        return f"There are {len(CLAIMS)} claims, and this list has {len(answer)} words."
    words = [str(word).strip().lower() for word in answer]
    if odd := [word for word in words if word not in (RIGHT, WRONG, UNKNOWN)]:
        return f"{odd[0]!r} is none of 'right', 'wrong' and 'unknown'."
    for place, (word, (verdict, why)) in enumerate(zip(words, CLAIMS.values(), strict=True), 1):
        if word != verdict:
            return f"Claim {place} is not {word!r}. {why}"
    return None
