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

from utils.backends import connect
from utils.core import Backend, Message, Mode, Options
from utils.errors import BackendError, BadInput
from utils.widgets import ballot, bars, kept
from utils.widgets.asking import WIDE, WRAP, Asking
from utils.widgets.column import Column
from utils.widgets.keeping import Keeping
from utils.widgets.panel import Panel, button, note, plain_table

if TYPE_CHECKING:
    import pandas

MOST = 4
DOUBLE_CLICK_S = 0.5


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
        if not 1 <= len(routes) <= MOST or isinstance(routes, str):
            raise BadInput(f"Compare takes a list of one to {MOST} routes, such as ['onnx', 'llama.cpp'].")
        self._clock = clock
        self._make: Callable[[str], Column] = lambda place: Column(place, mode, opened, clock)
        self.columns = [self._make(place) for place in routes]
        self.runs: list[kept.Run] = []
        self.job: threading.Thread | None = None
        self._stop, self._started = threading.Event(), float("-inf")
        self._build(prompt, system, options)

    def _build(self, prompt: str, system: str, options: Options) -> None:
        self.asking = Asking(prompt, system, options)
        how = [("fair: one after another", "fair"), ("together: all at once", "together")]
        self.order = ipywidgets.Dropdown(options=how, description="Order", style=WIDE)
        self.run_button = button("Run", self.start, "Ask every column", button_style="primary")
        self.stop_button = button("Stop", self.stop, "Stop every answer", disabled=True)
        self.more, self.fewer = button("Add a column", self.add), button("Remove the last", self.remove)
        self.differences = ipywidgets.Checkbox(description="Mark differences from the first", indent=False)
        self.differences.observe(lambda change: self._mark(), "value")
        self.ballot = ballot.Ballot(self._hide)
        self.status, self.chart = ipywidgets.HTML(note("Nothing asked yet.")), ipywidgets.HTML()
        self.history = ipywidgets.Dropdown(
            options=[("this run", -1)], description="History", style=WIDE, layout={"width": "auto"}
        )
        self.history.observe(lambda change: self._look(change["new"]), "value")
        self.keeping = Keeping(self)
        self._row = ipywidgets.HBox(layout={"flex_flow": "row wrap", "align_items": "stretch"})
        self.box = ipywidgets.VBox(
            [
                self.asking.box,
                ipywidgets.HBox([self.order, self.run_button, self.stop_button, self.more, self.fewer], layout=WRAP),
                self.status,
                self._row,
                self.differences,
                self.chart,
                self.ballot.box,
                self.history,
                self.keeping.box,
            ]
        )
        self._show()

    def __str__(self) -> str:
        if not self.runs:
            return f"Compare {', '.join(c.place for c in self.columns)}. Run this cell to ask them something."
        rows = [[c["place"], c["text"] or c["problem"], *kept.figures(c)] for c in self.runs[-1]["columns"]]
        head = ("route", "answer", "tokens", "first, ms", "tokens/s")
        return plain_table(head, rows, widths=(26, 44, 6, 9, 8))

    def start(self) -> None:
        """Ask every column in the background. A second click while it runs does nothing."""
        if self._busy() or self._clock() - self._started < DOUBLE_CLICK_S:
            return
        try:
            messages, options = self.asking.asked()
        except BackendError as error:
            self.status.value = note(str(error), role="alert")
            return
        self._started, self._stop = self._clock(), threading.Event()
        self._lock(True)
        self.job = threading.Thread(target=self._run, args=(messages, options, self._stop), daemon=True)
        self.job.start()

    def run(self) -> None:
        """Ask every column and wait for the answers. Raises BadInput."""
        messages, options = self.asking.asked()
        self._stop = threading.Event()
        self._run(messages, options, self._stop)

    def stop(self) -> None:
        """End the running answers after their next piece; what is written stays."""
        self._stop.set()

    def close(self) -> None:
        """Stop, let go of the models and take the widget off the page."""
        self.stop()
        if self.job is not None:
            self.job.join()
        for column in self.columns:
            column.close()
        self.box.close()

    def add(self, place: str = "onnx") -> None:
        """One column more, up to four."""
        if not self._busy() and len(self.columns) < MOST:
            self.columns.append(self._make(place))
            self._show()

    def remove(self) -> None:
        """The last column goes, unless it is the only one."""
        if not self._busy() and len(self.columns) > 1:
            self.columns.pop().close()
            self._show()

    def save(self, file: str | Path) -> None:
        """All runs and votes as JSON. Raises BadInput."""
        kept.save(file, self.runs, self.ballot.votes)

    def load(self, file: str | Path) -> None:
        """Take up the runs and votes of a file that `save` wrote; the last run is shown. Raises BadInput."""
        self.runs, self.ballot.votes = kept.load(file)
        self.ballot.show()
        self._remember()
        self._look(len(self.runs) - 1)

    def table(self) -> pandas.DataFrame:
        """Every answer of every run, a row each: times in seconds, speeds in tokens/s."""
        return kept.table(self.runs)

    def _run(self, messages: list[Message], options: Options, stop: threading.Event) -> None:
        if self.ballot.blind.value:  # else the second would soon be known
            self.ballot.mix(self.columns)
            self._row.children = [column.box for column in self.columns]
        self.ballot.begin()
        self.status.value = note("Answering ...")
        together = self.order.value == "together"
        jobs = [threading.Thread(target=c.ask, args=(messages, options, stop), daemon=True) for c in self.columns]
        for job in jobs:
            job.start()
            if not together:
                job.join()
        for job in jobs:
            job.join()
        self.runs.append(self._record(together))
        self.ballot.open([answer["place"] for answer in self.runs[-1]["columns"]])
        self._remember()
        self._lock(False)
        how = (
            "All at once: no column's speed is its own."
            if together
            else "One run each: small differences mean nothing."
        )
        self.status.value = note("Stopped." if stop.is_set() else f"Done. {how}")

    def _record(self, together: bool) -> kept.Run:
        columns = [
            kept.answer(
                column.place,
                (column.backend.model, column.backend.source) if column.backend else None,
                column.answer,
                column.view.text,
                column.problem,
            )
            for column in self.columns
        ]
        date = datetime.datetime.now().isoformat(timespec="seconds")
        asked = {"prompt": self.asking.prompt.value, "system": self.asking.system.value, "together": together}
        return {"date": date, **asked, "columns": columns}

    def _remember(self) -> None:
        """The runs as a list to look at again, the newest first, and the bars of the last one."""
        shown = [(f"{i}: {run['prompt'][:60]} ({run['date']})", i - 1) for i, run in enumerate(self.runs, 1)]
        self.history.options = [("", -1), *reversed(shown)]
        self._mark()

    def _look(self, number: int | None) -> None:
        """Show a run of the history: its prompt and, in as many columns as there are, its answers."""
        if number is None or not 0 <= number < len(self.runs) or self._busy():
            return
        run = self.runs[number]
        while len(self.columns) < len(run["columns"]):
            self.add()
        while len(self.columns) > len(run["columns"]):
            self.remove()
        self.asking.prompt.value = run["prompt"]
        for column, said in zip(self.columns, run["columns"], strict=True):
            column.again(said)
        self._mark(run)
        self.status.value = note(f"Run {number + 1}, of {run['date']}.")

    def _mark(self, run: kept.Run | None = None) -> None:
        """Bars of the run, and if wanted what differs from the first column's answer."""
        if run is None and not self.runs:
            return
        answers = (run or self.runs[-1])["columns"]
        self.chart.value = "" if self.ballot.pending else bars.bars(answers)
        for column in self.columns[1:]:
            column.mark(answers[0]["text"] if self.differences.value else None)

    def _hide(self, blind: bool) -> None:
        for column, letter in zip(self.columns, ballot.LETTERS, strict=False):
            column.hide(letter if blind else None)
        self.chart.value = "" if blind or not self.runs else bars.bars(self.runs[-1]["columns"])

    def _show(self) -> None:
        self._row.children = [column.box for column in self.columns]
        self._lock(False)
        self._hide(self.ballot.blind.value)

    def _busy(self) -> bool:
        return self.job is not None and self.job.is_alive() and threading.current_thread() is not self.job

    def _lock(self, busy: bool) -> None:
        for control in (self.run_button, self.more, self.fewer, self.history):
            control.disabled = busy
        self.more.disabled = busy or len(self.columns) == MOST
        self.fewer.disabled = busy or len(self.columns) == 1
        self.stop_button.disabled = not busy
