import pytest

from utils.measure import compare, summary


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
    assert result.differs


def test_the_interval_covers_the_median_and_overlap_is_said():
    noisy = summary([(1.0, 1.1), (1.2, 1.0), (0.9, 1.0), (1.05, 1.0), (1.0, 1.02)])
    assert noisy.low <= noisy.ratio <= noisy.high
    assert not noisy.differs
    faster = summary([(0.5, 1.0), (0.52, 1.0), (0.48, 1.0), (0.51, 1.0), (0.5, 1.0)])
    assert faster.high < 1 and faster.differs


def test_the_ratio_is_paired():
    """Both runs of the second pair met a slow moment; the ratio does not see it."""
    assert summary([(1.0, 2.0), (10.0, 20.0), (1.0, 2.0)]).ratio == pytest.approx(0.5)


def test_the_same_pairs_give_the_same_interval():
    pairs = [(1.0, 1.1), (1.2, 1.0), (0.9, 1.0)]
    assert summary(pairs) == summary(pairs)
