"""What runs on this machine: `utils.doctor`'s findings as a table, each missing thing with a line to copy.

It shows findings; it does not look for anything itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets

from utils.widgets.panel import Panel, note, plain_table, text

if TYPE_CHECKING:
    from utils.doctor import Finding

_MARKS = {"ok": "✓ ready", "warn": "! look", "missing": "○ not here"}
_CELL = "text-align:left;vertical-align:top;padding:4px 12px 4px 0;border-bottom:1px solid var(--jp-border-color2)"
_TABLE = "border-collapse:collapse;color:var(--jp-ui-font-color1);font-size:var(--jp-ui-font-size1);line-height:1.5"
_CODE = "user-select:all;color:var(--jp-content-font-color1);background:var(--jp-layout-color2);padding:1px 4px"
_BUTTON = (
    "margin-left:4px;padding:1px 8px;border:1px solid var(--jp-border-color1);border-radius:3px;cursor:pointer;"
    "color:var(--jp-ui-font-color1);background:var(--jp-layout-color1);font-size:var(--jp-ui-font-size1)"
)
# The button reads its neighbour's text, so that no finding's words ever stand inside a script.
_COPY = "navigator.clipboard.writeText(this.previousElementSibling.textContent);this.textContent='Copied'"


class Doctor(Panel):
    """The doctor's table, with a button that looks again. `look` returns findings; by default `utils.doctor.check`."""

    def __init__(self, look: Callable[[], Sequence[Finding]] | None = None) -> None:
        self._look = look or _look
        self._table = ipywidgets.HTML()
        self._note = ipywidgets.HTML()
        self.again = ipywidgets.Button(description="Check again", tooltip="Look once more at what runs here")
        self.again.on_click(self._check)
        self.box = ipywidgets.VBox([self._table, ipywidgets.HBox([self.again, self._note])])
        self._check()

    def __str__(self) -> str:
        rows = [(_MARKS[finding.status], finding.name, finding.detail, finding.fix) for finding in self.findings]
        return plain_table(("status", "what", "found", "what to do"), rows, widths=(10, 14, 34, 42))

    def _check(self, button: Any = None) -> None:
        self.findings = tuple(self._look())
        self._table.value = _table(self.findings)
        ready = sum(finding.status == "ok" for finding in self.findings)
        self._note.value = note(f"{ready} of {len(self.findings)} ready.")


def _look() -> Sequence[Finding]:
    from utils.doctor import check  # only now: looking costs time, and a widget may be given its own findings

    return check()


def _table(findings: Sequence[Finding]) -> str:
    head = "".join(f'<th scope="col" style="{_CELL}">{name}</th>' for name in ("status", "what", "found", "what to do"))
    return f'<table style="{_TABLE}"><tr>{head}</tr>{"".join(map(_row, findings))}</table>'


def _row(finding: Finding) -> str:
    cells = (text(_MARKS[finding.status]), text(finding.name), text(finding.detail), _fix(finding))
    return "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>"


def _fix(finding: Finding) -> str:
    if not finding.fix:
        return ""
    label = text(f"Copy what to do about {finding.name}")
    return (
        f'<code style="{_CODE}">{text(finding.fix)}</code> '
        f'<button type="button" style="{_BUTTON}" aria-label="{label}" onclick="{_COPY}">Copy</button>'
    )
