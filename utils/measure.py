"""Fair comparison of two ways to do the same thing: paired, warmed up, in the order A B B A, with a spread.

It knows nothing of models: what is measured are functions that return one number each.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

RESAMPLES = 2000


@dataclass(frozen=True)
class Comparison:
    """Medians of `n` pairs of runs, and the median of ours ÷ theirs with its 95 % bootstrap interval."""

    ours: float
    theirs: float
    ratio: float
    low: float
    high: float
    n: int

    @property
    def differs(self) -> bool:
        """False where the interval holds 1: no difference shown."""
        return not self.low <= 1 <= self.high


def compare(ours: Callable[[], float], theirs: Callable[[], float], pairs: int = 9) -> Comparison:
    """Runs both once to warm up, then `pairs` times each; every second pair runs in the other order."""
    ours(), theirs()
    measured = []
    for number in range(pairs):
        if number % 2:
            second = theirs()
            measured.append((ours(), second))
        else:
            measured.append((ours(), theirs()))
    return summary(measured)


def summary(pairs: Sequence[tuple[float, float]]) -> Comparison:
    """Medians and interval of (ours, theirs) pairs. The same pairs always give the same interval."""
    ratios = [a / b for a, b in pairs]
    dice = random.Random(0)
    medians = sorted(statistics.median(dice.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    low, high = medians[round(0.025 * RESAMPLES)], medians[round(0.975 * RESAMPLES) - 1]
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Comparison(ours, theirs, statistics.median(ratios), low, high, len(ratios))
