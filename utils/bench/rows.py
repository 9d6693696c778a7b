"""A promise, what was measured, and how to show both."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from utils.measure import Comparison


@dataclass(frozen=True)
class Row:
    """One promise. About `result.ratio`: "most" or "least" `target`, or "within" so much of 1; about ours − theirs:
    "added" at most `target`, in `unit`; "" for a control. Without a result: the package that is `missing`.
    """

    what: str
    unit: str
    result: Comparison | None
    at: Literal["most", "least", "within", "added", ""] = ""
    target: float = 0.0
    missing: str = ""

    @property
    def kept(self) -> bool | None:
        """Whether the promise is kept, which of what was not measured nobody knows; None for a control."""
        if self.result is None:
            return False
        ratio = self.result.ratio
        return {
            "most": ratio <= self.target,
            "least": ratio >= self.target,
            "within": abs(ratio - 1) <= self.target,
            "added": self.result.ours - self.result.theirs <= self.target,
            "": None,
        }[self.at]

    @property
    def promise(self) -> str:
        """In words."""
        words = {"within": f"within {self.target:.0%}", "added": f"{self.target} {self.unit} added at most", "": ""}
        return words.get(self.at, f"at {self.at} {self.target}")


def tried(what: str, measure: Callable[[], Row]) -> Row:
    """The row that `measure` makes, or, where an optional package is missing, one that says so."""
    try:
        return measure()
    except ModuleNotFoundError as error:
        return Row(what, "", None, missing=str(error.name))


def once(ours: float, theirs: float) -> Comparison:
    """A single measurement, without a spread."""
    ratio = ours / theirs
    return Comparison(ours, theirs, ratio, ratio, ratio, 1)


def as_table(rows: Sequence[Row]) -> str:
    """For people: a line each, with medians, ratio, interval and verdict."""
    width = max(len(row.what) for row in rows)
    lines = [f"{'':<{width}}  {'ours':>9}  {'theirs':>9}  unit      ratio  95 % interval   n  verdict"]
    for row in rows:
        r = row.result
        if r is None:
            lines.append(f"{row.what:<{width}}  NOT MEASURED: it needs the package {row.missing}, which is missing")
            continue
        verdict = "" if row.kept is None else f"{'kept' if row.kept else 'NOT KEPT'}: {row.promise}"
        verdict += "" if r.differs else "  (no difference shown)"
        lines.append(
            f"{row.what:<{width}}  {r.ours:>9.4g}  {r.theirs:>9.4g}  {row.unit:<8}  {r.ratio:5.3f}  "
            f"{r.low:5.3f} - {r.high:5.3f}  {r.n:>2}  {verdict.strip()}"
        )
    return "\n".join(lines)


def as_json(rows: Sequence[Row]) -> str:
    """For programs: a list of objects."""
    values: list[dict[str, Any]] = [{**asdict(row), "kept": row.kept} for row in rows]
    return json.dumps(values, indent=1)
