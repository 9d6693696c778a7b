"""What comes next? The likeliest tokens with their probabilities, and what temperature, top-k and top-p make of them.

Every number comes from the model's own logits for the text in the box; each step computes them anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import ipywidgets
import numpy as np

from utils.errors import BackendError
from utils.widgets.panel import Panel, button, note, plain_table, pre, text

SHOWN = 10  # candidates
NO_TOKEN = -1  # of "a token" in the list; ipywidgets takes None for nothing picked, and shows nothing then
_BAR = "height:1em;background:#0072B2"
_GREY = "height:1em;background:#888888"  # a contrast of 3 to 1 and more, in a light and in a dark page
_TABLE = "color:var(--jp-ui-font-color1);font-size:var(--jp-ui-font-size1);width:100%;max-width:640px"


class Scorer(Protocol):
    """A model in this process that tells its logits, as the route onnx does."""

    name: str
    model: str
    ends: frozenset[int]

    def text_ids(self, text: str) -> list[int]: ...

    def scores(self, ids: Sequence[int]) -> np.ndarray: ...

    def _whole(self, ids: list[int]) -> str: ...


def probabilities(logits: np.ndarray, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> np.ndarray:
    """Logits to probabilities, [vocabulary], as samplers do it: divided by the temperature, then cut to the `top_k`
    likeliest (0: all), then to the likeliest that share `top_p`, then shared out anew. Temperature 0: the likeliest."""
    if temperature < 0.01:
        one = np.zeros(len(logits))
        one[logits.argmax()] = 1
        return one
    weights = np.exp((logits - logits.max()).astype(float) / temperature)
    order = np.argsort(-weights, kind="stable")
    if top_k:
        weights[order[top_k:]] = 0
    before = np.concatenate([[0.0], np.cumsum(weights[order] / weights.sum())[:-1]])
    weights[order[before >= top_p]] = 0
    return np.asarray(weights / weights.sum())


class Sampling(Panel):
    """Explore how `text` goes on. `seed` makes the dice fall the same way every time."""

    def __init__(self, backend: Scorer, start: str = "The hut is", *, seed: int = 0) -> None:
        self._backend, self._start, self._seed = backend, start, seed
        wide = {"description_width": "90px"}
        self.text = ipywidgets.Text(value=start, description="Text", style=wide, layout={"width": "auto"})
        self.text.observe(lambda change: self._restart(), "value")
        self.temperature = ipywidgets.FloatSlider(1.0, min=0, max=2, step=0.1, description="Temperature", style=wide)
        self.top_k = ipywidgets.IntSlider(0, min=0, max=50, description="Top k (0: all)", style=wide)
        self.top_p = ipywidgets.FloatSlider(1.0, min=0.05, max=1, step=0.05, description="Top p", style=wide)
        for slider in (self.temperature, self.top_k, self.top_p):
            slider.observe(lambda change: self._draw(), "value")
        self.step_button = button("Roll the dice", self.step, "Take a token by its probability")
        self.back_button = button("One back", self.back, "Take the last token off")
        self.pick = ipywidgets.Dropdown(options=[("a token", NO_TOKEN)], description="Or pick", style=wide)
        self.pick.observe(lambda change: self._picked(change["new"]), "value")
        self.so_far, self.table, self.status = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        wrap = {"flex_flow": "row wrap", "align_items": "center"}
        sliders = ipywidgets.HBox([self.temperature, self.top_k, self.top_p], layout=wrap)
        buttons = ipywidgets.HBox([self.step_button, self.pick, self.back_button], layout=wrap)
        self.box = ipywidgets.VBox([self.text, sliders, self.so_far, self.table, buttons, self.status])
        self._restart()

    def __str__(self) -> str:
        rows = [(repr(piece), f"{raw:.1%}", f"{now:.1%}") for _, piece, raw, now in self.candidates()]
        head = ("next token", "as it is", "with the sliders")
        return f"{self._backend.model}: {self.so_far_text!r}\n" + plain_table(head, rows, widths=(20, 9, 16))

    @property
    def so_far_text(self) -> str:
        """The text in the box and the tokens taken since."""
        return f"{self.text.value}{self._backend._whole(self.taken)}"

    def candidates(self) -> list[tuple[int, str, float, float]]:
        """The likeliest: id, text, the model's probability, and the one after temperature, top-k and top-p. None where
        the model cannot read the text."""
        if self._logits is None:
            return []
        raw = probabilities(self._logits)
        now = probabilities(self._logits, self.temperature.value, self.top_k.value, self.top_p.value)
        best = np.argsort(-raw, kind="stable")[:SHOWN]
        return [(int(i), self._piece(int(i)), float(raw[i]), float(now[i])) for i in best]

    def step(self) -> None:
        """Take one token by the probabilities with the sliders."""
        if self._logits is None:
            return
        now = probabilities(self._logits, self.temperature.value, self.top_k.value, self.top_p.value)
        self.take(int(self._dice.choice(len(now), p=now)))

    def take(self, token: int) -> None:
        """Go on with this token."""
        if token in self._backend.ends:
            self.status.value = note("The model ends its text here. Take a step back, or change the text.")
            return
        self.taken.append(token)
        self._look()

    def back(self) -> None:
        """The last token goes."""
        if self.taken:
            self.taken.pop()
            self._look()

    def _restart(self) -> None:
        self.taken: list[int] = []
        self._dice = np.random.default_rng(self._seed)
        self._look()

    def _look(self) -> None:
        """Ask the model what comes next."""
        self._logits: np.ndarray | None = None
        try:
            self._logits = self._backend.scores([*self._backend.text_ids(self.text.value), *self.taken])
            self.status.value = note(f"{len(self.taken)} token{'s' * (len(self.taken) != 1)} taken.")
        except BackendError as error:
            self.status.value = note(str(error), role="alert")
        self._draw()

    def _draw(self) -> None:
        found = self.candidates()
        longest = max((max(raw, now) for _, _, raw, now in found), default=1.0)
        self.so_far.value = pre(self.so_far_text)
        self.table.value = f'<table style="{_TABLE}">{_HEAD}{"".join(_row(*one, longest) for one in found)}</table>'
        self.pick.options = [("a token", NO_TOKEN), *((f"{piece!r}  {now:.1%}", i) for i, piece, _, now in found)]

    def _picked(self, token: int | None) -> None:
        if token not in (None, NO_TOKEN):
            self.take(token)

    def _piece(self, token: int) -> str:
        return "end of the text" if token in self._backend.ends else self._backend._whole([token])


_HEAD = (
    '<tr><th scope="col" style="text-align:left">next token</th>'
    '<th scope="col" style="text-align:left">as it is (grey) and with the sliders (blue)</th>'
    '<th scope="col">as it is</th><th scope="col">now</th></tr>'
)


def _row(token: int, piece: str, raw: float, now: float, longest: float) -> str:
    bars = "".join(
        f'<div style="{style};width:{100 * value / longest:.1f}%"></div>'
        for style, value in ((_GREY, raw), (_BAR, now))
    )
    return (
        f'<tr><th scope="row" style="text-align:left;font-weight:400" title="id {token}">'
        f'<code>{text(repr(piece))}</code></th><td style="width:55%">{bars}</td>'
        f'<td style="text-align:right">{raw:.1%}</td><td style="text-align:right">{now:.1%}</td></tr>'
    )
