"""Models side by side: one prompt, one to four columns, what each says and how fast.

*Fair* asks one after another, so that no column takes time from another; *together* asks all at once. Without widgets:
`comparison.run()`, then `print(comparison)` or `comparison.table()`.
"""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import ipywidgets

from utils.backends import connect, mode_of
from utils.core import Backend, Message, Mode, Options
from utils.errors import BackendError, BadInput
from utils.machine import machine
from utils.widgets import ballot, bars, kept, memory
from utils.widgets.asking import WIDE, WRAP, Asking
from utils.widgets.column import Column
from utils.widgets.keeping import Keeping
from utils.widgets.panel import Panel, button, note, plain_table
from utils.widgets.picking import known
from utils.widgets.running import Running

if TYPE_CHECKING:
    import pandas

DOUBLE_CLICK_S = 0.5
FAIR, TOGETHER = "One run each: small differences mean nothing.", "All at once: no column's speed is its own."


class Compare(Panel):
    """`routes`: one to four names such as "onnx" or "llama.cpp/pocket-phi-3-medium:q4_0". Nothing runs before a click.

    `opened` makes a backend, as `connect` does. Raises BadInput.
    """

    def __init__(
        self,
        routes: Sequence[str] = ("onnx", "llama.cpp"),
        prompt: str = "What is an SLM?",
        *,
        system: str = "",
        options: Options = Options(),
        mode: Mode | None = None,
        opened: Callable[..., Backend] = connect,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 1 <= len(routes) <= kept.MOST or isinstance(routes, str):
            raise BadInput(f"Compare takes a list of one to {kept.MOST} routes, such as ['onnx', 'llama.cpp'].")
        self._clock, self._mode = clock, mode_of(mode)
        self._make: Callable[[str], Column] = lambda place: Column(place, self._mode, opened, clock, self._forget)
        self.columns = [self._make(place) for place in routes]
        self.runs: list[kept.Run] = []
        self._running, self._started = Running(self._tell), float("-inf")
        self._shown: kept.Run | None = None
        self._build(prompt, system, options)
        self.memory_button.layout.display = "" if opened is connect else "none"  # another process has only `connect`
        self._show()

    def _build(self, prompt: str, system: str, options: Options) -> None:
        self.asking = Asking(prompt, system, options)
        how = [("fair: one after another", "fair"), ("together: all at once", "together")]
        self.order = ipywidgets.Dropdown(options=how, description="Order", style=WIDE)
        self.run_button = button("Run", self.start, "Ask every column", button_style="primary")
        self.stop_button = button("Stop", self.stop, "Stop every answer", disabled=True)
        self.more, self.fewer = button("Add a column", self.add), button("Remove the last", self.remove)
        self.differences = ipywidgets.Checkbox(description="Mark differences from the first", indent=False)
        self.differences.observe(lambda change: self._draw(), "value")
        self.memory_button = button("Measure memory", self.measure_memory, "Each once more, in a process of its own")
        self.ballot = ballot.Ballot(self._show)
        self.status, self.chart = ipywidgets.HTML(note("Nothing asked yet.")), ipywidgets.HTML()
        wide = {"width": "auto"}
        self.history = ipywidgets.Dropdown(options=[("", -1)], description="History", style=WIDE, layout=wide)
        self.history.observe(lambda change: self._look(change["new"]), "value")
        self.keeping = Keeping(self)
        self._row = ipywidgets.HBox(layout={"flex_flow": "row wrap", "align_items": "stretch"})
        buttons = [self.run_button, self.stop_button, self.more, self.fewer]
        for control in (*buttons, self.memory_button, self.differences):
            control.layout.width = "auto"
        first = ipywidgets.HBox([self.order, *buttons], layout=WRAP)
        second = ipywidgets.HBox([self.differences, self.memory_button], layout=WRAP)
        parts = [self.asking.box, first, self.status, self._row, second, self.chart]
        self.box = ipywidgets.VBox([*parts, self.ballot.box, self.history, self.keeping.box])

    def __str__(self) -> str:
        if not self.runs:
            places = [column.place for column in self.columns]
            named = f"comparison = utils.Compare({places}); comparison.run(); print(comparison)"
            return f"Compare {', '.join(places)}: press Run. Where there is no button: {named}"
        rows = [[c["place"], c["text"] or c["problem"], *kept.figures(c)] for c in self.runs[-1]["columns"]]
        head = ("route", "answer", "tokens", "first, ms", "tokens/s", "MB")
        return plain_table(head, rows, widths=(26, 38, 6, 9, 8, 6))

    @property
    def job(self) -> threading.Thread | None:
        """What runs in the background, or ran last."""
        return self._running.job

    def start(self) -> None:
        """Ask every column in the background. A second click while it runs does nothing."""
        if self._running.busy or self._clock() - self._started < DOUBLE_CLICK_S:
            return
        try:
            self._ask()
            self._started = self._clock()
        except BackendError as error:
            self.status.value = note(str(error), role="alert")

    def run(self) -> None:
        """Ask every column and wait for the answers; an interrupt stops them. Raises BadInput."""
        self._running.check_idle()
        self._ask()
        self._running.wait()

    def measure_memory(self) -> None:
        """Ask the models of the run that is shown once more, each in a process of its own, for their memory."""
        run = self._shown
        if run is not None and not self._running.busy:
            for column in self.columns:
                column.close()  # else each model would be in memory twice
            self._running.begin(lambda stop: memory.measure(run, stop, self._tell), "Measuring memory ...")

    def stop(self) -> None:
        """End every answer at once; what is written stays."""
        self._running.stop()

    def close(self) -> None:
        """Stop, let go of the models and take the widget off the page."""
        self.stop()
        self._running.wait()
        for column in self.columns:
            column.close()
        self.box.close()

    def add(self, place: str = "onnx") -> None:
        """One column more, up to four."""
        if not self._running.busy and len(self.columns) < kept.MOST:
            self.columns.append(self._make(place))
            self._forget()

    def remove(self) -> None:
        """The last column goes, unless it is the only one."""
        if not self._running.busy and len(self.columns) > 1:
            self.columns.pop().close()
            self._forget()

    def save(self, file: str | Path) -> None:
        """All runs and votes as JSON. Raises BadInput."""
        kept.save(file, self.runs, self.ballot.votes)

    def load(self, file: str | Path) -> None:
        """Take up the runs and votes of a file that `save` wrote; the last run is shown. Raises BadInput."""
        self._running.check_idle()
        runs, votes = kept.load(file)
        for place in (answer["place"] for run in runs for answer in run["columns"]):
            known(place)
        self.runs, self.ballot.votes = runs, votes
        self.ballot.show()
        self.history.options = kept.listed(runs)
        self._forget()
        self._look(len(runs) - 1)

    def table(self) -> pandas.DataFrame:
        """Every answer of every run, a row each: times in seconds, speeds in tokens/s, memory in MB."""
        return kept.table(self.runs)

    def _ask(self) -> None:
        """What stands in the boxes now is asked and kept, whatever is written into them meanwhile. Raises BadInput."""
        messages, options = self.asking.asked()
        date = datetime.datetime.now().isoformat(timespec="seconds")
        run = {"date": date, "mode": self._mode, "together": self.order.value == "together"} | self.asking.kept(options)
        self._running.begin(lambda stop: self._answers(run, messages, options, stop), "Answering ...")

    def _answers(self, run: kept.Run, messages: list[Message], options: Options, stop: threading.Event) -> str:
        if self.ballot.blind.value:  # else the second would soon be known
            self.ballot.mix(self.columns)
        self._shown = None
        self.ballot.begin()
        self._running.ask(self.columns, messages, options, stop, together=run["together"], drawn=self._draw)
        self._shown = run | {"columns": [column.said for column in self.columns], "machine": machine()}
        self.runs.append(self._shown)
        self.ballot.open([None if one["problem"] else one["place"] for one in self._shown["columns"]])
        self.history.options = kept.listed(self.runs)
        return "Stopped." if stop.is_set() else f"Done. {TOGETHER if run['together'] else FAIR}"

    def _look(self, number: int | None) -> None:
        """Show a run of the history: what was asked and, in as many columns as there are, its answers."""
        if number is None or not 0 <= number < len(self.runs) or self._running.busy:
            return
        run = self.runs[number]
        answers = run["columns"]
        for column in self.columns[len(answers) :]:
            column.close()
        self.columns[len(answers) :] = [self._make("onnx") for _ in answers[len(self.columns) :]]
        self.asking.again(run)
        self.order.value = "together" if run["together"] else "fair"
        for column, said in zip(self.columns, answers, strict=True):
            column.again(said)
        self._shown = run
        self.ballot.end()
        self.status.value = note(f"Run {number + 1}, {kept.how(run)}")

    def _forget(self) -> None:
        """The columns do not show a whole run any more."""
        self._shown = None
        self._show()

    def _draw(self) -> None:
        """Bars of the answers that are shown and, when all are there, what differs from the first."""
        answers = [column.said for column in self.columns]
        self.chart.value = "" if self.ballot.pending else bars.bars(answers)
        if not self._running.busy:
            for column in self.columns[1:]:
                column.mark(answers[0]["text"] or None if self.differences.value else None)

    def _show(self) -> None:
        """The columns in their order, with their names or their letters, and the buttons that may be pressed now."""
        busy, pending = self._running.busy, self.ballot.pending
        self._row.children = [column.box for column in self.columns]
        for number, (column, letter) in enumerate(zip(self.columns, ballot.LETTERS, strict=False), 1):
            column.stand(number, letter if pending else "")
            column.picker.lock(busy)
        self.run_button.disabled, self.stop_button.disabled = busy, not busy
        self.more.disabled = busy or pending or len(self.columns) == kept.MOST
        self.fewer.disabled = busy or pending or len(self.columns) == 1
        self.history.disabled = self.keeping.load.disabled = busy or pending
        self.memory_button.disabled = busy or pending or self._shown is None
        self._draw()

    def _tell(self, words: str) -> None:
        self._show()
        self.status.value = note(words)
