"""Signs with a printed word or number, and charts of bars or of a line."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

from .. import pictures as draw
from ..grammar import Document, load
from ..pictures import COLOURS, INK, PAPER, SIDE, Mark, Picture, box, circle, line, text
from . import Turn
from .asking import asked, of_split, tagged


@cache
def _sign_words() -> tuple[str, ...]:
    """Short words of the course's own texts, in capitals."""
    texts = " ".join([*load("messages")["clean"], *load("words")["places"], *load("words")["trails"]])
    return tuple(
        sorted({w.upper() for w in texts.replace(".", " ").split() if w.isalpha() and w.isascii() and 3 <= len(w) <= 5})
    )


def _sign_word(document: Document) -> str:
    """A word or any letters; a quarter of them four letters that mean nothing. Or a number."""
    if document.chance(0.15):
        return str(document.rng.randint(1, 999))
    if document.chance(0.3):
        return str(document.choice(_sign_words()))
    length = document.choice([2, 3, 4, 4, 4])
    return "".join(document.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(length))


def sign(document: Document) -> Turn:
    """A board with a printed word or number, often with an arrow under it."""
    word = of_split(document, lambda: _sign_word(document))
    hue = document.choice([*COLOURS, "white", "white"])
    board = COLOURS.get(hue, (255, 255, 255))
    ink = INK if hue in ("white", "yellow") else (255, 255, 255)
    has_arrow = document.chance(0.5)
    # About one letter a patch: with letters anywhere none was read after 500 steps of looking and 900 more.
    pitch, off = document.rng.uniform(13.7, 14.3), [document.rng.uniform(-1.8, 1.8) for _ in "xy"]
    x = draw.PATCH * (document.rng.randint(0, draw.ACROSS - len(word)) + 0.5) + off[0]
    y = draw.PATCH * (document.rng.randint(1, 2 if has_arrow else 4) + 0.5) + off[1]
    bottom, size = y + (30 if has_arrow else 14), document.rng.uniform(16, 20)
    marks: list[Mark] = [box(0, y - 14, SIDE, bottom, board, hue)]
    marks += [text(letter, round(x + i * pitch, 1), round(y, 1), round(size, 1), ink) for i, letter in enumerate(word)]
    task = "number" if word.isdigit() else "word" if len(word) == 4 else "short word"
    turns = [asked(document, task, "number" if word.isdigit() else "read", word)]
    others = [asked(document, "sign colour", "sign_colour", f"{hue}.")]
    if has_arrow:
        left = document.chance(0.5)
        marks += draw.arrow(left, SIDE / 2, y + 20, document.rng.choice([24, 32, 40]), ink)
        others.append(asked(document, "arrow", "arrow", "left." if left else "right."))
    papers = [p for p in PAPER if p != board]
    turns.append(document.choice(others))
    return tagged((Picture(document.choice(papers), tuple(marks)),), turns)


def bars(document: Document) -> Turn:
    """A chart of three or four coloured bars, each with its value above it."""
    content = of_split(document, lambda: _bars(document))
    step, marks = SIDE / len(content), []
    highest = max(value for _, value in content)
    for i, (hue, value) in enumerate(content):
        x, height = step * (i + 0.5), 6 + 54 * value / highest
        marks += [box(round(x - 7, 1), round(80 - height, 1), round(x + 7, 1), 80, COLOURS[hue], hue)]
        marks += [text(str(value), round(x, 1), round(72 - height, 1), 13)]
    marks.append(line(((2, 80.5), (82, 80.5))))
    picture = Picture(PAPER[0], tuple(marks))
    (low_hue, low), *_, (top_hue, top) = sorted(content, key=lambda bar: bar[1])
    turns = [
        asked(document, "largest bar", "largest", f"the {top_hue} bar, {top}."),
        asked(document, "smallest bar", "smallest", f"the {low_hue} bar, {low}."),
    ]
    for hue, value in document.rng.sample(content, 2):
        turns.append(asked(document, "bar", "bar", f"{value}.", hue=hue))
    document.rng.shuffle(turns)
    return tagged((picture,), turns)


def _bars(document: Document) -> list[tuple[str, int]]:
    hues = document.rng.sample(list(COLOURS), document.rng.randint(3, 4))
    return list(zip(hues, document.rng.sample(range(1, 31), len(hues)), strict=True))


def curve(document: Document) -> Turn:
    """Temperatures of a day as a line, with the first and the last value printed."""
    values = of_split(document, lambda: _temperatures(document))
    low, high = min(values), max(values)
    scale = 40 / max(high - low, 8)
    points = tuple((8 + 68 * i / (len(values) - 1), round(66 - (v - low) * scale, 1)) for i, v in enumerate(values))
    marks = [line(((4, 80), (80, 80))), line(points, COLOURS[document.choice(["red", "blue"])])]
    ends = ((points[0], values[0], 11), (points[-1], values[-1], 73))
    marks += [text(str(value), x, round(max(8.0, py - 10), 1), 13) for (_, py), value, x in ends]
    marks += [circle(px, py, 2.5, INK) for px, py in points]
    turns = [
        asked(document, "trend", "trend", f"{_trend(values)}."),
        asked(document, "last value", "last", f"{values[-1]}."),
        asked(document, "first value", "first", f"{values[0]}."),
    ]
    document.rng.shuffle(turns)
    return tagged((Picture(PAPER[0], tuple(marks)),), turns)


def _temperatures(document: Document) -> list[int]:
    """Four or five values that rise, fall, or turn once."""
    count, kind = document.rng.randint(4, 5), document.rng.randrange(4)
    steps = [document.rng.randint(2, 6) for _ in range(count - 1)]
    turn = document.rng.randint(1, count - 2)
    signs = [((1, 1), (-1, -1), (1, -1), (-1, 1))[kind][i >= turn] for i in range(count - 1)]
    values = [0]
    for sign_, step in zip(signs, steps, strict=True):
        values.append(values[-1] + sign_ * step)
    start = document.rng.randint(1, 12) - min(values)
    return [start + value for value in values]


def _trend(values: list[int]) -> str:
    ways = ["rises" if b > a else "falls" for a, b in pairwise(values)]
    return f"it {ways[0]}" if len(set(ways)) == 1 else f"it {ways[0]}, then {ways[-1]}"
