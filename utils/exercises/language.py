"""Exercises about what a language model is: how surprised it is, and how large."""

from __future__ import annotations

import math

from utils.checks import exercise
from utils.exercises.answers import no_number, number

_PROBABILITIES = (0.5, 0.25, 0.125, 0.5)
_BITS = -sum(map(math.log2, _PROBABILITIES)) / len(_PROBABILITIES)
_PARAMETERS = 3_821_079_552


@exercise(
    "language.surprise",
    praise="1.75 bits a token: as unsure as between 2 to the power of 1.75, about 3.4, equally likely tokens.",
    hints=(
        "The surprise of one token is -math.log2(p): half as likely, one bit more.",
        "The four surprises are 1, 2, 3 and 1 bits. Take their mean.",
        "surprise = (1 + 2 + 3 + 1) / 4",
    ),
)
def surprise(answer: object) -> str | None:
    """The mean surprise, in bits, of tokens with the probabilities 0.5, 0.25, 0.125 and 0.5."""
    given = number(answer)
    if given is None:
        return no_number(answer)
    if math.isclose(given, _BITS, rel_tol=3e-3):
        return None
    if math.isclose(given, -_BITS, rel_tol=3e-3):
        return "The logarithm of a probability is negative, a surprise is not: turn the sign around."
    if math.isclose(given, 4 * _BITS, rel_tol=3e-3):
        return "This is the surprise of all four tokens together. Divide it by their number."
    if math.isclose(given, _BITS * math.log(2), rel_tol=3e-3):
        return "This is in nats, from the natural logarithm. Bits come from math.log2."
    if math.isclose(given, 2**_BITS, rel_tol=3e-3):
        return "This is the perplexity, 2 to the power of the surprise. Asked for is the surprise itself."
    return f"{given:g} bits is not it."


@exercise(
    "language.memory",
    praise="1.9 GB: it fits on a phone. A real file is a little larger, because some numbers stay in more bits.",
    hints=(
        "Four bits are half a byte.",
        "One gigabyte is 1e9 bytes. Multiply the parameters by the bytes of one weight, then divide by 1e9.",
        "gigabytes = 3_821_079_552 * 4 / 8 / 1e9",
    ),
)
def memory(answer: object) -> str | None:
    """The gigabytes of Phi-3-mini's weights with four bits each."""
    given = number(answer)
    if given is None:
        return no_number(answer)
    right = _PARAMETERS * 4 / 8 / 1e9
    if math.isclose(given, right, rel_tol=0.03):
        return None
    if math.isclose(given, 8 * right, rel_tol=0.03):
        return "These are gigabits. Eight bits are one byte."
    if math.isclose(given, right * 1e9, rel_tol=0.03):
        return "These are bytes. Asked for are gigabytes."
    if math.isclose(given, 4 * right, rel_tol=0.03):
        return "This is what it takes with 16 bits for each weight. How much is it with four?"
    return f"{given:,.3g} GB is not it."
