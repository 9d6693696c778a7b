"""Draws the lessons' diagrams: boxes and arrows as SVG, readable on a light and on a dark page.

    python lessons/images/draw.py [FOLDER]

Boxes are light with dark letters; what lies on the page itself is of a grey that both themes show.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

INK, PAPER = "#767676", "#1a1a1a"
BLUE, ORANGE, GREEN, GREY = "#9ad0f5", "#ffc38a", "#a6e3c8", "#dddddd"
LINE = 18  # pixels from one line of text to the next


@dataclass(frozen=True)
class Box:
    """A box with its centre at (x, y)."""

    x: float
    y: float
    text: str
    fill: str = GREY
    width: float = 120

    @property
    def height(self) -> float:
        return LINE * len(self.text.split("\n")) + 16

    def svg(self) -> str:
        left, top = self.x - self.width / 2, self.y - self.height / 2
        size = f'width="{self.width:g}" height="{self.height:g}"'
        shape = f'<rect x="{left:g}" y="{top:g}" {size} rx="8" fill="{self.fill}"/>'
        return shape + label(self.x, self.y, self.text, PAPER)


def label(x: float, y: float, text: str, ink: str = INK) -> str:
    """Lines of text, centred."""
    lines = text.split("\n")
    first = y - LINE * (len(lines) - 1) / 2 + 5
    spans = "".join(f'<tspan x="{x:g}" y="{first + LINE * i:g}">{escape(line)}</tspan>' for i, line in enumerate(lines))
    return f'<text text-anchor="middle" fill="{ink}">{spans}</text>'


def arrow(*points: tuple[float, float]) -> str:
    """A line through the points, with a head at its end."""
    path = " L".join(f"{x:g} {y:g}" for x, y in points)
    return f'<path d="M{path}" fill="none" stroke="{INK}" stroke-width="2" marker-end="url(#head)"/>'


def picture(width: int, height: int, title: str, *parts: Box | str) -> str:
    """The whole file. `title` is what a screen reader reads."""
    head = (
        f'<marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 L10 5 L0 10 z" fill="{INK}"/></marker>'
    )
    drawn = "\n".join(part.svg() if isinstance(part, Box) else part for part in parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="14" role="img"><title>{escape(title)}</title>'
        f"<defs>{head}</defs>\n{drawn}\n</svg>\n"
    )


def next_token() -> str:
    """Lesson 01: text comes from asking for one token again and again."""
    return picture(
        720, 165, "Text goes into the model, out come probabilities, one token is picked and put after the text",
        Box(90, 60, "The hut is", BLUE, 130), arrow((157, 60), (223, 60)), Box(290, 60, "language\nmodel", ORANGE),
        arrow((352, 60), (408, 60)), Box(490, 60, "a probability\nfor each of\n5,120 tokens", GREY, 150),
        arrow((567, 60), (613, 60)), Box(665, 60, "pick\none", GREEN, 90),
        arrow((665, 80), (665, 150), (90, 150), (90, 80)), label(380, 134, "put it after the text, and ask again"),
    )  # fmt: skip


def training() -> str:
    """Lesson 02: the way from pages to a model that answers."""
    steps = (
        ("collect", "pages", GREY), ("clean", "good text", BLUE), ("cut", "tokens", BLUE),
        ("pre-train", "a model that\ncontinues text", ORANGE), ("tune", "a model that\nanswers", GREEN),
    )  # fmt: skip
    parts: list[Box | str] = []
    for i, (verb, made, colour) in enumerate(steps):
        x = 75 + 148 * i
        parts += [label(x, 24, f"{i + 1}. {verb}"), Box(x, 80, made, colour, 122)]
        parts += [arrow((x + 63, 80), (x + 85, 80))] if i < 4 else []
    return picture(
        745, 120, "Collect, clean, cut into tokens, pre-train, tune: five steps to a model that answers", *parts
    )


def routing() -> str:
    """Lesson 03: the small model first."""
    return picture(
        720, 170, "The small model is asked first. Was it sure, its answer is taken; if not, the large one is asked",
        Box(70, 50, "question", GREY, 110), arrow((127, 50), (178, 50)), Box(250, 50, "small model", BLUE, 140),
        arrow((322, 50), (388, 50)), Box(460, 50, "was it sure?", GREY, 140), arrow((532, 50), (598, 50)),
        label(565, 36, "yes"), Box(655, 50, "answer", GREEN, 110), arrow((460, 70), (460, 117)), label(482, 96, "no"),
        Box(460, 137, "large model", ORANGE, 140), arrow((532, 137), (655, 137), (655, 70)),
    )  # fmt: skip


def layers() -> str:
    """Lesson 04: what is in a Phi-3."""
    frame = f'<rect x="176" y="14" width="388" height="132" rx="10" fill="none" stroke="{INK}" stroke-dasharray="5 4"/>'
    return picture(
        760, 180, "Token table, 32 layers of attention and MLP, each after a norm and added again, then the output",
        Box(70, 80, "token\ntable", BLUE, 100), arrow((122, 80), (192, 80)), frame,
        label(370, 163, "one layer; Phi-3-mini has 32 of them"),
        Box(224, 80, "norm", GREY, 58), arrow((255, 80), (272, 80)), Box(326, 80, "attention", ORANGE, 102),
        arrow((379, 80), (396, 80)), Box(427, 80, "norm", GREY, 58), arrow((458, 80), (475, 80)),
        Box(514, 80, "MLP", GREEN, 72),
        arrow((184, 80), (184, 38), (390, 38), (390, 72)), arrow((391, 88), (391, 126), (557, 126), (557, 86)),
        label(288, 28, "added again"), label(474, 115, "added again"),
        arrow((552, 80), (622, 80)), Box(690, 80, "output:\none number\nfor each token", BLUE, 128),
    )  # fmt: skip


PICTURES = {"next-token": next_token, "training": training, "routing": routing, "layers": layers}


def draw(folder: Path) -> None:
    """Write every picture into `folder`."""
    for name, made in PICTURES.items():
        (folder / f"{name}.svg").write_text(made(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
