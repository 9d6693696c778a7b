"""What the widgets share: a box with a plain-text twin, and safe pieces of HTML that follow JupyterLab's theme.

It does not know what any widget shows. Everything that comes from a model goes through `text()` first.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from html import escape
from itertools import zip_longest
from textwrap import TextWrapper
from typing import Any
from unicodedata import east_asian_width

import ipywidgets

_FILL = "\0"  # no text that is shown has it
_VIEW = "application/vnd.jupyter.widget-view+json"
_BADGES = {  # background and text keep a contrast of at least 7 to 1, in a light and in a dark page
    "pocket": ("#F0E442", "#1a1a1a"),
    "live": ("#00543b", "#ffffff"),
    "recorded": ("#dddddd", "#1a1a1a"),
}

_HEARD = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap"  # not seen
_NOTE = "color:var(--jp-ui-font-color1);font-size:var(--jp-ui-font-size1);line-height:1.5"
_CELL = 'style="text-align:left;padding:0 16px 0 0"'
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


def note(value: str, *, role: str = "status", of: str = "") -> str:
    """A small line of text that a screen reader announces when it changes; `of` is for that reader only."""
    heard = f'<span style="{_HEARD}">{text(of)}: </span>' if of else ""
    return f'<div role="{role}" style="{_NOTE}">{heard}{text(value)}</div>'


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table for the page."""
    head = "".join(f'<th scope="col" {_CELL}>{text(name)}</th>' for name in headings)
    body = "".join(f"<tr>{''.join(f'<td {_CELL}>{text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<table style="{_NOTE}"><tr>{head}</tr>{body}</table>'


def plain_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, widths: Sequence[int]) -> str:
    """A table as plain text. What is longer than its width (in cells; a Chinese character takes two) goes on in the
    next line."""
    lines = [_line(headings, widths), _line(["-" * width for width in widths], widths)]
    for row in rows:
        cells = [_wrapped(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
        lines += [_line(parts, widths) for parts in zip_longest(*cells, fillvalue="")]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(
        cell + " " * (width - len(_spread(cell))) for cell, width in zip(cells, widths, strict=True)
    ).rstrip()


class _Wrapper(TextWrapper):
    """Breaks lines beside wide characters too, which have no spaces between them."""

    def _split(self, text: str) -> list[str]:
        return [part for chunk in super()._split(text) for part in re.split(f"(.{_FILL})", chunk) if part]


def _wrapped(cell: str, width: int) -> list[str]:
    return [line.replace(_FILL, "") for line in _Wrapper(width).wrap(_spread(cell))]


def _spread(cell: str) -> str:
    """As long as it is wide: each wide character is followed by a filler."""
    plain = cell.replace(_FILL, "")
    return "".join(char + _FILL if east_asian_width(char) in "WF" else char for char in plain)
