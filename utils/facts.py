"""Facts about models of the world, from data/facts.toml: each with its unit, source and date, checked as it is read.

    fact("training tokens", "Phi-3-mini")          -> <3.3 trillion tokens>
    table("MMLU", "GSM8K")                         a table with its sources

What the makers published, what was computed from it and what others only guess are told apart by `basis`. Sizes and
shapes of the models that the course runs are in the catalogue.
"""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from textwrap import wrap
from typing import Any

from utils.catalog import HOME

FILE = HOME / "data" / "facts.toml"
BASES = ("published", "computed", "guess")
WORDS = ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"))


class FactsError(ValueError):
    """facts.toml is wrong; the message names the row and the field."""


@dataclass(frozen=True, repr=False)
class Fact:
    """One number and where it comes from. `said`: how a lesson may put it in words, {} being the number."""

    what: str
    subject: str
    value: float
    unit: str
    basis: str
    source: str
    date: datetime.date
    note: str = ""
    said: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.number} {self.unit}".strip()

    def __repr__(self) -> str:
        return f"{self.what} of {self.subject}: {self} ({self.basis}: {self.source}, {self.date})"

    @property
    def number(self) -> str:
        """The value as one reads it: 3.3 trillion, 384, 68.8; with "?" where it is a guess."""
        size, word = next(((size, word) for size, word in WORDS if self.value >= size), (1, ""))
        digits = f"{self.value:,}" if size == 1 else f"{self.value / size:.4g}"
        return f"{digits} {word}".strip() + ("?" if self.basis == "guess" else "")


@cache
def load(file: Path = FILE) -> tuple[Fact, ...]:
    """Every fact, in the order of the file. Raises FactsError."""
    try:
        rows = tomllib.loads(file.read_text(encoding="utf-8")).get("facts", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FactsError(f"{file.name} cannot be read: {error}.") from None
    facts = tuple(one for number, row in enumerate(rows, 1) for one in _facts(row, f"{file.name}, row {number}"))
    keys = [(one.what, one.subject) for one in facts]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise FactsError(f"{file.name}: {' of '.join(twice[0])} is told twice.")
    return facts


def _facts(row: dict[str, Any], where: str) -> list[Fact]:
    known = {f.name for f in fields(Fact)} - {"subject", "value"} | {"values"}
    if wrong := set(row) - known:
        raise FactsError(f"{where}: unknown field {wrong.pop()!r}; known are {', '.join(sorted(known))}.")
    if missing := known - {"note", "said"} - set(row):
        raise FactsError(f"{where}: {missing.pop()} is missing.")
    where = f"{where} ({row['what']})"
    if row["basis"] not in BASES:
        raise FactsError(f"{where}: basis {row['basis']!r} is none of {', '.join(BASES)}.")
    if not isinstance(row["date"], datetime.date) or not row["source"]:
        raise FactsError(f"{where}: a fact needs a source and the date when it was checked.")
    if not isinstance(row["values"], dict) or not all(
        type(value) in (int, float) and value > 0 for value in row["values"].values()
    ):
        raise FactsError(f"{where}: values must be numbers above 0.")
    said = tuple(row.get("said", ()))
    rest = (row["unit"], row["basis"], row["source"], row["date"], row.get("note", ""), said)
    return [Fact(row["what"], subject, value, *rest) for subject, value in row["values"].items()]


def fact(what: str, subject: str) -> Fact:
    """The fact of that quantity and subject. Raises LookupError, naming what is known, for one that is not there."""
    of = {one.subject: one for one in load() if one.what == what}
    if subject not in of:
        raise LookupError(f"There is no fact {what!r} of {subject!r}. {_known(what)}.")
    return of[subject]


def _known(what: str) -> str:
    of = [one.subject for one in load() if one.what == what]
    return f"It is known of {', '.join(of)}" if of else f"Known are {', '.join({one.what: 0 for one in load()})}"


def values(what: str) -> dict[str, float]:
    """subject -> number, for one quantity. Raises LookupError for a quantity that is not there."""
    found = {one.subject: one.value for one in load() if one.what == what}
    if not found:
        raise LookupError(f"There are no facts {what!r}. {_known(what)}.")
    return found


class Table:
    """Facts side by side, a row for each subject, and below them what must be known to read them."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self.facts = tuple(facts)

    def __repr__(self) -> str:
        cells = {(one.subject, one.what): one for one in self.facts}
        subjects = list(dict.fromkeys(one.subject for one in self.facts))
        heads = {f.what: f.what if f.what.endswith(f.unit) else f"{f.what}, {f.unit}" for f in self.facts}
        rows = [[subject, *(_cell(cells.get((subject, what))) for what in heads)] for subject in subjects]
        widths = [max(map(len, column)) for column in zip(["", *heads.values()], *rows, strict=True)]
        lines = ["  ".join(map(str.rjust, row, widths)) for row in [["", *heads.values()], *rows]]
        lines = [row[0].ljust(widths[0]) + line[widths[0] :] for row, line in zip([[""], *rows], lines, strict=True)]
        told = dict.fromkeys((one.source, one.note, one.date) for one in self.facts)
        sources = [f"{source} ({date}){': ' + note if note else ''}" for source, note, date in told]
        return "\n".join(lines + [wrapped for one in sources for wrapped in wrap(one, 96, subsequent_indent="  ")])


def _cell(one: Fact | None) -> str:
    return one.number if one else "-"


def table(*whats: str, subjects: Sequence[str] = ()) -> Table:
    """The facts of these quantities as a table, of all subjects or some. Raises LookupError where there is none."""
    for what in whats:
        values(what)
    for subject in subjects:
        if not any(one.subject == subject and one.what in whats for one in load()):
            raise LookupError(f"There is no fact of {subject!r} among {', '.join(whats)}.")
    return Table([one for one in load() if one.what in whats and (not subjects or one.subject in subjects)])
