"""How a question about pictures is put, and which pictures belong to which split.

A prompt begins with `<|image_1|>` for each picture, as Phi-3.5-vision's do. A picture's content decides its split, and
the letters of a sign's word do, so that no picture and no word of the held-out split was ever trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from zlib import crc32

from ..grammar import Document, load
from ..pictures import Picture
from . import Turn
from .exchange import capital


def asked(document: Document, task: str, name: str, reply: str, **values: str) -> Turn:
    """A question in one of the wordings of data/corpus/pictures.toml."""
    document.slots.update(values)
    return Turn(task, document.frame(load("pictures")[name]), capital(reply))


def tagged(pictures: tuple[Picture, ...], turns: list[Turn]) -> Turn:
    """The turns as one conversation about the pictures."""
    first, *then = turns
    tags = "".join(f"<|image_{i}|>\n" for i in range(1, len(pictures) + 1))
    return replace(first, prompt=tags + first.prompt, pictures=pictures, then=tuple(then))


def of_split(document: Document, make: Callable[[], Any]) -> Any:
    """Something drawn by `make` whose content belongs to the document's split."""
    while True:
        made = make()
        if (crc32(repr(made).encode()) % 8 == 5) == document.held_out:
            return made
