"""Small helpers for the lessons: ask a small language model, on any route, and see who answered.

Importing this loads nothing heavy: each name below is fetched when it is first used.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from utils import compare, measure, plots, pocket, server
    from utils.backends import connect, locate, routes
    from utils.checkup import doctor
    from utils.core import Backend, BackendError, Chunk, Completion, Message, Options, Part, complete
    from utils.widgets import Compare

_HOMES = {
    "Compare": "utils.widgets",
    "connect": "utils.backends",
    "Backend": "utils.core",
    "BackendError": "utils.core",
    "Chunk": "utils.core",
    "Completion": "utils.core",
    "Message": "utils.core",
    "Options": "utils.core",
    "Part": "utils.core",
    "complete": "utils.core",
    "doctor": "utils.checkup",
    "locate": "utils.backends",
    "routes": "utils.backends",
}
__all__ = [
    "Backend",
    "BackendError",
    "Chunk",
    "Compare",
    "Completion",
    "Message",
    "Options",
    "Part",
    "compare",
    "complete",
    "connect",
    "doctor",
    "locate",
    "measure",
    "plots",
    "pocket",
    "routes",
    "server",
]
if "IPython" in sys.modules:
    importlib.import_module("utils.notebook")
_MODULES = ("compare", "measure", "plots", "pocket", "server")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"utils.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'utils' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
