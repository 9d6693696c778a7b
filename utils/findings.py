"""What the doctor hands out: findings, and a list of them that shows as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["", "works", "missing package", "no key", "not running", "retired", "wrong setting"]
WORDS = {"ok": "ok", "warn": "note", "missing": "MISSING"}


@dataclass(frozen=True)
class Finding:
    """`ok`; `warn`: something optional is absent or scarce; `missing`: the lessons need it. `fix` says what to do.

    `state`: of a route only.
    """

    name: str
    status: Literal["ok", "warn", "missing"]
    detail: str
    fix: str = ""
    state: State = ""


class Findings(list[Finding]):
    """Findings that show as a table of plain text."""

    def __repr__(self) -> str:
        name, detail = max(len(f.name) for f in self), max(len(f.detail) for f in self)
        rows = (f"{WORDS[f.status]:<8} {f.name:<{name}}  {f.detail:<{detail}}  {f.fix}" for f in self)
        return "\n".join(map(str.rstrip, rows))
