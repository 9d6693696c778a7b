"""The blind vote of the compare widget: answers without names, a choice, and the ratings so far."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import ipywidgets

from utils.widgets.contest import ENOUGH, Rating, Vote, ratings
from utils.widgets.panel import button, note, plain_table, text

LETTERS = "ABCD"
_CELL = 'style="text-align:left;padding:0 16px 0 0"'
_TABLE = "color:var(--jp-ui-font-color1);font-size:var(--jp-ui-font-size1);line-height:1.5"


class Ballot:
    """Asks which answer is best while `hide` keeps the names away. It knows names and letters, nothing of models."""

    def __init__(self, hide: Callable[[bool], object], dice: random.Random | None = None) -> None:
        self._hide, self._dice = hide, dice or random.Random()
        self.votes: list[Vote] = []
        self._names: list[str] = []
        self._open = False  # a question is being answered, or waits for its vote
        self.blind = ipywidgets.Checkbox(description="Blind vote: hide who answers until I have chosen", indent=False)
        self.blind.layout.width = "auto"
        self.blind.observe(lambda change: hide(change["new"]), "value")
        self._choices = ipywidgets.HBox(layout={"flex_flow": "row wrap"})
        self._standing = ipywidgets.HTML()
        self.box = ipywidgets.VBox([self.blind, self._choices, self._standing])

    @property
    def pending(self) -> bool:
        """Whether names must not be shown yet."""
        return bool(self.blind.value and self._open)

    def mix(self, columns: list[Any]) -> None:
        """Put them in another order, or in the same."""
        self._dice.shuffle(columns)

    def begin(self) -> None:
        """A new question: no choice yet."""
        self._choices.children = ()
        self._open = True
        self._hide(self.blind.value)

    def open(self, names: Sequence[str]) -> None:
        """All answers are there; `names` of the columns, in their order. Without a blind vote there is no choice."""
        self._names = list(names)
        if not self.blind.value or len(set(names)) < 2:
            self._open = False
            self._hide(False)
            return
        offers = [(f"{letter} is best", i) for i, letter in zip(range(len(names)), LETTERS, strict=False)]
        self._choices.children = [button(said, partial(self.choose, i)) for said, i in [*offers, ("A tie", None)]]

    def choose(self, best: int | None) -> None:
        """The number of the best column, from 0; None: a tie. Names are shown again."""
        for one, other in combinations(range(len(self._names)), 2):
            if best in (None, one, other) and self._names[one] != self._names[other]:
                score = 0.5 if best is None else float(best == one)
                self.votes.append(Vote(self._names[one], self._names[other], score))
        self._choices.children = ()
        self._open = False
        self._hide(False)
        self.show()

    def show(self) -> None:
        """The ratings so far, as a table."""
        found = ratings(self.votes)
        rows = "".join(f"<tr>{''.join(f'<td {_CELL}>{text(cell)}</td>' for cell in _cells(one))}</tr>" for one in found)
        head = "".join(f'<th scope="col" {_CELL}>{name}</th>' for name in HEAD)
        said = f"{len(self.votes)} comparisons. Intervals that overlap: no difference shown."
        self._standing.value = f'<table style="{_TABLE}"><tr>{head}</tr>{rows}</table>{note(said)}' if found else ""

    def __str__(self) -> str:
        return plain_table(HEAD, [_cells(one) for one in ratings(self.votes)], widths=(36, 6, 14, 8))


HEAD = ("who", "Elo", "95 % interval", "compared")


def _cells(one: Rating) -> tuple[str, str, str, str]:
    interval = f"{one.low:.0f} to {one.high:.0f}" if one.votes >= ENOUGH else "too few votes"
    return one.name, f"{one.points:.0f}", interval, str(one.votes)
