"""Text that grows on the page: what is added is sent, what stands there already is not sent again.

A block that is redrawn whole costs bytes with the square of the answer. Here an answer is a row of short blocks, of
which only the last one is redrawn, at most 20 times a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import ipywidgets

from utils.widgets.panel import PRE, text

REDRAW_S = 0.05  # 20 redraws a second: faster costs much and shows nothing more
BLOCK = 1600  # characters: more are sent too often, of fewer there are too many on the page (each is a widget)
_INLINE = (
    "<style>.slm-growing,.slm-growing .widget-html,.slm-growing .widget-html-content"
    "{{display:block;overflow:visible}}.slm-growing .slm-piece,.slm-growing .slm-piece .widget-html-content"
    "{{display:inline;line-height:inherit;height:auto;margin:0;padding:0}}.slm-growing{{{style}}}</style>"
)


class Growing:
    """`box` goes on the page; `add` puts text at its end. `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._style = ipywidgets.HTML(_INLINE.format(style=PRE))
        self.box = ipywidgets.Box(layout={"width": "auto"})
        self.box.add_class("slm-growing")
        self.clear()

    def clear(self) -> None:
        """Nothing written, nothing shown."""
        self._added: list[str] = []  # one text that grows would be copied whole with every token
        self._drawn = float("-inf")
        self._begin()

    def _begin(self) -> None:
        self._last, self._seen, self._marked = "", 0, False  # the last block's text; how many of `_added` are drawn
        self._pieces = [_piece()]
        self.box.children = [self._style, *self._pieces]

    @property
    def text(self) -> str:
        """All that was added."""
        return "".join(self._added)

    def add(self, more: str) -> None:
        """Shown soon; `flush` shows it now."""
        self._added.append(more)
        if self._clock() - self._drawn >= REDRAW_S:
            self.flush()

    def flush(self) -> None:
        """Show everything that was added, and no marks."""
        if self._marked:
            self._begin()
        self._last += "".join(self._added[self._seen :])
        self._seen, made = len(self._added), len(self._pieces)
        while len(self._last) > BLOCK:
            self._pieces[-1].value = text(self._last[:BLOCK])
            self._last = self._last[BLOCK:]
            self._pieces.append(_piece())
        self._pieces[-1].value = text(self._last)
        if len(self._pieces) > made:
            self.box.children = [self._style, *self._pieces]
        self._drawn = self._clock()

    def mark(self, html: str) -> None:
        """Show the text in another form, such as with differences marked. `html` is ours, not the model's."""
        marks = _piece()
        marks.value = html
        self.box.children, self._marked = [self._style, marks], True


def _piece() -> ipywidgets.HTML:
    piece = ipywidgets.HTML()
    piece.add_class("slm-piece")
    return piece
