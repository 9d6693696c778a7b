"""Fair comparison of two ways to do the same thing: paired, warmed up, in the order A B B A, with a spread.

`compare` knows nothing of models: it measures functions that return one number each. `speed` does the same with
backends, of which it knows the contract only.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import comb, isnan
from typing import TYPE_CHECKING

from utils.core import Backend, Completion, Message, Options, complete, named
from utils.errors import BadInput

if TYPE_CHECKING:
    from utils.alone import Memory

ENOUGH = 6  # of fewer runs not even the smallest and the largest enclose the median with 95 % certainty
SERVED = (
    "* a server: it may end early, and it may keep a prompt that it was asked before, so that the first token comes "
    "sooner than that of a new prompt."
)


@dataclass(frozen=True)
class Comparison:
    """Medians of `n` pairs of runs, and the median of ours ÷ theirs with its 95 % interval."""

    ours: float
    theirs: float
    ratio: float
    low: float
    high: float
    n: int

    @property
    def differs(self) -> bool:
        """False where the interval holds 1, or the pairs are too few: no difference shown."""
        return self.n >= ENOUGH and not self.low <= 1 <= self.high


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
    """Medians and interval of (ours, theirs) pairs."""
    ratios = [a / b for a, b in pairs]
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Comparison(ours, theirs, statistics.median(ratios), *interval(ratios), len(ratios))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The k-th smallest and the k-th largest value: the median lies between them with at least 95 % certainty, whatever
    the distribution (David and Nagaraja 2003, Order Statistics, 7.1). Of fewer than ENOUGH values: all of them.

    The usual bootstrap of the median is too narrow for so few runs: of comparisons of a thing with itself it called
    13 % different with 7 pairs and 10 % with 9 (400 simulated comparisons each); with this one 2 and 4 %.
    """
    ordered, n, k = sorted(values), len(values), 1
    while 2 * sum(comb(n, i) for i in range(k + 1)) <= 0.05 * 2**n:
        k += 1
    return ordered[k - 1], ordered[n - k]


@dataclass(frozen=True)
class Speed:
    """How fast a backend answered one prompt, run by run in the order in which they ran, warm-up left out.

    `prompt_tokens` and `tokens` (generated, in each run) are None where they are unknown or were not always the same.
    """

    name: str  # route and model; "control" for the first one measured against itself
    source: str
    prompt_tokens: int | None
    tokens: int | None
    first_token_s: tuple[float, ...]
    tokens_per_s: tuple[float, ...]  # decode speed: the first token belongs to the prefill
    forced: bool = True  # to its length, and in this process: nothing is known of what a server keeps

    @property
    def unknown(self) -> bool:
        """Whether the decode speed of any run is."""
        return any(map(isnan, self.tokens_per_s))


def speed(
    backends: Sequence[Backend],
    prompt: str | Sequence[Message] = "What is a small language model?",
    *,
    tokens: int = 64,
    runs: int = 9,
    control: bool = True,
    on_run: Callable[[int, int], object] = lambda done, of: None,
) -> list[Speed]:
    """Asks each backend `runs` times for an answer of `tokens` tokens, round by round, every second round backwards.

    Models in this process are kept from ending early, so that all write equally much; a server ends when it likes.
    With `control` the first one is measured once more, as if it were another: what differs there is the noise.
    `on_run` is told how many answers there are and how many there will be. Raises BackendError.
    """
    if not backends or runs < 1:
        raise BadInput("Measuring takes at least one backend and one run.")
    places = [*backends, *backends[:1]] if control else list(backends)
    options = Options(max_tokens=tokens)
    answers: list[list[Completion]] = [[] for _ in places]
    with _forced(backends):
        for backend in backends:
            complete(backend, prompt, options)
        for number in range(runs):
            order = range(len(places)) if number % 2 == 0 else reversed(range(len(places)))
            for place in order:
                answers[place].append(complete(places[place], prompt, options))
                on_run(sum(map(len, answers)), runs * len(places))
    names = [named(backend.model, backend.name) for backend in backends] + ["control"]
    return [
        _speed(name, hasattr(backend, "force_length"), given)
        for name, backend, given in zip(names, places, answers, strict=False)
    ]


@contextmanager
def _forced(backends: Sequence[Backend]) -> Iterator[None]:
    """While this lasts, answers of models in this process are as long as max_tokens."""
    local = [backend for backend in backends if hasattr(backend, "force_length")]
    before = [backend.force_length for backend in local]
    try:
        for backend in local:
            backend.force_length = True
        yield
    finally:
        for backend, was in zip(local, before, strict=True):
            backend.force_length = was


def _speed(name: str, forced: bool, answers: Sequence[Completion]) -> Speed:
    prompts, counts = {a.prompt_tokens for a in answers}, {a.tokens for a in answers}
    return Speed(
        name,
        answers[0].source,
        prompts.pop() if len(prompts) == 1 else None,
        counts.pop() if len(counts) == 1 else None,
        tuple(a.first_token_s for a in answers),
        tuple(a.tokens_per_s for a in answers),
        forced,
    )


def verdict(ours: Speed, theirs: Speed) -> str:
    """Which decodes faster, in words: by how much, or that no difference was shown; and whether both wrote as much."""
    if ours.unknown or theirs.unknown:
        return "decode speed unknown"
    pairs = summary(list(zip(ours.tokens_per_s, theirs.tokens_per_s, strict=True)))
    said = "no difference shown"
    if pairs.differs:
        word = "faster" if pairs.ratio > 1 else "slower"
        said = f"{word}: {pairs.ratio:.2f} times as fast ({pairs.low:.2f} to {pairs.high:.2f})"
    if ours.tokens is None or ours.tokens != theirs.tokens:
        said += f"; but their lengths differ: {_count(ours)} and {_count(theirs)} tokens"
    return said


def _count(measured: Speed) -> str:
    return "?" if measured.tokens is None else str(measured.tokens)


def as_table(speeds: Sequence[Speed], memories: Sequence[Memory] = ()) -> str:
    """Medians with their 95 % intervals, a line each; the verdict compares with the first.

    `memories`: what `compare.memory` has found, to stand beside the speed of the same model on the same route."""
    weighed = {one.name: [f"{one.peak / 1e6:,.0f}", f"{one.files / 1e6:,.1f}"] for one in memories}
    head = ["", "tokens", "first token, ms", "tokens/s", "95 % interval"]
    lines = [head + ["memory at most, MB", "weights on disk, MB"] * bool(weighed) + ["against the first"]]
    for measured in speeds:
        low, high = interval(measured.tokens_per_s)
        line = [
            measured.name,
            _count(measured),
            f"{1000 * statistics.median(measured.first_token_s):.1f}" + "*" * (not measured.forced),
            "?" if measured.unknown else f"{statistics.median(measured.tokens_per_s):,.0f}",
            "?" if measured.unknown else f"{low:,.0f} to {high:,.0f}",
        ]
        line += weighed.get(measured.name, ["", ""]) if weighed else []
        lines.append([*line, "" if measured is speeds[0] else verdict(measured, speeds[0])])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    rows += [] if all(measured.forced for measured in speeds) else [SERVED]
    return "\n".join(row.rstrip() for row in rows)
