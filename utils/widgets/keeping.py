"""Buttons of the compare widget that write its runs to a file and read them again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import ipywidgets

from utils.errors import BadInput
from utils.widgets.panel import button, note


class Keeper(Protocol):
    """What can be saved and loaded."""

    def save(self, file: str | Path) -> None: ...

    def load(self, file: str | Path) -> None: ...

    def table(self) -> Any: ...


class Keeping:
    """A file name beside three buttons. The file lies in the notebook's folder."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.file = ipywidgets.Text("comparison.json", description="File", style={"description_width": "90px"})
        self.said = ipywidgets.HTML()
        self.save = button("Save", lambda: self._do(self._save), "All runs and votes as JSON")
        self.load = button("Load", lambda: self._do(self._load), "Take up a file that was saved")
        self.table = button("Save as table", lambda: self._do(self._table), "All answers as CSV, for a spreadsheet")
        row = [self.file, self.save, self.load, self.table]
        self.box = ipywidgets.VBox([ipywidgets.HBox(row, layout={"flex_flow": "row wrap"}), self.said])

    def _do(self, does: Callable[[], str]) -> None:
        try:
            if not self.file.value.strip():
                raise BadInput("Write the name of a file first.")
            self.said.value = note(does())
        except BadInput as error:
            self.said.value = note(str(error), role="alert")

    def _save(self) -> str:
        self._keeper.save(self.file.value)
        return f"Saved: {self.file.value}"

    def _load(self) -> str:
        self._keeper.load(self.file.value)
        return f"Loaded: {self.file.value}"

    def _table(self) -> str:
        file = Path(self.file.value).with_suffix(".csv")
        try:
            self._keeper.table().to_csv(file, index=False, errors="backslashreplace")
        except OSError as error:
            raise BadInput(f"{file} cannot be written: {error.strerror}.") from None
        return f"Saved: {file}"
