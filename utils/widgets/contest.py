"""Who wins when people choose without knowing who wrote what: ratings from votes, and how sure they are."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

START, SCALE, STEP = 1000.0, 400.0, 32.0  # as in chess (Elo 1978)
RESAMPLES = 400
ENOUGH = 6  # of fewer votes, even if all say the same, nothing follows: five alike come by chance once in sixteen times


@dataclass(frozen=True)
class Vote:
    """`score`: 1 when `one` was better, 0 when `other` was, 0.5 when neither."""

    one: str
    other: str
    score: float


@dataclass(frozen=True)
class Rating:
    """Elo points with a 95 % bootstrap interval over the `votes` that this one took part in: infinite for fewer than
    ENOUGH."""

    name: str
    points: float
    low: float
    high: float
    votes: int


def points(votes: Sequence[Vote]) -> dict[str, float]:
    """Elo points after the votes, one after another."""
    now = {name: START for vote in votes for name in (vote.one, vote.other)}
    for vote in votes:
        expected = 1 / (1 + 10 ** ((now[vote.other] - now[vote.one]) / SCALE))
        gain = STEP * (vote.score - expected)
        now[vote.one] += gain
        now[vote.other] -= gain
    return now


def ratings(votes: Sequence[Vote]) -> list[Rating]:
    """The best first. The order of votes matters to Elo, so points are means over votes drawn again and again.

    Every pair is drawn from as if each had won once more: else votes that all say the same would seem to be certain.
    """
    dice, drawn = random.Random(0), []
    pairs = sorted({(min(vote.one, vote.other), max(vote.one, vote.other)) for vote in votes})
    more = [Vote(one, other, score) for one, other in pairs for score in (1.0, 0.0)]
    for _ in range(RESAMPLES if votes else 0):
        drawn.append(points(dice.choices([*votes, *more], k=len(votes))))
    made = []
    for name in points(votes):
        seen = sorted(one.get(name, START) for one in drawn)
        count = sum(name in (vote.one, vote.other) for vote in votes)
        low, high = seen[round(0.025 * len(seen))], seen[round(0.975 * len(seen)) - 1]
        if count < ENOUGH:
            low, high = -inf, inf
        made.append(Rating(name, sum(seen) / len(seen), low, high, count))
    return sorted(made, key=lambda rating: -rating.points)
