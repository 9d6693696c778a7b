"""Questions about pictures: shapes, signs, charts, what changed between two pictures, and the weather in a row of them.

A prompt begins with `<|image_1|>` for each picture, as Phi-3.5-vision's do. A picture's content decides its split, and
the letters of a sign's word do, so that no picture and no word of the held-out split was ever trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any
from zlib import crc32

from .. import pictures as draw
from ..grammar import Document, load
from ..pictures import COLOURS, INK, PAPER, SHAPES, SIDE, WEATHER, Mark, Picture, box, circle, line, text
from . import Task, Turn
from .exchange import capital

PLACES = ("top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right")
SKY = (205, 228, 246)
NUMBERS = ("none", "one", "two", "three", "four", "five", "six")


def _asked(document: Document, task: str, name: str, reply: str, **values: str) -> Turn:
    """A question in one of the wordings of data/corpus/pictures.toml."""
    document.slots.update(values)
    return Turn(task, document.frame(load("pictures")[name]), capital(reply))


def _tagged(pictures: tuple[Picture, ...], turns: list[Turn]) -> Turn:
    """The turns as one conversation about the pictures."""
    first, *then = turns
    tags = "".join(f"<|image_{i}|>\n" for i in range(1, len(pictures) + 1))
    return replace(first, prompt=tags + first.prompt, pictures=pictures, then=tuple(then))


def _of_split(document: Document, make: Callable[[], Any]) -> Any:
    """Something drawn by `make` whose content belongs to the document's split."""
    while True:
        made = make()
        if (crc32(repr(made).encode()) % 8 == 5) == document.held_out:
            return made


# ---- shapes ----


@dataclass(frozen=True)
class Thing:
    """A shape in a colour on one of nine places."""

    colour: str
    kind: str
    place: int

    def __str__(self) -> str:
        return f"{self.colour} {self.kind}"


def _things(document: Document, low: int, high: int) -> tuple[Thing, ...]:
    """In reading order; no two alike."""
    kinds = document.rng.sample([(c, k) for c in COLOURS for k in SHAPES], document.rng.randint(low, high))
    if document.chance(0.5):  # several of one shape, so that counting is worth it
        kind = document.choice(SHAPES)
        kinds = list(dict.fromkeys((c, kind if document.chance(0.6) else k) for c, k in kinds))
    places = sorted(document.rng.sample(range(9), len(kinds)))
    return tuple(Thing(c, k, place) for (c, k), place in zip(kinds, places, strict=True))


Layout = list[tuple[float, float, float]]  # for each place: middle x and y, radius


def _layout(document: Document) -> Layout:
    """Not quite a grid, and of several sizes."""
    step = SIDE / 3

    def off() -> float:
        return document.rng.uniform(-2.5, 2.5)

    return [
        (round(step * (i % 3 + 0.5) + off(), 1), round(step * (i // 3 + 0.5) + off(), 1), document.rng.uniform(8, 11.5))
        for i in range(9)
    ]


def _scene(paper: draw.Colour, layout: Layout, things: tuple[Thing, ...]) -> Picture:
    return Picture(paper, tuple(draw.shape(t.kind, *layout[t.place], t.colour) for t in things))


def shapes(document: Document) -> Turn:
    """Colours, shapes, counts and places."""
    things = _of_split(document, lambda: _things(document, 1, 5))
    picture = _scene(document.choice(PAPER), _layout(document), things)
    asking = (_colour, _shape, _count_kind, _count_colour, _count, _at, _where, _described)
    turns = [document.choice(asking)(document, things) for _ in range(document.rng.randint(4, 6))]
    return _tagged((picture,), turns)


def _single(document: Document, things: tuple[Thing, ...], by: str) -> Thing | None:
    """A thing that is the only one of its kind or colour, if there is one."""
    values = [getattr(thing, by) for thing in things]
    single = [thing for thing in things if values.count(getattr(thing, by)) == 1]
    return document.choice(single) if single else None


def _colour(document: Document, things: tuple[Thing, ...]) -> Turn:
    thing = _single(document, things, "kind")
    if thing is None:
        return _count(document, things)
    return _asked(document, "colour", "colour", f"{thing.colour}.", kind=thing.kind)


def _shape(document: Document, things: tuple[Thing, ...]) -> Turn:
    thing = _single(document, things, "colour")
    if thing is None:
        return _count(document, things)
    return _asked(document, "shape", "shape", f"a {thing.kind}.", hue=thing.colour)


def _count_kind(document: Document, things: tuple[Thing, ...]) -> Turn:
    kind = document.choice([*SHAPES, *(thing.kind for thing in things)])
    count = sum(thing.kind == kind for thing in things)
    return _asked(document, "count", "count_kind", f"{NUMBERS[count]}.", kind=kind)


def _count_colour(document: Document, things: tuple[Thing, ...]) -> Turn:
    hue = document.choice([*COLOURS, *(thing.colour for thing in things)])
    count = sum(thing.colour == hue for thing in things)
    return _asked(document, "count", "count_colour", f"{NUMBERS[count]}.", hue=hue)


def _count(document: Document, things: tuple[Thing, ...]) -> Turn:
    return _asked(document, "count", "count_all", f"{NUMBERS[len(things)]}.")


def _at(document: Document, things: tuple[Thing, ...]) -> Turn:
    place = document.choice([*range(9), *(thing.place for thing in things)])
    found = [thing for thing in things if thing.place == place]
    return _asked(document, "place", "at", f"a {found[0]}." if found else "nothing.", where=PLACES[place])


def _where(document: Document, things: tuple[Thing, ...]) -> Turn:
    thing = document.choice(things)
    return _asked(document, "place", "where", f"{PLACES[thing.place]}.", hue=thing.colour, kind=thing.kind)


def _described(document: Document, things: tuple[Thing, ...]) -> Turn:
    return _asked(document, "described", "describe", f"{listed([f'a {thing}' for thing in things])}.")


def listed(parts: list[str]) -> str:
    """a, b and c."""
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]


# ---- signs ----


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
    word = _of_split(document, lambda: _sign_word(document))
    hue = document.choice([*COLOURS, "white", "white"])
    board = COLOURS.get(hue, (255, 255, 255))
    ink = INK if hue in ("white", "yellow") else (255, 255, 255)
    has_arrow = document.chance(0.5)
    # About one letter a patch: with letters anywhere none was read after 500 steps of looking and 900 more.
    pitch, off = document.rng.uniform(13.6, 14.4), [document.rng.uniform(-2.5, 2.5) for _ in "xy"]
    x = draw.PATCH * (document.rng.randint(0, draw.ACROSS - len(word)) + 0.5) + off[0]
    y = draw.PATCH * (document.rng.randint(1, 2 if has_arrow else 4) + 0.5) + off[1]
    bottom, size = y + (30 if has_arrow else 14), document.rng.uniform(16, 20)
    marks: list[Mark] = [box(0, y - 14, SIDE, bottom, board, hue)]
    marks += [text(letter, round(x + i * pitch, 1), round(y, 1), round(size, 1), ink) for i, letter in enumerate(word)]
    task = "number" if word.isdigit() else "word" if len(word) == 4 else "short word"
    turns = [_asked(document, task, "number" if word.isdigit() else "read", word)]
    others = [_asked(document, "sign colour", "sign_colour", f"{hue}.")]
    if has_arrow:
        left = document.chance(0.5)
        marks += draw.arrow(left, SIDE / 2, y + 20, document.rng.choice([24, 32, 40]), ink)
        others.append(_asked(document, "arrow", "arrow", "left." if left else "right."))
    papers = [p for p in PAPER if p != board]
    turns.append(document.choice(others))
    return _tagged((Picture(document.choice(papers), tuple(marks)),), turns)


# ---- charts ----


def bars(document: Document) -> Turn:
    """A chart of three or four coloured bars, each with its value above it."""
    content = _of_split(document, lambda: _bars(document))
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
        _asked(document, "largest bar", "largest", f"the {top_hue} bar, {top}."),
        _asked(document, "smallest bar", "smallest", f"the {low_hue} bar, {low}."),
    ]
    for hue, value in document.rng.sample(content, 2):
        turns.append(_asked(document, "bar", "bar", f"{value}.", hue=hue))
    document.rng.shuffle(turns)
    return _tagged((picture,), turns)


def _bars(document: Document) -> list[tuple[str, int]]:
    hues = document.rng.sample(list(COLOURS), document.rng.randint(3, 4))
    return list(zip(hues, document.rng.sample(range(1, 31), len(hues)), strict=True))


def curve(document: Document) -> Turn:
    """Temperatures of a day as a line, with the first and the last value printed."""
    values = _of_split(document, lambda: _temperatures(document))
    low, high = min(values), max(values)
    scale = 40 / max(high - low, 8)
    points = tuple((8 + 68 * i / (len(values) - 1), round(66 - (v - low) * scale, 1)) for i, v in enumerate(values))
    marks = [line(((4, 80), (80, 80))), line(points, COLOURS[document.choice(["red", "blue"])])]
    ends = ((points[0], values[0], 11), (points[-1], values[-1], 73))
    marks += [text(str(value), x, round(max(8.0, py - 10), 1), 13) for (_, py), value, x in ends]
    marks += [circle(px, py, 2.5, INK) for px, py in points]
    turns = [
        _asked(document, "trend", "trend", f"{_trend(values)}."),
        _asked(document, "last value", "last", f"{values[-1]}."),
        _asked(document, "first value", "first", f"{values[0]}."),
    ]
    document.rng.shuffle(turns)
    return _tagged((Picture(PAPER[0], tuple(marks)),), turns)


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


# ---- several pictures ----


def changed(document: Document) -> Turn:
    """Two pictures of shapes, and what is different in the second."""
    before, after, said = _of_split(document, lambda: _change(document))
    paper, layout = document.choice(PAPER), _layout(document)
    pictures = (_scene(paper, layout, before), _scene(paper, layout, after))
    return _tagged(pictures, [_asked(document, "change", "change", said), *_about_two(document, before, after)])


def _about_two(document: Document, before: tuple[Thing, ...], after: tuple[Thing, ...]) -> list[Turn]:
    """A question about one of the two."""
    number, things = document.choice([(1, before), (2, after)])
    return [_asked(document, "count in two", "count_in", f"{NUMBERS[len(things)]}.", number=str(number))]


def _change(document: Document) -> tuple[tuple[Thing, ...], tuple[Thing, ...], str]:
    before = _things(document, 2, 4)
    thing, kind = document.choice(before), document.rng.randrange(9)
    rest = tuple(t for t in before if t != thing)
    free = [place for place in range(9) if place not in {t.place for t in before}]
    if kind < 2:
        return before, rest, f"the {thing} is gone."
    if kind < 4:
        return rest, before, f"there is a new {thing}."
    if kind < 6:
        hue = document.choice([c for c in COLOURS if all((c, thing.kind) != (t.colour, t.kind) for t in before)])
        now, said = replace(thing, colour=hue), f"the {thing} is now {hue}."
    elif kind < 8:
        place = document.choice(free)
        now, said = replace(thing, place=place), f"the {thing} is now {_in(place)}."
    else:
        return before, before, "nothing changed."
    return before, tuple(sorted((*rest, now), key=lambda t: t.place)), said


def _in(place: int) -> str:
    return f"at the {PLACES[place]}" if PLACES[place] in ("top", "bottom") else f"in the {PLACES[place]}"


def frames(document: Document) -> Turn:
    """Two or three pictures of the weather, one after the other."""
    kinds = _of_split(document, lambda: _kinds(document))
    pictures = tuple(
        Picture(
            SKY,
            draw.weather(
                kind, document.rng.uniform(34, 50), document.rng.uniform(34, 50), document.rng.uniform(22, 30)
            ),
        )
        for kind in kinds
    )
    asked = document.rng.randrange(len(kinds))
    turns = [
        _asked(document, "frames", "frames", f"{', then '.join(kinds)}."),
        _asked(document, "frame", "frame", f"{kinds[asked]}.", number=str(asked + 1)),
    ]
    document.rng.shuffle(turns)
    return _tagged(pictures, turns)


def _kinds(document: Document) -> tuple[Any, ...]:
    return tuple(document.choice(WEATHER) for _ in range(document.rng.randint(1, 3)))


# name: (share, task, the tasks of its turns)
KINDS: dict[str, tuple[float, Task, tuple[str, ...]]] = {
    "shapes": (24, shapes, ("colour", "shape", "count", "place", "described")),
    "signs": (24, sign, ("word", "number", "arrow", "sign colour")),
    "bars": (14, bars, ("largest bar", "smallest bar", "bar")),
    "curves": (6, curve, ("trend", "first value", "last value")),
    "changes": (14, changed, ("change",)),
    "weather": (5, frames, ("frames", "frame")),
}
