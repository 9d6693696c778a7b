"""Which model on which route: the three pickers at the head of a column, and the name that they stand for."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets

from utils import catalog
from utils.backends import mode_of, routes
from utils.backends.target import downloaded, suggest
from utils.compare import split
from utils.core import Mode
from utils.errors import BadInput

USUAL = "usual"


def known(place: str) -> tuple[str, str | None]:
    """Route and model of such a name. Raises BadInput when there is no such route."""
    route, model = split(place)
    table = catalog.load().routes
    if route not in table:
        raise BadInput(f"There is no route {route!r}. {suggest(route, list(table))}")
    return route, model


class Picker:
    """`controls` go on the page; `changed` is called when another model is picked. Raises BadInput."""

    def __init__(self, place: str, mode: Mode | None, changed: Callable[[], object]) -> None:
        self._mode, self._changed = mode_of(mode), changed
        route, _ = known(place)
        full, wide = {"width": "auto"}, {"description_width": "80px"}
        self.route = ipywidgets.Dropdown(options=sorted({*routes(), route}), value=route, layout=full, style=wide)
        self.model = ipywidgets.Combobox(placeholder=USUAL, continuous_update=False, layout=full, style=wide)
        self.precision = ipywidgets.Dropdown(layout=full, style=wide)
        self.controls = (self.route, self.model, self.precision)
        self._offer()
        self.pick(place)
        self.route.observe(lambda change: self._other_route(), "value")
        for picker in (self.model, self.precision):
            picker.observe(lambda change: changed(), "value")

    @property
    def place(self) -> str:
        """ "onnx/pocket-phi-3-mini:int4", or "onnx" for the usual model."""
        name = self.model.value.strip() or USUAL
        usual = name == USUAL
        if self.precision.index:  # not the first, which needs no saying
            name = f"{self._usual() if usual else name}:{self.precision.value}"
        elif usual:
            return str(self.route.value)
        return f"{self.route.value}/{name}"

    def pick(self, place: str) -> None:
        """Route, model and precision of such a name. Raises BadInput."""
        route, model = known(place)
        name, colon, tail = (model or "").rpartition(":")
        if route not in self.route.options:  # of a run from a machine that has it
            self.route.options = sorted({*self.route.options, route})
        self.route.value = route
        meant = bool(colon) and tail in self.precision.options  # else the colon is part of the name, as in phi3:mini
        self.model.value = name if meant else model or ""
        if self.precision.options:
            self.precision.index = self.precision.options.index(tail) if meant else 0

    def number(self, number: int) -> None:
        """The columns are told apart by their numbers, also by who cannot see where they stand."""
        for picker, name in zip(self.controls, ("Route", "Model", "Precision"), strict=True):
            picker.description = f"{name} {number}"

    def show(self, shown: bool) -> None:
        """On the page or not. A choice of one is none."""
        for picker in self.controls:
            picker.layout.display = "" if shown and len(picker.options) > 1 else "none"

    def lock(self, busy: bool) -> None:
        """Whether another model may be picked."""
        for picker in self.controls:
            picker.disabled = busy

    def _usual(self) -> str:
        """The model that `connect` takes where none is named, by its name."""
        table = catalog.load()
        row, auto = table.routes[self.route.value], self._mode == "auto"
        real = self._mode == "live" or (auto and downloaded(table.models[row.live].ids[row.name]) is not None)
        return row.live if real else row.pocket

    def _other_route(self) -> None:
        self.model.value = ""
        self._offer()
        self._changed()

    def _offer(self) -> None:
        """The models and precisions of the route that is picked."""
        table = catalog.load()
        row = table.routes[self.route.value]
        self.model.options = [m.name for m in table.models.values() if m.kind == "pocket" or row.name in m.ids]
        self.precision.options = row.precisions
        self.precision.index = 0 if row.precisions else None
        self.precision.layout.display = "none" if len(row.precisions) < 2 else ""
