"""Figures for the lessons: numbers in, a picture with its description out.

They know nothing of models. Colours are Okabe and Ito's, which people with colour blindness can tell apart; lines and
letters keep their contrast on a light and on a dark page, because the ground is the page's own.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from html import escape
from statistics import median
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import matplotlib
from matplotlib import rcsetup
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from utils.measure import Speed

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")  # Okabe and Ito 2008
INK = "#767676"  # a contrast of 4.5 to 1 with white, and of 4.2 with JupyterLab's dark ground
STYLE: Any = {
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": rcsetup.cycler(color=COLOURS),
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "lines.linewidth": 2,
}
WIDTH, DPI = 7.5, 110  # inches: as wide as a notebook's text
P = ParamSpec("P")


class Plot:
    """A picture and what it shows in words: what a screen reader reads, and `print(plot)` says."""

    def __init__(self, figure: Figure, alt: str) -> None:
        self.figure, self.alt = figure, alt

    def __repr__(self) -> str:
        return self.alt

    def png(self) -> bytes:
        """The picture as a file."""
        file = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            self.figure.savefig(file, format="png", dpi=DPI, bbox_inches="tight")
        return file.getvalue()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """As HTML, because JupyterLab gives a plain PNG no description that a screen reader could read."""
        data = base64.b64encode(self.png()).decode()
        image = f'<img alt="{escape(self.alt)}" style="max-width:100%" src="data:image/png;base64,{data}">'
        return {"text/html": image, "text/plain": self.alt}


def _drawn(draw: Callable[Concatenate[Axes, P], str]) -> Callable[P, Plot]:
    """Makes of a function that draws on axes, and says what is to be seen, one that returns a plot."""

    @wraps(draw)
    def made(*arguments: P.args, **named: P.kwargs) -> Plot:
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
            return Plot(figure, draw(figure.subplots(), *arguments, **named))

    return made


@_drawn
def speed_bars(axes: Axes, speeds: Sequence[Speed]) -> str:
    """Decode speeds as bars, with 95 % intervals."""
    from utils.measure import interval

    middles = [median(one.tokens_per_s) for one in speeds]
    ranges = [interval(one.tokens_per_s) for one in speeds]
    places = range(len(speeds))
    errors = [
        [m - low for m, (low, _) in zip(middles, ranges, strict=True)],
        [high - m for m, (_, high) in zip(middles, ranges, strict=True)],
    ]
    colours = [COLOURS[i % len(COLOURS)] for i in places]
    axes.barh(places, middles, color=colours, xerr=errors, error_kw={"ecolor": INK, "capsize": 4})
    axes.set_yticks(places, [one.name for one in speeds])
    axes.invert_yaxis()
    axes.set_xlabel("decode speed in tokens/s: median, 95 % interval")
    return "Decode speed. " + " ".join(
        f"{one.name}: {m:,.0f} tokens/s ({low:,.0f} to {high:,.0f})."
        for one, m, (low, high) in zip(speeds, middles, ranges, strict=True)
    )


@_drawn
def first_token(axes: Axes, curves: Mapping[str, Mapping[int, float]]) -> str:
    """Seconds to the first token against the tokens of the prompt, a curve for each name."""
    _curves(axes, {name: {n: 1000 * s for n, s in curve.items()} for name, curve in curves.items()})
    axes.set(xlabel="tokens in the prompt", ylabel="time to first token in ms", ylim=(0, None))
    return "Time to first token against prompt length. " + _ends(curves, "tokens", 1000, "ms")


@_drawn
def quality(axes: Axes, models: Mapping[str, tuple[float, float]], task: str) -> str:
    """Held-out score against size: for each model its million parameters and its share of right answers."""
    for i, (name, (millions, share)) in enumerate(models.items()):
        axes.scatter([millions], [100 * share], s=80, color=COLOURS[i % len(COLOURS)], zorder=3)
        axes.annotate(name, (millions, 100 * share), xytext=(8, -4), textcoords="offset points")
    axes.set(xscale="log", xlabel="parameters in millions (log scale)", ylabel=f"{task}: right answers in %")
    axes.set_ylim(0, 105)
    axes.margins(x=0.25)
    axes.xaxis.set_major_formatter("{x:g}")
    return f"Quality against size, {task}. " + " ".join(
        f"{name}: {millions:.1f} million, {share:.0%}." for name, (millions, share) in models.items()
    )


@_drawn
def losses(axes: Axes, curves: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Training losses, in nats a token, against steps."""
    _curves(axes, {name: dict(curve) for name, curve in curves.items()}, marker="")
    axes.set(xlabel="training steps", ylabel="loss in nats per token", ylim=(0, None))
    return "Training loss. " + _ends({name: dict(curve) for name, curve in curves.items()}, "steps", 1, "nats")


@_drawn
def memory(axes: Axes, curves: Mapping[str, Mapping[int, float]]) -> str:
    """Gigabytes against context length."""
    _curves(axes, curves)
    axes.set(xlabel="context in tokens", ylabel="memory in GB", ylim=(0, None))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return "Memory against context length. " + _ends(curves, "tokens", 1, "GB")


@_drawn
def lines(axes: Axes, curves: Mapping[str, Mapping[float, float]], x: str, y: str) -> str:
    """Any curves: `x` and `y` say what the axes are, with their units. Both begin at 0."""
    _curves(axes, curves)
    top = max(value for curve in curves.values() for value in curve.values())
    axes.set(xlabel=x, ylabel=y, xlim=(0, None), ylim=(0, 1.06 * top))
    return f"{y} against {x}. " + " ".join(
        f"{name}: from {min(curve.values()):.3g} to {max(curve.values()):.3g}." for name, curve in curves.items()
    )


@_drawn
def timeline(axes: Axes, answers: Mapping[str, Sequence[float]]) -> str:
    """When each piece of an answer arrived, in seconds after the question: a row of ticks for each name."""
    for i, arrivals in enumerate(answers.values()):
        axes.vlines([1000 * t for t in arrivals], i - 0.35, i + 0.35, color=COLOURS[i % len(COLOURS)], linewidth=1.2)
    axes.set_yticks(range(len(answers)), list(answers))
    axes.invert_yaxis()
    axes.set(xlabel="ms after the question", xlim=(0, None))
    return "When each piece arrived. " + " ".join(
        f"{name}: {len(times)} pieces from {1000 * times[0]:.1f} to {1000 * times[-1]:.1f} ms."
        for name, times in answers.items()
        if times
    )


@_drawn
def roofline(axes: Axes, roofs: tuple[float, float], points: Mapping[str, tuple[float, float]]) -> str:
    """What a machine can do at most, and what programs reach.

    `roofs`: bytes/s from memory and operations/s. `points`: operations per byte read, and operations/s reached.
    """
    bandwidth, compute = roofs
    ridge = compute / bandwidth
    edges = [min([ridge / 20, *(x for x, _ in points.values())]), max([ridge * 20, *(x for x, _ in points.values())])]
    xs = [edges[0], ridge, edges[1]]
    axes.plot(xs, [min(bandwidth * x, compute) / 1e9 for x in xs], color=INK)
    for i, (name, (x, reached)) in enumerate(points.items()):
        axes.scatter([x], [reached / 1e9], s=80, color=COLOURS[i % len(COLOURS)], label=name, zorder=3)
    axes.set(xscale="log", yscale="log", xlabel="operations per byte read", ylabel="thousand million operations/s")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.legend()
    shares = [f"{name}: {y / min(bandwidth * x, compute):.0%} of what is possible." for name, (x, y) in points.items()]
    roof = f"Roofline: {bandwidth / 1e9:.0f} GB/s and {compute / 1e9:.0f} thousand million operations/s."
    return " ".join([roof, *shares])


@_drawn
def heat(axes: Axes, values: Sequence[Sequence[float]], rows: Sequence[str], columns: Sequence[str], what: str) -> str:
    """A table of numbers as colours, such as attention (to which token does each look?) or experts (who is asked?)."""
    image = axes.imshow(values, cmap="cividis", aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=60 if max(map(len, columns)) > 3 else 0, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.figure.colorbar(image, ax=axes, label=what)
    largest = max((value, i, j) for i, row in enumerate(values) for j, value in enumerate(row))
    size = f"{len(rows)} rows and {len(columns)} columns"
    return f"{what}: {size}; largest in row {rows[largest[1]]!r}, column {columns[largest[2]]!r}: {largest[0]:.2g}."


def _curves(axes: Axes, curves: Mapping[str, Mapping[Any, float]], marker: str = "o") -> None:
    for name, curve in curves.items():
        axes.plot(list(curve), list(curve.values()), marker=marker, label=name)
    if len(curves) > 1:
        axes.legend()


def _ends(curves: Mapping[str, Mapping[int, float]], unit: str, factor: float, of: str) -> str:
    """The first and the last value of each curve, in words."""
    said = []
    for name, curve in curves.items():
        points = list(curve.items())
        (x, y), (z, w) = points[0], points[-1]
        said.append(f"{name}: {factor * y:.3g} {of} at {x:,} {unit}, {factor * w:.3g} {of} at {z:,}.")
    return " ".join(said)
