"""What the compare widget does in the background: one thing at a time, such as a question to several columns, until it
is done or Stop is pressed.

A model may be busy for long without a word: loading, or reading a long prompt. Nobody waits for it after Stop: its
column is told to ignore what comes, and it goes on alone. But it takes time from whatever is asked next, so the next
question waits until it is done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from utils.core import Message, Options
from utils.errors import BadInput
from utils.widgets.column import Column

LOOK_S = 0.1  # from one look at Stop to the next


class Running:
    """`tell` hears what is going on, in words, whenever that changes."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self.job: threading.Thread | None = None
        self.busy = False
        self._over = threading.Event()  # joining the thread instead: Python 3.11 takes it for dead after an interrupt
        self._over.set()
        self._stop, self._last = threading.Event(), threading.Lock()  # who has it has the last word
        self._left: list[threading.Thread] = []  # answers that were stopped and are still being made

    def begin(self, work: Callable[[threading.Event], str], words: str) -> None:
        """`work` runs until it returns what to say at its end, which is soon after its event is set."""
        self._stop = stop = threading.Event()

        def job() -> None:
            said = "It stopped with an unexpected error. Try again."
            try:
                said = work(stop)
            finally:
                with self._last:
                    self.busy = False
                    self._tell(said)
                self._over.set()

        self._over.clear()
        self.busy, self.job = True, threading.Thread(target=job, daemon=True)
        self._tell(words)
        self.job.start()

    def stop(self) -> None:
        """End what is going on."""
        with self._last:
            if self.busy:
                self._tell("Stopping ...")
        self._stop.set()

    def wait(self) -> None:
        """Until it is over. An interrupt stops it."""
        try:
            while not self._over.wait(LOOK_S):
                pass
        except KeyboardInterrupt:
            self.stop()
            self.wait()
            raise

    def check_idle(self) -> None:
        """Raises BadInput when something is going on."""
        if self.busy:
            raise BadInput("Answers are on their way. Press Stop, or wait until they are there.")

    def ask(
        self,
        columns: Sequence[Column],
        messages: Sequence[Message],
        options: Options,
        stop: threading.Event,
        *,
        together: bool,
        drawn: Callable[[], object],
    ) -> None:
        """Ask them all, and call `drawn` whenever there is something new to draw."""

        def one(column: Column) -> None:
            column.ask(messages, options, stop)
            drawn()

        for column in columns:
            column.begin()
        drawn()
        self._rest(stop)
        jobs = [threading.Thread(target=one, args=(column,), daemon=True) for column in columns]
        for job in jobs:
            job.start()
            if not together:
                _wait(job, stop)
        for column, job in zip(columns, jobs, strict=True):
            _wait(job, stop)
            if job.is_alive():
                column.leave()
                self._left.append(job)

    def _rest(self, stop: threading.Event) -> None:
        """Wait for what was left."""
        self._left = [job for job in self._left if job.is_alive()]
        if self._left:
            self._tell("Waiting until the model is done with what was stopped ...")
            for job in self._left:
                _wait(job, stop)
            self._tell("Stopping ..." if stop.is_set() else "Answering ...")


def _wait(job: threading.Thread, stop: threading.Event) -> None:
    while job.is_alive() and not stop.is_set():
        job.join(LOOK_S)
