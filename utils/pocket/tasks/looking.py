"""The tasks about pictures, and how often each comes."""

from __future__ import annotations

from . import Task
from .scenes import changed, frames, shapes
from .signs import bars, curve, sign

# name: (share, task, the tasks of its turns)
KINDS: dict[str, tuple[float, Task, tuple[str, ...]]] = {
    "shapes": (20, shapes, ("colour", "shape", "count", "place", "described")),
    "signs": (22, sign, ("word", "number", "arrow", "sign colour")),
    "bars": (14, bars, ("largest bar", "smallest bar", "bar")),
    "curves": (6, curve, ("trend", "first value", "last value")),
    "changes": (24, changed, ("change",)),
    "weather": (5, frames, ("frames", "frame")),
}
