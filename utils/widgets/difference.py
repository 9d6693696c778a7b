"""Where two texts differ, word by word."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from utils.widgets.panel import text

WORDS = 2000  # of longer texts the rest is left as it is: comparing takes time with the square of the length
_MARK = "background:#F0E442;color:#1a1a1a;border-radius:2px;padding:0 1px"


def marked(this: str, other: str) -> str:
    """`this` as HTML text, with the words that `other` does not have in their place marked."""
    mine, theirs = (re.findall(r"\s+|\w+|[^\w\s]", value) for value in (this, other))
    rest = "".join(mine[WORDS:])
    made = []
    for kind, a, b, _, _ in SequenceMatcher(None, mine[:WORDS], theirs[:WORDS], autojunk=False).get_opcodes():
        words = text("".join(mine[a:b]))
        made.append(words if kind == "equal" or not words.strip() else f'<mark style="{_MARK}">{words}</mark>')
    return "".join(made) + text(rest)
