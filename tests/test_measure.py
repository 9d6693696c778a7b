import math
import random
from functools import partial
from typing import ClassVar

import pytest

from utils import measure
from utils.alone import Memory
from utils.core import Chunk, complete
from utils.errors import BadInput
from utils.measure import compare, interval, summary


def test_runs_are_warmed_up_and_alternate():
    order = []

    def ours():
        order.append("A")
        return 2.0

    def theirs():
        order.append("B")
        return 1.0

    result = compare(ours, theirs, pairs=4)
    assert "".join(order) == "AB" + "ABBAABBA"
    assert (result.ours, result.theirs, result.ratio, result.low, result.high, result.n) == (2.0, 1.0, 2.0, 2.0, 2.0, 4)


def test_the_interval_covers_the_median_and_overlap_is_said():
    noisy = summary([(1.0, 1.1), (1.2, 1.0), (0.9, 1.0), (1.05, 1.0), (1.0, 1.02)])
    assert noisy.low <= noisy.ratio <= noisy.high
    assert not noisy.differs
    faster = summary([(0.5, 1.0), (0.52, 1.0), (0.48, 1.0), (0.51, 1.0), (0.5, 1.0), (0.53, 1.0)])
    assert faster.high < 1 and faster.differs


def test_five_pairs_show_nothing():
    """Five heads in a row are not rare enough: one in sixteen."""
    assert not summary([(0.5, 1.0)] * 5).differs and summary([(0.5, 1.0)] * 6).differs


def test_the_interval_of_a_median_is_that_of_the_tables():
    """Ranks for 95 %: Conover 1999, Practical Nonparametric Statistics, table A3."""
    for n, low in ((6, 1), (8, 1), (9, 2), (12, 3), (20, 6), (36, 12)):
        assert interval(range(1, n + 1)) == (low, n + 1 - low)


@pytest.mark.parametrize("pairs", [7, 9, 15, 36])
def test_a_thing_is_hardly_ever_faster_than_itself_and_three_per_cent_are_found(pairs):
    """Noise of one per cent a run, as on a quiet machine; 1,000 comparisons."""
    dice = random.Random(pairs)

    def share_that_differs(planted: float) -> float:
        runs = [
            summary([(planted * dice.lognormvariate(0, 0.01), dice.lognormvariate(0, 0.01)) for _ in range(pairs)])
            for _ in range(1000)
        ]
        return sum(run.differs for run in runs) / 1000

    assert share_that_differs(1.0) <= 0.05 + 2 * 0.007
    assert share_that_differs(1.03) >= (0.99 if pairs >= 15 else 0.85)


def test_the_ratio_is_paired():
    """Both runs of the second pair met a slow moment; the ratio does not see it."""
    assert summary([(1.0, 2.0), (10.0, 20.0), (1.0, 2.0)]).ratio == pytest.approx(0.5)


class Ticking:
    """A backend whose tokens take `step` seconds of its clock."""

    name, source, force_length = "ticking", "pocket", False
    now = 0.0
    order: ClassVar = []

    def __init__(self, model, step):
        self.model, self.step = model, step

    def stream(self, messages, options):
        self.order.append(self.model)
        assert self.force_length
        for count in range(1, options.max_tokens + 1):
            Ticking.now += self.step
            yield Chunk("x", tokens=count, prompt_tokens=7, finish_reason="length")

    def close(self):
        pass


@pytest.fixture
def ticking(monkeypatch):
    monkeypatch.setattr(Ticking, "order", [])
    monkeypatch.setattr(measure, "complete", partial(complete, clock=lambda: Ticking.now))
    return Ticking("a", 0.001), Ticking("b", 0.002)


def test_backends_take_turns_and_the_first_is_its_own_control(ticking):
    told = []
    first, second, control = measure.speed(ticking, tokens=5, runs=2, on_run=lambda *counts: told.append(counts))
    assert "".join(Ticking.order) == "ab" + "aba" + "aba"
    assert told == [(1, 6), (2, 6), (3, 6), (4, 6), (5, 6), (6, 6)]
    assert first.tokens_per_s == pytest.approx((1000, 1000)) and second.tokens_per_s == pytest.approx((500, 500))
    assert (first.tokens, first.prompt_tokens, first.name, control.name) == (5, 7, "a on ticking", "control")
    assert first.first_token_s == pytest.approx((0.001, 0.001))
    assert not ticking[0].force_length


def test_the_table_says_which_is_faster_and_where_nothing_was_shown(ticking):
    lines = measure.as_table(measure.speed(ticking, tokens=5, runs=6)).splitlines()
    assert "first token, ms" in lines[0] and "95 % interval" in lines[0]
    assert "slower: 0.50 times as fast" in lines[2] and lines[3].endswith("no difference shown")


def test_an_unknown_count_gives_no_verdict():
    unknown, known = (measure.Speed("x", "live", None, None, (0.1,) * 6, (speed,) * 6) for speed in (math.nan, 10.0))
    assert measure.verdict(unknown, known) == "decode speed unknown"


def test_an_unknown_speed_is_no_number_in_the_table():
    [_, line] = measure.as_table([measure.Speed("x", "live", None, None, (0.1,) * 6, (math.nan,) * 6)]).splitlines()
    assert line.split() == ["x", "?", "100.0", "?", "?"]


@pytest.mark.parametrize(("tokens", "speed"), [(5, 20.0), (5, 10.0), (None, 20.0)])
def test_answers_of_other_lengths_are_not_compared_without_a_word(tokens, speed):
    """Servers end when they like."""
    short, long = (measure.Speed("x", "live", 9, n, (0.1,) * 6, (s,) * 6) for n, s in ((tokens, speed), (64, 10.0)))
    assert measure.verdict(short, long).endswith(f"; but their lengths differ: {tokens or '?'} and 64 tokens")
    assert "lengths" not in measure.verdict(long, long)


class Served(Ticking):
    """Without `force_length`: out of our reach."""

    force_length = property()  # without a getter: there is none

    def stream(self, messages, options):
        for count in range(1, 4):
            Ticking.now += self.step
            yield Chunk("x", tokens=count, prompt_tokens=7, finish_reason="stop")


def test_what_a_server_may_keep_from_run_to_run_is_said(ticking):
    """The second time a prompt is read from its cache; no server tells all of it."""
    table = measure.as_table(measure.speed([ticking[0], Served("c", 0.002)], tokens=5, runs=6))
    head, first, second, control, *remark = table.splitlines()
    assert "2.0*" in second and "their lengths differ: 3 and 5" in second and "*" not in head + first + control
    assert remark == [measure.SERVED] and "keep a prompt" in measure.SERVED
    assert measure.SERVED not in measure.as_table(measure.speed(ticking, tokens=5, runs=6))


def test_memory_that_was_seen_apart_stands_in_the_table(ticking):
    speeds = measure.speed(ticking, tokens=5, runs=6)
    head, first, second, control = measure.as_table(speeds, [Memory("b on ticking", 1_234e6, 7.9e6)]).splitlines()
    assert "memory at most, MB" in head and "weights on disk, MB" in head
    at = [head.index(title) for title in ("memory at most", "weights on disk")]
    assert [second[i : i + 7].strip() for i in at] == ["1,234", "7.9"]
    assert all(line[at[0] : at[1] + 7].strip() == "" for line in (first, control))


def test_nothing_to_measure_is_said():
    with pytest.raises(BadInput, match="at least one backend"):
        measure.speed([])
