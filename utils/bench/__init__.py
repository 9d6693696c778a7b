"""`python -m utils bench`: the speeds this package promises, each measured beside a bare script on this machine.

Every number is a ratio with its spread, because absolute times belong to one machine. The row "control" compares the
bare loop with itself: what it shows is the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module

from utils.bench.rows import Row, as_json, as_table
from utils.errors import NotInstalled

PARTS = ("starts", "streams", "agreement", "large", "lessons", "server", "costs", "rehearsal")
TOOLS = ("ort", "llama-bench", "openvino", "optimum")
__all__ = ["PARTS", "TOOLS", "Row", "as_json", "as_table", "run"]


def run(pairs: int = 9, parts: tuple[str, ...] = PARTS, against: tuple[str, ...] = ()) -> Iterator[list[Row]]:
    """Measures all of it, in some thirty minutes, or the named parts, and our figures beside those of tools: each one's
    rows as soon as it is done. Raises BackendError when there is no model, NotInstalled where a tool's library is
    missing."""
    for part in parts:
        rows: Callable[[int], list[Row]] = import_module(f"utils.bench.{part}").rows
        yield rows(pairs)
    for tool in against:
        try:
            yield [import_module("utils.bench.agreement").AGAINST[tool](pairs)]
        except ModuleNotFoundError as error:
            raise NotInstalled(f"Comparing with {tool} needs the package {error.name}, which is missing.") from None
