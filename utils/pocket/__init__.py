"""The Pocket Phi family: tiny models with the real Phi-3 architecture, trained by the code in this folder.

This file knows only names and where the files lie; it imports nothing heavy.
"""

import re
from pathlib import Path

FAMILY = (
    "pocket-phi-3-mini",
    "pocket-phi-3.5-mini",
    "pocket-phi-3-medium",
    "pocket-phi-3.5-moe",
    "pocket-phi-3.5-vision",
)
TAG = re.compile(r"<\|image_\d+\|>")  # where a prompt has its pictures, as Phi-3.5-vision's do
PACKED = "model.q8_0.safetensors"  # weights in 8 bits
_HOME = Path(__file__).parent.parent / "data" / "pocket"
NAMES = tuple(name for name in FAMILY if (_HOME / name / "config.json").is_file())  # those that have been trained


def home(name: str) -> Path:
    """Where `name` lies in the repository, packed or not, with its card. Raises KeyError for a name not in FAMILY."""
    if name not in FAMILY:
        raise KeyError(f"There is no pocket model called {name!r}. There are: {', '.join(FAMILY)}.")
    return _HOME / name


def folder(name: str) -> Path:
    """The folder that holds `name`'s weights, in 16 bits, with tokenizer and model card.

    Raises KeyError for a name not in NAMES, and BadModel when packed weights are damaged.
    """
    if name not in NAMES:
        raise KeyError(f"There is no pocket model called {name!r}. There are: {', '.join(NAMES)}.")
    if not (_HOME / name / PACKED).is_file():
        return _HOME / name
    from .packed import unpacked

    return unpacked(_HOME / name)
