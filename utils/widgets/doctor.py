"""What runs on this machine: The findings of `utils.checkup` as a table, and commands to copy.

It shows findings; it does not look for anything itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets

from utils.widgets.panel import Panel, note, plain_table, text

if TYPE_CHECKING:
    from utils.checkup import Finding

_MARKS = {"ok": "✓ ready", "warn": "○ note", "missing": "✗ missing"}
_HEAD = ("status", "what", "found, and what to do")
_CELL = "text-align:left;vertical-align:top;padding:2px 16px 2px 0;border-bottom:1px solid var(--jp-border-color2)"
_SHORT = f"{_CELL};white-space:nowrap"
_TABLE = "border-collapse:collapse;color:var(--jp-ui-font-color1);font-size:var(--jp-ui-font-size1);line-height:1.5"
_CODE = "user-select:all;color:var(--jp-content-font-color1);background:var(--jp-layout-color2);padding:1px 4px"
_BUTTON = (
    "margin:0 4px;padding:1px 8px;border:1px solid var(--jp-border-color1);border-radius:3px;cursor:pointer;"
    "color:var(--jp-ui-font-color1);background:var(--jp-layout-color1);font-size:var(--jp-ui-font-size1)"
)
# The button reads its neighbour's text, so that no finding's words ever stand inside a script.
_COPY = "navigator.clipboard.writeText(this.previousElementSibling.textContent);this.textContent='Copied'"


class Doctor(Panel):
    """The doctor's table, with a button that looks again. `look` returns findings; by default `utils.doctor`."""

    def __init__(self, look: Callable[[], Sequence[Finding]] | None = None) -> None:
        self._look = look or _look
        self._table = ipywidgets.HTML()
        self._note = ipywidgets.HTML()
        self.again = ipywidgets.Button(description="Check again", tooltip="Look once more at what runs here")
        self.again.on_click(self._check)
        foot = ipywidgets.HBox([self.again, self._note], layout={"align_items": "center"})
        self.box = ipywidgets.VBox([self._table, foot])
        self._check()

    def __str__(self) -> str:
        rows = [(_MARKS[finding.status], finding.name, _found(finding)) for finding in self.findings]
        return plain_table(_HEAD, rows, widths=(9, 26, 61))

    def _check(self, button: Any = None) -> None:
        self.findings = tuple(self._look())
        self._table.value = _table(self.findings)
        ready = sum(finding.status == "ok" for finding in self.findings)
        self._note.value = note(f"{ready} of {len(self.findings)} ready.")


def _look() -> Sequence[Finding]:
    from utils.checkup import doctor  # only now: looking costs time, and a widget may be given its own findings

    return doctor()


def _table(findings: Sequence[Finding]) -> str:
    head = "".join(f'<th scope="col" style="{_CELL}">{name}</th>' for name in _HEAD)
    return f'<table style="{_TABLE}"><tr>{head}</tr>{"".join(map(_row, findings))}</table>'


def _row(finding: Finding) -> str:
    words = _found(finding).split("`")  # what stands between backticks is a command, and gets a button that copies it
    found = "".join(_command(part, finding.name) if place % 2 else text(part) for place, part in enumerate(words))
    short = "".join(f'<td style="{_SHORT}">{text(cell)}</td>' for cell in (_MARKS[finding.status], finding.name))
    return f'<tr>{short}<td style="{_CELL}">{found}</td></tr>'


def _found(finding: Finding) -> str:
    return f"{finding.detail}. {finding.fix}" if finding.fix else finding.detail


def _command(command: str, name: str) -> str:
    label = text(f"Copy the command for {name}")
    return (
        f'<code style="{_CODE}">{text(command)}</code>'
        f'<button type="button" style="{_BUTTON}" aria-label="{label}" onclick="{_COPY}">Copy</button>'
    )
