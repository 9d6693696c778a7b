"""Figures of answers as bars: HTML only, so that they follow the page's theme and cost little to redraw."""

from __future__ import annotations

from collections.abc import Sequence

from utils.widgets.kept import Answer
from utils.widgets.panel import text

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")  # Okabe and Ito 2008, a column each
_TABLE = "color:var(--jp-ui-font-color1);font-size:var(--jp-ui-font-size1);line-height:1.6;width:100%;max-width:720px"
_NAME = "text-align:left;font-weight:400;white-space:nowrap;padding-right:12px"
WHAT = (
    ("tokens_per_s", "tokens/s after the first (longer is faster)", 1.0),
    ("first_token_s", "ms to the first token (shorter is faster)", 1000.0),
)


def bars(answers: Sequence[Answer], names: Sequence[str] | None = None) -> str:
    """A bar for each column's decode speed and time to first token; "" where nothing was measured."""
    names = [str(one["place"]) for one in answers] if names is None else names
    made = [_chart(answers, names, key, title, factor) for key, title, factor in WHAT]
    return f'<div style="{_TABLE}">{"".join(made)}</div>'


def _chart(answers: Sequence[Answer], names: Sequence[str], key: str, title: str, factor: float) -> str:
    values = [None if one[key] is None else factor * one[key] for one in answers]
    longest = max((value for value in values if value), default=None)
    if longest is None:
        return ""
    rows = "".join(
        f'<tr><th scope="row" style="{_NAME}">{text(name)}</th><td style="width:60%">{_bar(value, longest, i)}</td>'
        f'<td style="text-align:right">{"" if value is None else format(value, ",.0f")}</td></tr>'
        for i, (name, value) in enumerate(zip(names, values, strict=True))
    )
    caption = f'<caption style="text-align:left;font-weight:600">{title}</caption>'
    return f'<table style="width:100%">{caption}{rows}</table>'


def _bar(value: float | None, longest: float, place: int) -> str:
    width = 0 if value is None else 100 * value / longest
    return f'<div style="height:0.9em;width:{width:.1f}%;background:{COLOURS[place % len(COLOURS)]}"></div>'
