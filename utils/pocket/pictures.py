"""The pictures that pocket-phi-3.5-vision learns from, drawn by this code: shapes, signs, charts, weather.

A picture is a list of marks on a square of SIDE units, so that the same picture can be drawn small for the model and
large for a reader. This module draws; what is asked about a picture is `tasks/looking.py`'s business.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from PIL import Image, ImageDraw, ImageFont

SIDE = 84  # pixels of a side as the model sees it
PATCH = 14  # pixels of a side; each patch becomes one token
ACROSS = SIDE // PATCH
SMOOTH = 2  # drawn this many times larger and then reduced, for smooth edges

COLOURS = {
    "red": (214, 39, 40),
    "blue": (31, 119, 200),
    "green": (40, 150, 60),
    "yellow": (240, 200, 30),
    "purple": (140, 80, 190),
    "black": (30, 30, 30),
}
PAPER = ((255, 255, 255), (245, 240, 225), (225, 235, 245), (235, 235, 235))
INK = (30, 30, 30)
GREY, DARK, ICE = (165, 175, 190), (110, 120, 135), (120, 200, 240)
Colour = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True)
class Mark:
    """One thing on a picture. `points` in units of SIDE: centre and radius as (x, y), (r, r) for what has them, the
    corners of polygons and lines, the middle of a text, whose size is its second point's first number. `words`: what
    one would call it."""

    kind: str  # "circle", "polygon", "line" or "text"
    points: tuple[Point, ...]
    colour: Colour
    text: str = ""
    words: tuple[str, ...] = ()

    def area(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom."""
        if self.kind == "circle":
            (x, y), (r, _) = self.points
            return x - r, y - r, x + r, y + r
        xs, ys = zip(*self.points, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def letters(self) -> list[tuple[str, float, float]]:
        """Each letter of a text with its middle."""
        (x, y), (size, _) = self.points
        left = x - width(self.text, size) / 2
        ends = [width(self.text[:i], size) for i in range(len(self.text) + 1)]
        return [(c, left + (a + b) / 2, y) for c, a, b in zip(self.text, ends, ends[1:], strict=False)]


@dataclass(frozen=True)
class Picture:
    """A background colour and what is on it, in order."""

    paper: Colour
    marks: tuple[Mark, ...]

    def draw(self, side: int = SIDE) -> Image.Image:
        """The picture as RGB, `side` pixels square."""
        scale = side * SMOOTH / SIDE
        image = Image.new("RGB", (side * SMOOTH, side * SMOOTH), self.paper)
        pen = ImageDraw.Draw(image)
        for mark in self.marks:
            _draw(pen, mark, scale)
        return image.resize((side, side), Image.Resampling.BOX)

    def named(self) -> list[tuple[str, ...]]:
        """For each patch, row by row, what one would call what is there: "red" and "circle", or a letter."""
        found: list[tuple[str, ...]] = [()] * ACROSS**2
        for mark in self.marks:
            if mark.text:
                for letter, x, y in mark.letters():
                    patch = _patch(x, y)  # in which it is alone, or beside another letter
                    found[patch] = (*(word for word in found[patch] if len(word) == 1), letter)
            elif mark.words:
                for patch in _under(mark.area()):
                    found[patch] = mark.words
        return found

    def _repr_png_(self) -> bytes:
        """As a notebook shows it: four times as large."""
        return png(self.draw(4 * SIDE))


def _patch(x: float, y: float) -> int:
    column, row = (min(max(int(value // PATCH), 0), ACROSS - 1) for value in (x, y))
    return row * ACROSS + column


def _under(area: tuple[float, float, float, float]) -> set[int]:
    """The patches whose middle lies well inside the area, and the one of its own middle."""
    left, top, right, bottom = area
    dx, dy = 0.1 * (right - left), 0.1 * (bottom - top)
    middles = [((i % ACROSS + 0.5) * PATCH, (i // ACROSS + 0.5) * PATCH) for i in range(ACROSS**2)]
    inside = {i for i, (x, y) in enumerate(middles) if left + dx <= x <= right - dx and top + dy <= y <= bottom - dy}
    return inside | {_patch((left + right) / 2, (top + bottom) / 2)}


def png(image: Image.Image) -> bytes:
    """The image in a file of the format PNG."""
    from io import BytesIO

    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _draw(pen: ImageDraw.ImageDraw, mark: Mark, scale: float) -> None:
    points: list[Any] = [(x * scale, y * scale) for x, y in mark.points]
    if mark.kind == "circle":
        (x, y), (r, _) = points
        pen.ellipse((x - r, y - r, x + r, y + r), fill=mark.colour)
    elif mark.kind == "polygon":
        pen.polygon(points, fill=mark.colour)
    elif mark.kind == "line":
        pen.line(points, fill=mark.colour, width=round(2.2 * scale), joint="curve")
    else:
        middle, (size, _) = points
        pen.text(middle, mark.text, fill=mark.colour, font=_font(round(size)), anchor="mm")


@cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def text(words: str, x: float, y: float, size: float, colour: Colour = INK) -> Mark:
    """Printed words around a middle; `size` is that of the font."""
    return Mark("text", ((x, y), (size, 0.0)), colour, words)


def width(words: str, size: float) -> float:
    """How wide printed words are, in units of SIDE."""
    return float(_font(round(size * SMOOTH)).getlength(words)) / SMOOTH


def box(left: float, top: float, right: float, bottom: float, colour: Colour, *words: str) -> Mark:
    """A filled rectangle."""
    return Mark("polygon", ((left, top), (right, top), (right, bottom), (left, bottom)), colour, words=words)


def circle(x: float, y: float, r: float, colour: Colour, *words: str) -> Mark:
    """A filled circle."""
    return Mark("circle", ((x, y), (r, r)), colour, words=words)


def line(points: tuple[Point, ...], colour: Colour = INK) -> Mark:
    """A line through the points."""
    return Mark("line", points, colour)


def _around(x: float, y: float, r: float, radii: tuple[float, ...], turn: float = -90.0) -> tuple[Point, ...]:
    """Corners around a middle, evenly spread, at the given shares of `r`, beginning at the top."""
    corners = []
    for i, share in enumerate(radii):
        angle = math.radians(turn + 360 * i / len(radii))
        corners.append((round(x + r * share * math.cos(angle), 2), round(y + r * share * math.sin(angle), 2)))
    return tuple(corners)


def shape(kind: str, x: float, y: float, r: float, hue: str) -> Mark:
    """One of SHAPES around (x, y), about 2 r wide."""
    colour, words = COLOURS[hue], (hue, kind)
    if kind == "circle":
        return circle(x, y, r, colour, *words)
    if kind == "square":
        return box(x - 0.85 * r, y - 0.85 * r, x + 0.85 * r, y + 0.85 * r, colour, *words)
    if kind == "triangle":
        corners = _around(x, y + 0.15 * r, 1.15 * r, (1.0, 1.0, 1.0))
    elif kind == "star":
        corners = _around(x, y, 1.1 * r, (1.0, 0.42) * 5)
    else:  # a cross
        arm = 0.36 * r
        inner = ((-arm, -r), (arm, -r), (arm, -arm), (r, -arm), (r, arm), (arm, arm))
        corners = tuple((x + dx, y + dy) for dx, dy in (*inner, *((-dx, -dy) for dx, dy in inner)))
    return Mark("polygon", corners, colour, words=words)


SHAPES = ("circle", "square", "triangle", "star", "cross")


def arrow(left: bool, x: float, y: float, length: float, colour: Colour) -> tuple[Mark, Mark]:
    """An arrow around a middle, to the left or to the right."""
    way, half = (-1 if left else 1), length / 2
    tip, neck, end = x + way * half, x + way * (half - 9), x - way * half
    shaft = box(min(neck, end), y - 2, max(neck, end), y + 2, colour)
    head = ((tip, y), (neck, y - 6), (neck, y + 6))
    return shaft, Mark("polygon", head, colour, words=("left" if left else "right",))


def weather(kind: str, x: float, y: float, r: float) -> tuple[Mark, ...]:
    """One of WEATHER around (x, y), about 2 r wide."""
    if kind == "sun":
        near, far = (_around(x, y, share * r, (1.0,) * 8) for share in (0.7, 1.0))
        rays = (line(ends, COLOURS["yellow"]) for ends in zip(near, far, strict=True))
        return (circle(x, y, 0.55 * r, COLOURS["yellow"], kind), *rays)
    grey, high, low = DARK if kind == "storm" else GREY, y - 0.3 * r, y + 0.2 * r
    puffs = ((-0.5, 0.0, 0.38), (0.5, 0.0, 0.38), (0.0, -0.2, 0.5))
    cloud = [circle(x + dx * r, high + dy * r, size * r, grey, kind) for dx, dy, size in puffs]
    if kind == "rain":
        drops = [((x + dx * r, low), (x + (dx - 0.15) * r, low + 0.6 * r)) for dx in (-0.45, 0.0, 0.45)]
        return (*cloud, *(line(ends, COLOURS["blue"]) for ends in drops))
    if kind == "snow":
        flakes = ((-0.5, 0.1), (0.0, 0.2), (0.5, 0.1), (-0.25, 0.5), (0.25, 0.5))
        return (*cloud, *(circle(x + dx * r, low + dy * r, 0.12 * r, ICE, kind) for dx, dy in flakes))
    if kind == "storm":
        flash = ((0.15, -0.1), (-0.25, 0.35), (0.0, 0.35), (-0.15, 0.8), (0.3, 0.2), (0.05, 0.2))
        corners = tuple((x + dx * r, low + dy * r) for dx, dy in flash)
        return (*cloud, Mark("polygon", corners, COLOURS["yellow"], words=(kind,)))
    return tuple(cloud)


WEATHER = ("sun", "clouds", "rain", "snow", "storm")
