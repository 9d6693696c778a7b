"""`python -m utils bench`: the speeds this package promises, each measured beside a bare script on this machine.

Every number is a ratio with its spread, because absolute times belong to one machine. The row "control" compares the
bare loop with itself: what it shows is the noise.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from utils.bench.rows import Row, as_json, as_table

PARTS = ("starts", "streams", "large", "lessons", "server", "costs", "rehearsal")
__all__ = ["PARTS", "Row", "as_json", "as_table", "run"]


def run(pairs: int = 9, parts: tuple[str, ...] = PARTS) -> list[Row]:
    """Measures all of it, in some twenty minutes, or the named parts. Raises BackendError when there is no model."""
    measured: list[Row] = []
    for part in parts:
        rows: Callable[[int], list[Row]] = import_module(f"utils.bench.{part}").rows
        measured += rows(pairs)
    return measured
