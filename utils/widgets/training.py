"""Watch a model learn: the loss as a curve that grows, and Stop, which keeps what has been learned by then.

    model = await Training(nano.pretrain, "reading").run()

The work runs in a thread: while a cell awaits it, the kernel hears the Stop button, which it does not in a busy cell.
It knows neither model nor data: `work` is called with a function that takes each step, and one that says when to stop.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

import ipywidgets
from IPython.display import display

from utils.widgets.panel import Panel, button, note, text

REDRAW_S = 0.25
POINTS = 300  # of the curve
WIDTH, HEIGHT, LEFT, FOOT = 620, 210, 60, 34
LINE, INK, GRID = "#0072B2", "var(--jp-ui-font-color1)", "var(--jp-border-color2)"

Made = TypeVar("Made")


class Step(Protocol):
    """One step: its number, how many there are, the loss in nats per token, seconds and tokens since the start."""

    @property
    def number(self) -> int: ...
    @property
    def of(self) -> int: ...
    @property
    def loss(self) -> float: ...
    @property
    def seconds(self) -> float: ...
    @property
    def tokens(self) -> int: ...


class Training(Panel, Generic[Made]):
    """`run()` puts the curve on the page, does the work, and returns what the work returns."""

    def __init__(self, work: Callable[[Callable[[Step], None], Callable[[], bool]], Made], name: str) -> None:
        self._work, self.name = work, name
        self.steps: list[Step] = []
        self._stop = threading.Event()
        self._drawn = 0.0
        self.stop_button = button("Stop", self.stop, "End the training here and keep the model", disabled=True)
        self.status, self.view = ipywidgets.HTML(note("Not begun.")), ipywidgets.HTML()
        head = ipywidgets.HBox([self.stop_button, self.status], layout={"align_items": "center"})
        self.box = ipywidgets.VBox([head, self.view])

    def __str__(self) -> str:
        if not self.steps:
            return f"{self.name}: not begun. Run this cell to begin."
        first, last = self.steps[0], self.steps[-1]
        return f"{self.name}: {last.number} of {last.of} steps, loss from {first.loss:.2f} to {last.loss:.2f}"

    def stop(self) -> None:
        """End after this step: what has been learned stays."""
        self._stop.set()

    async def run(self) -> Made:
        """Do the work. Stop, and the kernel's own interrupt, end it early with the model as it is by then."""
        self.steps = []
        self._stop.clear()
        self.stop_button.disabled, state = False, "failed"
        shown = display(self, display_id=True)  # type: ignore[no-untyped-call]
        try:
            with _interrupt_stops(self.stop):
                made = await asyncio.to_thread(self._work, self._take, self._stop.is_set)
            state = "stopped" if self._stop.is_set() else "done"
            return made
        except asyncio.CancelledError:
            self.stop()  # the thread as well
            raise
        finally:
            self.stop_button.disabled = True
            self._draw(state)
            if shown:  # not outside a notebook
                shown.update(self)  # the text that is saved with the notebook tells how it ended

    def _take(self, step: Step) -> None:
        self.steps.append(step)
        if time.monotonic() - self._drawn >= REDRAW_S:
            self._draw("learning")

    def _draw(self, state: str) -> None:
        self._drawn = time.monotonic()
        if self.steps:
            last = self.steps[-1]
            told = f"step {last.number:,} of {last.of:,}, {last.seconds:.0f} s, {last.tokens:,} tokens read"
            self.status.value = note(f"{self.name}: {state}; {told}, loss {_mean(self.steps):.2f}.")
            self.view.value = _curve([(one.number, one.loss) for one in self.steps], last.of)
        else:
            self.status.value = note(f"{self.name}: {state} before the first step.")


@contextmanager
def _interrupt_stops(stop: Callable[[], None]) -> Iterator[None]:
    """Jupyter's interrupt would throw the model away; here it stops like the button. Signals reach the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: stop())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _mean(steps: Sequence[Step]) -> float:
    last = steps[-20:]
    return sum(one.loss for one in last) / len(last)


def _curve(points: list[tuple[int, float]], steps: int) -> str:
    """Loss against steps, as SVG: a picture from matplotlib would cost a tenth of a second, taken from the training."""
    top = max(loss for _, loss in points) * 1.05 or 1.0
    thinned = points[:: -(-len(points) // POINTS)]

    def at(number: float, loss: float) -> str:
        x = LEFT + (WIDTH - LEFT - 10) * number / steps
        return f"{x:.1f},{(HEIGHT - FOOT) * (1 - loss / top) + 5:.1f}"

    line = " ".join(at(*point) for point in thinned)
    marks = [one for one in (0, 1, 2, 3, 4, 6, 8, 10) if one < top]
    grid = "".join(_level(one, at(0, one), at(steps, one)) for one in marks)
    words = f"Loss from {points[0][1]:.2f} to {points[-1][1]:.2f} after {points[-1][0]} of {steps} steps."
    return (
        f'<svg role="img" aria-label="{text(words)}" viewBox="0 0 {WIDTH} {HEIGHT + 14}" '
        f'style="width:100%;max-width:{WIDTH}px;font-size:12px" fill="{INK}">{grid}'
        f'<polyline points="{line}" fill="none" stroke="{LINE}" stroke-width="2"/>'
        f'<text x="{WIDTH - 10}" y="{HEIGHT + 8}" text-anchor="end">{steps:,} steps</text>'
        f'<text x="14" y="{HEIGHT / 2}" transform="rotate(-90 14 {HEIGHT / 2})" text-anchor="middle">'
        "loss in nats per token</text></svg>"
    )


def _level(value: float, left: str, right: str) -> str:
    """A line across the picture at one loss, with its number."""
    (x1, y1), (x2, y2) = left.split(","), right.split(",")
    number = f'<text x="{float(x1) - 8}" y="{float(y1) + 4}" text-anchor="end">{value:g}</text>'
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{GRID}"/>{number}'
