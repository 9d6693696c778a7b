"""The blind vote of the compare widget: answers without names, a choice, and the ratings so far."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import ipywidgets

from utils.widgets.contest import ENOUGH, Rating, Vote, ratings
from utils.widgets.panel import button, note, plain_table, table

LETTERS = "ABCD"


class Ballot:
    """Asks which answer is best; while it is `pending`, nobody may see who they are from. `changed` is called when
    that begins and ends. It knows names and letters, nothing of models."""

    def __init__(self, changed: Callable[[], object], dice: random.Random | None = None) -> None:
        self._changed, self._dice = changed, dice or random.Random()
        self.votes: list[Vote] = []
        self.pending = False
        self.blind = ipywidgets.Checkbox(description="Blind vote: hide who answers until I have chosen", indent=False)
        self.blind.layout.width = "auto"
        self.blind.observe(lambda change: self.end(), "value")  # whoever has seen the names has no vote
        self._choices = ipywidgets.HBox(layout={"flex_flow": "row wrap"})
        self._standing = ipywidgets.HTML()
        self.box = ipywidgets.VBox([self.blind, self._choices, self._standing])

    def mix(self, columns: list[Any]) -> None:
        """Put them in another order, or in the same."""
        self._dice.shuffle(columns)

    def begin(self) -> None:
        """A new question: no choice yet."""
        self.end(pending=self.blind.value)

    def open(self, names: Sequence[str | None]) -> None:
        """All answers are there; `names` of the columns in their order, None for one without a whole answer."""
        if not self.pending:
            return
        if len({name for name in names if name}) < 2:
            self.end()
            self._choices.children = (ipywidgets.HTML(note("No vote: it takes whole answers of two models.")),)
            return
        offers = [(f"{letter} is best", i) for i, letter in zip(range(len(names)), LETTERS, strict=False) if names[i]]
        choices = [button(said, partial(self._choose, names, i)) for said, i in [*offers, ("A tie", None)]]
        self._choices.children = choices

    def _choose(self, names: Sequence[str | None], best: int | None) -> None:
        """`best`: the number of the best column, from 0; None: a tie. Names are shown again."""
        for (i, one), (j, other) in combinations(enumerate(names), 2):
            if one and other and one != other and best in (None, i, j):
                self.votes.append(Vote(one, other, 0.5 if best is None else float(best == i)))
        self.end()
        self.show()

    def end(self, *, pending: bool = False) -> None:
        """No choice is offered any more, and names may be seen unless `pending`."""
        self._choices.children, self.pending = (), pending
        self._changed()

    def show(self) -> None:
        """The ratings so far, as a table."""
        found = ratings(self.votes)
        said = f"{len(self.votes)} comparisons. Intervals that overlap: no difference shown."
        self._standing.value = table(HEAD, map(_cells, found)) + note(said) if found else ""

    def __str__(self) -> str:
        return plain_table(HEAD, [_cells(one) for one in ratings(self.votes)], widths=(36, 6, 14, 8))


HEAD = ("who", "Elo", "95 % interval", "compared")


def _cells(one: Rating) -> tuple[str, str, str, str]:
    interval = f"{one.low:.0f} to {one.high:.0f}" if one.votes >= ENOUGH else "too few votes"
    return one.name, f"{one.points:.0f}", interval, str(one.votes)
