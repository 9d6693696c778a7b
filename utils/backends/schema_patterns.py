"""The regular expressions of JSON schemas, made to come to an end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from utils.errors import BadInput

REPEATS = 24  # of what may repeat for ever
# A pattern's pieces: an escape, a class or a letter, each taken whole, and what repeats it without an end.
PIECE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<open>[*+]|\{(?P<least>\d+),\})|.", re.DOTALL)
LOOKS = re.compile(r"\\[bBAZzGK1-9]|[$^]")  # at an edge, or at what was matched before
AROUND = re.compile(r"\(\?(<?[=!]|P=|\()")
START = re.compile(r"\^(\w+)(?![\w*+?{])[^|]*")  # a pattern that begins with plain letters


def ending(pattern: str, least: int = 0) -> str:
    """The pattern for shorter texts only: nothing repeats for ever, and what may stand around it is short. `least`:
    how long a text must be.

    Raises BadInput for a pattern that no runtime here can follow.
    """
    most = max(REPEATS, least)
    texts = [_finite(piece, most) for piece in PIECE.finditer(pattern)]
    single = ("|", 0) not in _depths(texts)  # else ^ and $ belong to one alternative each
    begins, ends = single and texts[:1] == ["^"], single and texts[-1:] == ["$"]
    inner = texts[begins : len(texts) - ends]
    if any(LOOKS.fullmatch(text) for text in inner) or AROUND.search(pattern):
        raise BadInput(f"The pattern {pattern!r:.60} looks around itself. Use ^ and $ only around the whole: ^(...)$.")
    around = f"[^\\x00-\\x1f]{{0,{most}}}"
    return f"^{'' if begins else around}(?:{''.join(inner)}){'' if ends else around}$"


def check_apart(patterns: Iterable[str], names: Iterable[str]) -> None:
    """Raises BadInput for patterns that may mean the same text, or one of the names. They are compared by how they
    begin: a pattern tried on a name might take for ever."""
    starts = [found[1] if (found := START.fullmatch(pattern)) else "" for pattern in patterns]
    if any(later.startswith(first) for first, later in pairwise(sorted(starts))):
        raise BadInput("The schema's patternProperties may mean the same field. Begin each in its own way: ^a_, ^b_.")
    for name in names:
        if name.startswith(tuple(starts)):
            raise BadInput(
                f"A pattern of the schema may mean {name!r:.60}, a field that it describes. Begin it otherwise: ^x_."
            )


def _finite(piece: re.Match[str], most: int) -> str:
    if not piece["open"]:
        return piece[0]
    low = {"*": 0, "+": 1}.get(piece["open"], int(piece["least"] or 0))
    return f"{{{low},{low + most}}}"


def _depths(texts: list[str]) -> Iterator[tuple[str, int]]:
    """Each piece of a pattern, and in how many brackets it stands."""
    depth = 0
    for text in texts:
        depth -= text == ")"
        yield text, depth
        depth += text == "("
