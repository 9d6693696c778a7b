"""Figures of answers as bars: HTML only, so that they follow the page's theme and cost little to redraw."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from utils.widgets.kept import Answer, milliseconds
from utils.widgets.panel import text

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")  # Okabe and Ito 2008, a column each
_TABLE = (
    "color:var(--jp-ui-font-color1);font-size:var(--jp-ui-font-size1);line-height:1.6;width:100%;max-width:720px;"
    "table-layout:fixed"  # the bars of all charts begin at the same place
)
_NAME = "text-align:left;font-weight:400;overflow-wrap:anywhere;padding-right:12px"
_TITLE = "text-align:left;font-weight:600;padding-top:6px"
_WIDTHS = '<colgroup><col style="width:32%"><col><col style="width:12%"></colgroup>'
WHAT: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("tokens_per_s", "tokens/s after the first (longer is faster)", lambda value: f"{value:,.0f}"),
    ("first_token_s", "ms to the first token (shorter is faster)", milliseconds),
    ("memory_mb", "MB of memory at the peak (shorter is leaner)", lambda value: f"{value:,.0f}"),
)


def bars(answers: Sequence[Answer]) -> str:
    """A bar for each column's decode speed, time to first token and memory; "" where nothing was measured."""
    made = "".join(_chart(answers, key, title, said) for key, title, said in WHAT)
    return f'<table style="{_TABLE}">{_WIDTHS}{made}</table>' if made else ""


def _chart(answers: Sequence[Answer], key: str, title: str, said: Callable[[float], str]) -> str:
    values = [one[key] for one in answers]
    longest = max((value for value in values if value), default=None)
    if longest is None:
        return ""
    rows = "".join(
        f'<tr><th scope="row" style="{_NAME}">{text(one["place"])}</th><td>{_bar(value, longest, i)}</td>'
        f'<td style="text-align:right">{"" if value is None else said(value)}</td></tr>'
        for i, (one, value) in enumerate(zip(answers, values, strict=True))
    )
    return f'<tbody><tr><th scope="rowgroup" colspan="3" style="{_TITLE}">{title}</th></tr>{rows}</tbody>'


def _bar(value: float | None, longest: float, place: int) -> str:
    width = 0 if value is None else 100 * value / longest
    return f'<div style="height:0.9em;width:{width:.1f}%;background:{COLOURS[place % len(COLOURS)]}"></div>'
