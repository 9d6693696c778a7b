"""Watching a training: every step is on the curve, Stop and the kernel's interrupt keep what was learned."""

import _thread
import asyncio
import re
import signal
import time

import pytest

from utils.pocket.nano import Step
from utils.widgets import Training


def learn(steps, during=lambda number: None):
    """Work that tells `steps` steps of 50, and returns how many it did."""

    def work(on_step, stopped):
        done = 0
        while done < steps and not stopped():
            done += 1
            on_step(Step(done, 50, 8.0 / done, done / 10, 100 * done))
            during(done)
        return done

    return work


def test_it_returns_the_work_and_shows_its_curve() -> None:
    made = Training(learn(50), "reading")
    assert str(made) == "reading: not begun. Run this cell to begin."
    assert asyncio.run(made.run()) == 50
    assert str(made) == "reading: 50 of 50 steps, loss from 8.00 to 0.16"
    assert "reading: done; step 50 of 50, 5 s, 5,000 tokens read" in made.status.value
    assert 'aria-label="Loss from 8.00 to 0.16 after 50 of 50 steps."' in made.view.value
    points = re.search(r'points="([^"]+)"', made.view.value)[1].split()
    assert len(points) == 50
    heights = [float(point.split(",")[1]) for point in points]
    assert heights == sorted(heights)  # downwards: the loss falls
    assert made.stop_button.disabled


def test_stop_keeps_what_was_learned() -> None:
    made = Training(learn(50, lambda number: made.stop_button.click() if number == 7 else None), "reading")
    assert asyncio.run(made.run()) == 7
    assert "stopped; step 7 of 50" in made.status.value
    assert asyncio.run(made.run()) == 7  # and it can begin again


def test_an_interrupt_of_the_kernel_stops_it_too() -> None:
    before = signal.getsignal(signal.SIGINT)

    def interrupted(number):
        if number == 3:
            _thread.interrupt_main()
            time.sleep(1)  # until the main thread has heard it

    made = Training(learn(50, interrupted), "reading")
    assert asyncio.run(made.run()) == 3
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("before", "told"), [(0, "reading: failed before the first step"), (3, "failed; step 3 of 50")]
)
def test_a_failure_is_not_hidden(before, told) -> None:
    def broken(on_step, stopped):
        learn(before)(on_step, stopped)
        raise MemoryError("no room")

    made = Training(broken, "reading")
    with pytest.raises(MemoryError):
        asyncio.run(made.run())
    assert told in made.status.value and made.stop_button.disabled


def test_a_long_training_is_drawn_with_few_points() -> None:
    made = Training(lambda take, stopped: [take(Step(n, 9000, 1.0, n, n)) for n in range(1, 9001)], "reading")
    asyncio.run(made.run())
    assert len(re.search(r'points="([^"]+)"', made.view.value)[1].split()) <= 300
