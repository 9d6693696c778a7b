"""How fast a machine can be at most, and what that means for a model of some size.

Writing one token means reading all weights (and what the cache holds) from memory, and two operations for each
parameter at work: whichever takes longer is the roof (Williams et al. 2009, Roofline, CACM 52). A real program stays
below it by a share that changes little with size; so one measured model predicts another.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from utils.errors import BadInput

BYTES = 512_000_000  # read by the probe: many times what a processor's cache holds
SIDE = 2048  # of the square matrices that are multiplied
REPEATS = 5


@dataclass(frozen=True)
class Machine:
    """`bandwidth`: bytes/s read from memory; `compute`: operations/s in 32 bit. Both are the best of some runs."""

    bandwidth: float
    compute: float


@dataclass(frozen=True)
class Load:
    """What one token asks of a machine: `weights` bytes read (without the input embedding, of which one row is read),
    `cache` bytes of keys and values read, `parameters` at work."""

    weights: float
    parameters: float
    cache: float = 0.0

    @property
    def intensity(self) -> float:
        """Operations for each byte read."""
        return 2 * self.parameters / (self.weights + self.cache)


def probe() -> Machine:
    """Measures this machine in some seconds, with as many threads as numpy's libraries use."""
    numbers = np.ones(BYTES // 4, np.float32)
    numbers.dot(numbers)
    bandwidth = max(BYTES / _seconds(lambda: numbers.dot(numbers)) for _ in range(REPEATS))
    square = np.ones((SIDE, SIDE), np.float32)
    square @ square
    compute = max(2 * SIDE**3 / _seconds(lambda: square @ square) for _ in range(REPEATS))
    return Machine(bandwidth, compute)


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def roof(machine: Machine, load: Load) -> float:
    """Tokens/s that cannot be exceeded."""
    return 1 / max((load.weights + load.cache) / machine.bandwidth, 2 * load.parameters / machine.compute)


def predict(machine: Machine, measured: Load, tokens_per_s: float, other: Load) -> float:
    """Tokens/s of another load, from what one of the same kind and precision reached. Raises BadInput."""
    share = tokens_per_s / roof(machine, measured)
    if not 0 < share <= 1.5:  # a little above 1: the probe is no limit of physics
        raise BadInput(
            f"{tokens_per_s:.0f} tokens/s are {share:.1f} times what memory and processor allow: the model lies in the "
            "processor's cache, or the count is wrong. Measure a larger model."
        )
    return share * roof(machine, other)
