"""Shapes on a picture, what changed between two pictures, and the weather in a row of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .. import pictures as draw
from ..grammar import Document
from ..pictures import COLOURS, PAPER, SHAPES, SIDE, WEATHER, Picture
from . import Turn
from .asking import asked, of_split, tagged

PLACES = ("top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right")
SKY = (205, 228, 246)
NUMBERS = ("none", "one", "two", "three", "four", "five", "six")


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
    things = of_split(document, lambda: _things(document, 1, 5))
    picture = _scene(document.choice(PAPER), _layout(document), things)
    asking = (_colour, _shape, _count_kind, _count_colour, _count, _at, _where, _described)
    turns = [document.choice(asking)(document, things) for _ in range(document.rng.randint(4, 6))]
    return tagged((picture,), turns)


def _single(document: Document, things: tuple[Thing, ...], by: str) -> Thing | None:
    """A thing that is the only one of its kind or colour, if there is one."""
    values = [getattr(thing, by) for thing in things]
    single = [thing for thing in things if values.count(getattr(thing, by)) == 1]
    return document.choice(single) if single else None


def _colour(document: Document, things: tuple[Thing, ...]) -> Turn:
    thing = _single(document, things, "kind")
    if thing is None:
        return _count(document, things)
    return asked(document, "colour", "colour", f"{thing.colour}.", kind=thing.kind)


def _shape(document: Document, things: tuple[Thing, ...]) -> Turn:
    thing = _single(document, things, "colour")
    if thing is None:
        return _count(document, things)
    return asked(document, "shape", "shape", f"a {thing.kind}.", hue=thing.colour)


def _count_kind(document: Document, things: tuple[Thing, ...]) -> Turn:
    kind = document.choice([*SHAPES, *(thing.kind for thing in things)])
    count = sum(thing.kind == kind for thing in things)
    kinds = f"{kind}es" if kind == "cross" else f"{kind}s"
    return asked(document, "count", "count_kind", f"{NUMBERS[count]}.", kinds=kinds)


def _count_colour(document: Document, things: tuple[Thing, ...]) -> Turn:
    hue = document.choice([*COLOURS, *(thing.colour for thing in things)])
    count = sum(thing.colour == hue for thing in things)
    return asked(document, "count", "count_colour", f"{NUMBERS[count]}.", hue=hue)


def _count(document: Document, things: tuple[Thing, ...]) -> Turn:
    return asked(document, "count", "count_all", f"{NUMBERS[len(things)]}.")


def _at(document: Document, things: tuple[Thing, ...]) -> Turn:
    place = document.choice([*range(9), *(thing.place for thing in things)])
    found = [thing for thing in things if thing.place == place]
    return asked(document, "place", "at", f"a {found[0]}." if found else "nothing.", where=PLACES[place])


def _where(document: Document, things: tuple[Thing, ...]) -> Turn:
    thing = document.choice(things)
    return asked(document, "place", "where", f"{PLACES[thing.place]}.", hue=thing.colour, kind=thing.kind)


def _described(document: Document, things: tuple[Thing, ...]) -> Turn:
    return asked(document, "described", "describe", f"{listed([f'a {thing}' for thing in things])}.")


def listed(parts: list[str]) -> str:
    """a, b and c."""
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]


def changed(document: Document) -> Turn:
    """Two pictures of shapes, and what is different in the second."""
    before, after, said = of_split(document, lambda: _change(document))
    paper, layout = document.choice(PAPER), _layout(document)
    pictures = (_scene(paper, layout, before), _scene(paper, layout, after))
    return tagged(pictures, [asked(document, "change", "change", said), *_about_two(document, before, after)])


def _about_two(document: Document, before: tuple[Thing, ...], after: tuple[Thing, ...]) -> list[Turn]:
    """A question about one of the two."""
    number, things = document.choice([(1, before), (2, after)])
    return [asked(document, "count in two", "count_in", f"{NUMBERS[len(things)]}.", number=str(number))]


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
    kinds = of_split(document, lambda: _kinds(document))
    pictures = tuple(
        Picture(
            SKY,
            draw.weather(
                kind, document.rng.uniform(34, 50), document.rng.uniform(34, 50), document.rng.uniform(22, 30)
            ),
        )
        for kind in kinds
    )
    one = document.rng.randrange(len(kinds))
    turns = [
        asked(document, "frames", "frames", f"{', then '.join(kinds)}."),
        asked(document, "frame", "frame", f"{kinds[one]}.", number=str(one + 1)),
    ]
    document.rng.shuffle(turns)
    return tagged(pictures, turns)


def _kinds(document: Document) -> tuple[Any, ...]:
    return tuple(document.choice(WEATHER) for _ in range(document.rng.randint(1, 3)))
