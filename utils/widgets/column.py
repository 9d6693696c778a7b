"""One column of the compare widget: which model on which route, its answer, and what was measured of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import isnan
from typing import Any

import ipywidgets
import psutil

from utils import catalog
from utils.backends import connect, routes
from utils.compare import split
from utils.core import Backend, Completion, Message, Mode, Options, complete
from utils.errors import BackendError
from utils.widgets.difference import marked
from utils.widgets.growing import Growing
from utils.widgets.kept import Answer, figures
from utils.widgets.panel import badge, note, text

USUAL = "usual"
_HEAD = "color:var(--jp-ui-font-color1);font-size:var(--jp-ui-font-size1);font-weight:600;line-height:1.5"
WARM_UP = 8  # tokens that a model in this process writes before the first answer that counts
ENDINGS = {"stop": "complete", "length": "cut off at the limit", None: "incomplete"}


class Stopped(Exception):
    """The learner pressed Stop."""


class Column:
    """Connects when it is first asked, and lets go of its model when another is picked."""

    def __init__(
        self, place: str, mode: Mode | None, opened: Callable[..., Backend] = connect, clock: Any = None
    ) -> None:
        self._mode, self._opened = mode, opened
        self.backend: Backend | None = None
        self.answer: Completion | None = None
        self.problem = ""
        self.memory: float | None = None
        route, _ = split(place)
        full = {"width": "auto"}
        wide = {"description_width": "70px"}
        self.route = ipywidgets.Dropdown(
            options=sorted({*routes(), route}), value=route, description="Route", layout=full, style=wide
        )
        self.model = ipywidgets.Combobox(value=USUAL, description="Model", layout=full, style=wide)
        self.precision = ipywidgets.Dropdown(description="Precision", layout=full, style=wide)
        self.head = ipywidgets.HTML()
        self.facts = ipywidgets.HTML(note("Nothing asked yet."))
        self.view = Growing() if clock is None else Growing(clock)
        self._offer()
        self.pick(place)
        self.route.observe(self._changed, "value")
        for picker in (self.model, self.precision):
            picker.observe(self._let_go, "value")
        parts = [self.route, self.model, self.precision, self.head, self.view.box, self.facts]
        self.box = ipywidgets.VBox(parts, layout={"flex": "1 1 260px", "min_width": "240px", "margin": "0 12px 12px 0"})

    @property
    def place(self) -> str:
        """ "onnx/pocket-phi-3-mini:int4", or "onnx" for the usual model."""
        name = self.model.value.strip() or USUAL
        usual = name == USUAL
        if self.precision.index:  # not the first, which needs no saying
            row = catalog.load().routes[self.route.value]
            name = f"{row.pocket if usual else name}:{self.precision.value}"
        elif usual:
            return str(self.route.value)
        return f"{self.route.value}/{name}"

    def pick(self, place: str) -> None:
        """Route, model and precision of such a name."""
        route, model = split(place)
        name, colon, tail = (model or USUAL).rpartition(":")
        self.route.value = route
        known = bool(colon) and tail in self.precision.options  # else the colon is part of the name, as in phi3:mini
        self.model.value = name if known else model or USUAL
        if self.precision.options:
            self.precision.index = self.precision.options.index(tail) if known else 0

    def hide(self, letter: str | None) -> None:
        """Show only a letter, for a blind vote; None shows who it is."""
        for picker in (self.route, self.model, self.precision):
            picker.layout.display = "none" if letter or len(picker.options) < 2 else ""
        if letter:
            self.head.value = f'<div style="{_HEAD}">Answer {letter}</div>'
            self.facts.layout.display = "none"
        else:
            self.facts.layout.display = ""
            self._name()

    def ask(self, messages: Sequence[Message], options: Options, stop: threading.Event) -> None:
        """The answer, piece by piece; whatever goes wrong is said in words. `answer` is None unless it is whole."""
        self.answer, self.problem = None, ""
        self.view.clear()
        self.facts.value = note("Answering ...")

        def write(piece: str) -> None:
            self.view.add(piece)
            if stop.is_set():
                raise Stopped

        try:
            backend = self._connected()
            if stop.is_set():
                raise Stopped
            self.answer = complete(backend, messages, options, on_text=write)
            said = self._facts(self.answer)
        except Stopped:
            said = self.problem = "Stopped."
        except BackendError as error:
            said = self.problem = str(error)
        except Exception as error:  # a thread has no cell to report to
            said = self.problem = f"The model stopped with an unexpected {type(error).__name__}. Try again."
        self.view.flush()
        self.facts.value = note(said, role="alert" if self.problem else "status")

    def again(self, said: Answer) -> None:
        """Show an answer of an earlier run, with who gave it."""
        if said["place"] != self.place:
            self.pick(said["place"])
        self.view.clear()
        self.view.add(said["text"])
        self.view.flush()
        tokens, first, speed = figures(said)
        parts = (tokens and f"{tokens} tokens", first and f"first after {first} ms", speed and f"then {speed} tokens/s")
        self.facts.value = note(said["problem"] or " · ".join(filter(None, parts)))
        who = f"{said['model']} ({said['place']})"
        self.head.value = f'<div style="{_HEAD}">{badge(said["source"] or "recorded")} {text(who)}</div>'

    def mark(self, other: str | None) -> None:
        """Mark what differs from another text; None: nothing."""
        if other is None:
            self.view.flush()
        else:
            self.view.mark(marked(self.view.text, other))

    def close(self) -> None:
        """Lets go of the model."""
        if self.backend is not None:
            self.backend.close()
            self.backend = None

    def _connected(self) -> Backend:
        if self.backend is None:
            before = psutil.Process().memory_info().rss
            route, model = split(self.place)
            self.backend = self._opened(route, model, mode=self._mode)
            self.memory = max(0, psutil.Process().memory_info().rss - before) / 1e6
            self._name()
            if not catalog.load().routes[route].hosted:  # a service would have to be paid
                with suppress(BackendError):  # it will say so again when it counts
                    complete(self.backend, "What is an SLM?", Options(max_tokens=WARM_UP))
        return self.backend

    def _name(self) -> None:
        if self.backend is not None and self.facts.layout.display != "none":
            who = f"{self.backend.model} on {self.backend.name}"
            self.head.value = f'<div style="{_HEAD}">{badge(self.backend.source)} {text(who)}</div>'

    def _facts(self, answer: Completion) -> str:
        tokens = "tokens unknown" if answer.tokens is None else f"{answer.tokens} tokens"
        first = "" if isnan(answer.first_token_s) else f"first after {1000 * answer.first_token_s:.0f} ms"
        speed = "" if isnan(answer.tokens_per_s) else f"then {answer.tokens_per_s:,.0f} tokens/s"
        hosted = catalog.load().routes[self.route.value].hosted
        memory = "" if hosted or self.memory is None else f"loading took {self.memory:,.0f} MB"
        ending = ENDINGS.get(answer.finish_reason, str(answer.finish_reason))
        return " · ".join(filter(None, (tokens, first, speed, ending, memory)))

    def _changed(self, change: object) -> None:
        self.model.value = USUAL
        self._offer()
        self._let_go(change)

    def _offer(self) -> None:
        """The models and precisions of the route that is picked."""
        table = catalog.load()
        row = table.routes[self.route.value]
        names = [m.name for m in table.models.values() if m.kind == "pocket" or row.name in m.ids]
        self.model.options = [USUAL, *names]
        self.precision.options = row.precisions
        self.precision.index = 0 if row.precisions else None
        self.precision.layout.display = "none" if len(row.precisions) < 2 else ""  # a choice of one is none

    def _let_go(self, change: object) -> None:
        self.close()
        self.head.value = ""
