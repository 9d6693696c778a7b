"""Exercises about what a language model is: how surprised it is, and how large."""

from __future__ import annotations

import math

from utils import catalog
from utils.checks import exercise
from utils.exercises.answers import judged

_PROBABILITIES = (0.5, 0.25, 0.125, 0.5)
_MEAN = sum(_PROBABILITIES) / len(_PROBABILITIES)
_BITS = -sum(map(math.log2, _PROBABILITIES)) / len(_PROBABILITIES)


@exercise(
    "language.surprise",
    praise="1.75 bits a token: as unsure as between 2 to the power of 1.75, about 3.4, equally likely tokens.",
    hints=(
        "The surprise of one token is -math.log2(p): half as likely, one bit more.",
        "The four surprises are 1, 2, 3 and 1 bits. Take their mean.",
        "mean = (1 + 2 + 3 + 1) / 4",
    ),
)
def surprise(answer: object) -> str | None:
    """The mean surprise, in bits, of tokens with the probabilities 0.5, 0.25, 0.125 and 0.5."""
    near = (
        (-_BITS, "The logarithm of a probability is negative, a surprise is not: turn the sign around."),
        (4 * _BITS, "This is the surprise of all four tokens together. Divide it by their number."),
        (_BITS * math.log(2), "This is in nats, from the natural logarithm. Bits come from math.log2."),
        (_MEAN, "This is the mean of the probabilities. First the logarithm of each, then the mean."),
        (-math.log2(_MEAN), "This is the logarithm of the mean. First the logarithm of each, then the mean."),
        (2**_BITS, "This is the perplexity, 2 to the power of the surprise. Asked for is the surprise itself."),
    )
    return judged(answer, _BITS, near, unit="bits")


@exercise(
    "language.memory",
    praise="1.9 GB: it fits on a phone. A real file is a little larger, because some numbers stay in more bits.",
    hints=(
        "Four bits are half a byte.",
        "One gigabyte is 1e9 bytes. Multiply the parameters by the bytes of one weight, then divide by 1e9.",
        "needed = 3_821_079_552 * 4 / 8 / 1e9",
    ),
)
def memory(answer: object) -> str | None:
    """The gigabytes of Phi-3-mini's weights with four bits each."""
    right = catalog.load().models["phi-3-mini-4k"].parameters * 4 / 8 / 1e9
    near = (
        (8 * right, "These are gigabits. Eight bits are one byte."),
        (right * 1e9, "These are bytes. Asked for are gigabytes."),
        (2 * right, "This is what it takes with 8 bits for each weight. How much is it with four?"),
        (right * 1e9 / 2**30, "This is in GiB, of 2**30 bytes each. Asked for are gigabytes, of 1e9."),
        (4 * right, "This is what it takes with 16 bits for each weight. How much is it with four?"),
    )
    return judged(answer, right, near, unit="GB", within=0.01)
