"""What the widgets share: a box with a plain-text twin, and safe pieces of HTML that follow JupyterLab's theme.

It does not know what any widget shows. Everything that comes from a model goes through `text()` first.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from html import escape
from itertools import zip_longest
from textwrap import wrap
from typing import Any

import ipywidgets

_VIEW = "application/vnd.jupyter.widget-view+json"
_BADGES = {  # background and text keep a contrast of at least 7 to 1, in a light and in a dark page
    "pocket": ("#F0E442", "#1a1a1a"),
    "live": ("#00543b", "#ffffff"),
    "recorded": ("#dddddd", "#1a1a1a"),
}

PRE = (  # word-break: JupyterLab's own style would break in the middle of words
    "white-space:pre-wrap;overflow-wrap:anywhere;word-break:normal;line-height:1.5;"
    "margin:0;min-height:3em;padding:8px 12px;border-radius:3px;"
    "font-family:var(--jp-content-font-family);font-size:var(--jp-content-font-size1);"
    "color:var(--jp-content-font-color1);background:var(--jp-layout-color2)"
)


class Panel(ABC):
    """A widget on the page. `print(panel)` gives the same as plain text, which is also what the tests compare."""

    box: ipywidgets.Box

    @abstractmethod
    def __str__(self) -> str: ...

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return {"text/plain": str(self), _VIEW: self.box.get_view_spec()}


def button(name: str, does: Callable[[], object], tooltip: str = "", **more: Any) -> ipywidgets.Button:
    """A button that does something without asking which button it was."""
    made = ipywidgets.Button(description=name, tooltip=tooltip, **more)
    made.on_click(lambda _: does())
    return made


def text(value: str) -> str:
    """`value` as HTML text: never markup, and nothing that the browser's connection cannot carry."""
    return escape(value.encode("utf-8", "replace").decode("utf-8"))


def pre(value: str) -> str:
    """`value` in a block that keeps its line breaks and wraps long lines; right-to-left text reads from the right."""
    return f'<pre dir="auto" style="{PRE}">{text(value)}</pre>'


def badge(source: str) -> str:
    """POCKET, LIVE or RECORDED: who really answered."""
    back, ink = _BADGES.get(source, _BADGES["recorded"])
    style = f"background:{back};color:{ink};padding:1px 8px;border-radius:9px;font-size:85%;font-weight:600"
    return f'<span class="slm-badge" style="{style}">{text(source.upper())}</span>'


def note(value: str, *, role: str = "status") -> str:
    """A small line of text that a screen reader announces when it changes."""
    style = "color:var(--jp-ui-font-color1);font-size:var(--jp-ui-font-size1);line-height:1.5"
    return f'<div role="{role}" style="{style}">{text(value)}</div>'


def plain_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, widths: Sequence[int]) -> str:
    """A table as plain text. Cells longer than their width (in characters) go on in the next line."""
    lines = [_line(headings, widths), _line(["-" * width for width in widths], widths)]
    for row in rows:
        cells = [wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
        lines += [_line(parts, widths) for parts in zip_longest(*cells, fillvalue="")]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
