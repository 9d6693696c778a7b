"""One column of the compare widget: which model on which route, its answer, and what was measured of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import ipywidgets

from utils.compare import split
from utils.core import Backend, Completion, Message, Mode, Options, complete, named, warm_up
from utils.errors import BackendError
from utils.widgets.difference import marked
from utils.widgets.growing import Growing
from utils.widgets.kept import Answer, answer, measured, told
from utils.widgets.panel import badge, note, text
from utils.widgets.picking import Picker

_HEAD = "color:var(--jp-ui-font-color1);font-size:var(--jp-ui-font-size1);font-weight:600;line-height:1.5"
NOTHING, STOPPED = "Nothing asked yet.", "Stopped."


class Stopped(Exception):
    """The learner pressed Stop."""


class Column:
    """Connects when it is first asked, and lets go of its model when another is picked.

    `said` is the answer that is shown, with who gave it: by then the pickers may stand for another. `emptied` is called
    when another is picked and that answer is gone.
    """

    def __init__(
        self,
        place: str,
        mode: Mode,
        opened: Callable[..., Backend],
        clock: Callable[[], float],
        emptied: Callable[[], object],
    ) -> None:
        self._mode, self._opened, self._emptied = mode, opened, emptied
        self.backend: Backend | None = None
        self._warm: Backend | None = None  # the one that has written its first tokens
        self._used: Backend | None = None  # by an answer, which after Stop may still be on its way
        self._turn: object | None = None  # the answer that is being written
        self._freed = 0  # how many times
        self._lock = threading.Lock()
        self.picker = Picker(place, mode, self._picked)
        self.route, self.model, self.precision = self.picker.controls
        self.head, self.facts = ipywidgets.HTML(), ipywidgets.HTML()
        self.view = Growing(clock)
        self._number, self._letter, self._words = 1, "", NOTHING
        self.said = answer(self.place)
        parts = [*self.picker.controls, self.head, self.view.box, self.facts]
        self.box = ipywidgets.VBox(parts, layout={"flex": "1 1 260px", "min_width": "240px", "margin": "0 12px 12px 0"})
        self._show()

    @property
    def place(self) -> str:
        """What the pickers stand for: "onnx/pocket-phi-3-mini:int4", or "onnx" for the usual model."""
        return self.picker.place

    def clear(self, words: str = NOTHING) -> None:
        """No answer yet; `words` say why."""
        with self._lock:
            self.view.clear()
            self.said, self._words = answer(self.place), words
        self._show()

    def stand(self, number: int, letter: str) -> None:
        """Its number, from 1; and a letter where a blind vote is to come, which is all that is then shown of it."""
        self._number, self._letter = number, letter
        self.picker.number(number)
        self.picker.show(not letter)
        self._show()

    def begin(self) -> None:
        """A question is coming; `ask` answers it, or `leave` ends it."""
        self.clear("Its turn is to come.")
        self._turn = object()

    def ask(self, messages: Sequence[Message], options: Options, stop: threading.Event) -> None:
        """The answer, piece by piece; whatever goes wrong is said in words. `said` is what is known of it."""
        place, turn = self.said["place"], self._turn
        made, problem = None, ""

        def check(piece: str = "") -> None:
            if stop.is_set() or turn is None or self._turn is not turn:
                raise Stopped

        def write(piece: str) -> None:
            with self._lock:
                check()
                self.view.add(piece)

        try:
            check()
            self._now(turn, "Loading the model ...")
            with self._held(place) as backend:
                self._now(turn, "Answering ...", model=backend.model, source=backend.source)
                check()
                if self._warm is not backend:
                    warm_up(backend, check)
                    self._warm = backend
                made = complete(backend, messages, options, on_text=write)
        except Stopped:
            problem = STOPPED
        except BackendError as error:
            problem = str(error)
        except Exception as error:  # a thread has no cell to report to
            problem = f"The model stopped with an unexpected {type(error).__name__}. Try again."
        self._end(turn, made, problem)

    def leave(self) -> None:
        """Stopped while the model is busy: what still comes of it is not shown."""
        self._end(self._turn, None, STOPPED)

    def again(self, said: Answer) -> None:
        """Show an answer of an earlier run, with who gave it."""
        if said["place"] != self.place:
            self.picker.pick(said["place"])
        self.view.clear()
        self.view.add(said["text"])
        self.view.flush()
        self.said, self._words = said, ""
        self._show()

    def mark(self, other: str | None) -> None:
        """Mark what differs from another text; None: nothing."""
        if other is None:
            self.view.flush()
        else:
            self.view.mark(marked(self.view.text, other))

    def close(self) -> None:
        """Lets go of the model; if an answer still needs it, when that ends."""
        with self._lock:
            old, self.backend = self.backend, None
            self._freed += 1
            needed = old is self._used
        if old is not None and not needed:
            old.close()

    @contextmanager
    def _held(self, place: str) -> Iterator[Backend]:
        """The model, loaded if need be. Nobody closes it meanwhile; if it was let go of, that is done at the end."""
        with self._lock:
            self._used, freed = self.backend, self._freed
        if self._used is None:
            made = self._opened(*split(place), mode=self._mode)
            with self._lock:
                self._used = made
                self.backend = made if self._freed == freed else None
        backend: Backend = self._used
        try:
            yield backend
        finally:
            with self._lock:
                self._used, kept = None, self.backend is backend
            if not kept:
                backend.close()

    def _now(self, turn: object | None, words: str, **known: str) -> None:
        """What is known of the answer that is being written, unless that is over."""
        with self._lock:
            if turn is not None and self._turn is turn:
                self._words = words
                self.said |= known
        self._show()

    def _end(self, turn: object | None, made: Completion | None, problem: str) -> None:
        with self._lock:
            if turn is None or self._turn is not turn:
                return
            self.view.flush()
            self.said = self.said | measured(made) | {"text": self.view.text, "problem": problem}
            self._turn, self._words = None, ""
        self._show()

    def _picked(self) -> None:
        """Another model: what the last one said is no answer of this one."""
        self.close()
        if self._turn is None:
            self.clear()
            self._emptied()

    def _show(self) -> None:
        """Who answers, and the line under the answer."""
        said, failed = self.said, bool(self.said["problem"])
        who = f"{badge(said['source'] or '')} {text(_who(said))}" if said["model"] else ""
        head = f"Answer {self._letter}" if self._letter else who
        self.head.value = f'<div role="heading" aria-level="4" style="{_HEAD}">{head}</div>' if head else ""
        hidden = "No whole answer. Why is said after the vote." if self._letter and failed else ""
        name = f"Answer {self._letter}" if self._letter else f"Column {self._number}"
        line = self._words or hidden or told(said)
        self.facts.value = note(line, role="alert" if failed else "status", of=name)
        self.facts.layout.display = "none" if self._letter and not (self._words or failed) else ""


def _who(said: Answer) -> str:
    return named(said["model"], split(said["place"])[0])
