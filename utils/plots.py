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
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from utils.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from utils.measure import Speed

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")  # Okabe and Ito 2008
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
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
WIDTH, HEIGHT, DPI = 7.5, 3.6, 110  # inches: as wide as a notebook's text
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
            figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
            return Plot(figure, draw(figure.subplots(), *arguments, **named))

    return made


@_drawn
def speed_bars(axes: Axes, speeds: Sequence[Speed]) -> str:
    """Decode speeds as bars, with 95 % intervals; where a speed is unknown there is no bar."""
    from utils.measure import interval

    said = []
    for i, one in enumerate(speeds):
        if one.unknown:
            axes.text(0, i, " unknown", va="center")
            said.append(f"{one.name}: unknown.")
            continue
        middle, (low, high) = median(one.tokens_per_s), interval(one.tokens_per_s)
        error: Any = [[middle - low], [high - middle]]
        axes.barh([i], [middle], color=COLOURS[i % len(COLOURS)], xerr=error, error_kw={"ecolor": INK, "capsize": 4})
        said.append(f"{one.name}: {middle:,.0f} tokens/s ({low:,.0f} to {high:,.0f}).")
    axes.set_yticks(range(len(speeds)), [one.name for one in speeds])
    axes.set(xlabel="decode speed in tokens/s: median, 95 % interval", ylim=(max(len(speeds), 1) - 0.5, -0.5))
    axes.set_xlim(0, None)
    return " ".join(["Decode speed.", *said])


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
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        axes.scatter([millions], [100 * share], s=80, color=colour, marker=marker, label=name, zorder=3)
    axes.set(xscale="log", xlabel="parameters in millions (log scale)", ylabel=f"{task}: right answers in %")
    lowest = min((share for _, share in models.values()), default=0.0)
    axes.set_ylim(max(0, 10 * int(10 * lowest) - 10), 102)  # points, unlike bars, may begin above nothing
    axes.margins(x=0.25)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    if models:  # in a legend: names beside points of the same size would cover each other
        axes.figure.legend(loc="outside right center")
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
    top = max((value for curve in curves.values() for value in curve.values()), default=1)
    axes.set(xlabel=x, ylabel=y, xlim=(0, None), ylim=(0, 1.06 * top))
    return f"{y} against {x}. " + _ends(curves, "", 1, "")


@_drawn
def timeline(axes: Axes, answers: Mapping[str, Sequence[float]]) -> str:
    """When each piece of an answer arrived, in seconds after the question: a row of ticks for each name."""
    for i, arrivals in enumerate(answers.values()):
        axes.vlines([1000 * t for t in arrivals], i - 0.35, i + 0.35, color=COLOURS[i % len(COLOURS)], linewidth=1.2)
    axes.set_yticks(range(len(answers)), list(answers))
    axes.set(xlabel="ms after the question", xlim=(0, None), ylim=(max(len(answers), 1) - 0.5, -0.5))
    return "When each piece arrived. " + " ".join(
        f"{name}: {len(times)} pieces from {1000 * times[0]:.1f} to {1000 * times[-1]:.1f} ms."
        if len(times)
        else f"{name}: no piece."
        for name, times in answers.items()
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
def heat(
    axes: Axes,
    values: Sequence[Sequence[float]],
    rows: Sequence[str],
    columns: Sequence[str],
    what: str,
    *,
    down: str = "",
    across: str = "",
) -> str:
    """A table of numbers as colours, such as attention (to which token does each look?) or experts (who is asked?).

    `down` and `across` say what the rows and the columns are. Raises BadInput when there are none.
    """
    if not len(rows) or not len(columns):
        raise BadInput("A picture of a table takes at least one row and one column.")
    figure: Any = axes.figure
    figure.set_size_inches(WIDTH, max(HEIGHT, 1.2 + 0.25 * len(rows)))
    image = axes.imshow(values, cmap="cividis", aspect="auto")
    turned: Any = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"} if max(map(len, columns)) > 3 else {}
    axes.set_xticks(range(len(columns)), columns, **turned)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel=across, ylabel=down)
    figure.colorbar(image, ax=axes, label=what)
    largest = max((value, i, j) for i, row in enumerate(values) for j, value in enumerate(row))
    size = f"{len(rows)} rows and {len(columns)} columns"
    return f"{what}: {size}; largest in row {rows[largest[1]]!r}, column {columns[largest[2]]!r}: {largest[0]:.2g}."


def _curves(axes: Axes, curves: Mapping[str, Mapping[Any, float]], marker: str = "o") -> None:
    for name, curve in curves.items():
        axes.plot(list(curve), list(curve.values()), marker=marker, label=name)
    if len(curves) > 1:
        axes.legend()


def _ends(curves: Mapping[str, Mapping[Any, float]], unit: str, factor: float, of: str) -> str:
    """The first and the last value of each curve, in words."""
    said = []
    for name, curve in curves.items():
        points = list(curve.items())
        if not points:
            said.append(f"{name}: no point yet.")
            continue
        (x, y), (z, w) = points[0], points[-1]
        words = f"{name}: {factor * y:.3g} {of} at {x:,} {unit}, {factor * w:.3g} {of} at {z:,}."
        said.append(" ".join(words.split()).replace(" ,", ","))
    return " ".join(said)
