import numpy as np
import pytest

from utils import roofline
from utils.errors import BadInput
from utils.roofline import Load, Machine, predict, probe, roof

LAPTOP = Machine(bandwidth=50e9, compute=150e9)


def test_reading_or_computing_is_the_roof():
    whole, four_bits = Load(weights=7.6e9, parameters=3.8e9), Load(weights=1.0e9, parameters=3.8e9)
    assert roof(LAPTOP, whole) == pytest.approx(50 / 7.6)
    assert roof(LAPTOP, four_bits) == pytest.approx(150 / 7.6), "with few bits the processor is slower than the memory"
    assert four_bits.intensity == pytest.approx(7.6)


def test_a_long_context_is_read_as_well():
    short, long = (Load(2e9, 1e9, cache) for cache in (0.0, 2e9))
    assert roof(LAPTOP, long) == pytest.approx(roof(LAPTOP, short) / 2)


def test_one_model_predicts_another():
    small, large = Load(1e9, 0.25e9), Load(4e9, 1e9)
    assert predict(LAPTOP, small, 40.0, large) == pytest.approx(10.0)


def test_a_speed_that_cannot_be_is_said():
    with pytest.raises(BadInput, match="in the processor's cache"):
        predict(LAPTOP, Load(1e9, 0.25e9), 500.0, Load(4e9, 1e9))


def test_the_probe_gives_figures_of_a_computer():
    found = probe()
    assert 1e9 < found.bandwidth < 1e12 and 1e9 < found.compute < 1e14


def test_the_probe_reads_as_fast_as_it_can_and_more_than_a_cache_holds(monkeypatch):
    """A sum reaches half the bytes/s of a product of an array with itself."""
    used = []

    class Watched(np.ndarray):
        def sum(self, *more, **named):
            pytest.fail("a sum reads half as fast")

        def dot(self, other):
            used.append((self.nbytes, other is self))
            return 1.0

        def __matmul__(self, other):
            return self

    monkeypatch.setattr(roofline.np, "ones", lambda shape, kind: np.empty(shape, kind).view(Watched))
    monkeypatch.setattr(roofline, "_seconds", lambda work: work() is None or 0.02)
    assert probe().bandwidth == pytest.approx(512e6 / 0.02)
    assert set(used) == {(512_000_000, True)}
