"""The Pocket Phi family: tiny models with the real Phi-3 architecture, trained by the code in this folder.

This file knows only names and where the files lie; it imports nothing heavy.
"""

import re
from pathlib import Path

NAMES: tuple[str, ...] = ("pocket-phi-3-mini",)
TAG = re.compile(r"<\|image_\d+\|>")  # where a prompt has its pictures, as Phi-3.5-vision's do
_HOME = Path(__file__).parent.parent / "data" / "pocket"


def folder(name: str) -> Path:
    """The folder that holds `name`'s weights, tokenizer and model card. Raises KeyError for a name not in NAMES."""
    if name not in NAMES:
        raise KeyError(f"There is no pocket model called {name!r}. There are: {', '.join(NAMES)}.")
    return _HOME / name
