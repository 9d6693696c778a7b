"""Figures: a picture that can be read on any page, and words that say what it shows."""

import base64
import io
import math
import os
import re
import subprocess
import sys
from html import escape
from itertools import combinations
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from utils import plots
from utils.errors import BadInput
from utils.measure import Speed

REPO = Path(__file__).parents[1]
SPEEDS = [Speed("mini on onnx", "pocket", 20, 64, (0.01,) * 9, (1100.0, 1200.0, 1150.0) * 3)]
LINE = {"one": {1: 2.0, 10: 4.0}, "two": {1: 1.0, 10: 3.0}}
MADE = {
    "speed_bars": lambda: plots.speed_bars(SPEEDS),
    "first_token": lambda: plots.first_token({"onnx": {64: 0.010, 512: 0.0704}}),
    "quality": lambda: plots.quality({"mini": (3.9, 0.92), "medium": (12.1, 0.95)}, "field"),
    "lines": lambda: plots.lines({"needle": {36: 95.0, 762: 10.0}}, "tokens", "found in %"),
    "losses": lambda: plots.losses({"experts": [(20, 0.9), (400, 0.1)], "dense": [(20, 0.9), (400, 0.2)]}),
    "memory": lambda: plots.memory(LINE),
    "timeline": lambda: plots.timeline({"onnx": [0.01, 0.02, 0.03], "none": []}),
    "roofline": lambda: plots.roofline((50e9, 150e9), {"f32": (0.5, 24e9)}),
    "heat": lambda: plots.heat(
        [[0.1, 0.9], [0.4, 0.2]], ["layer 1", "layer 2"], ["The", "hut"], "share", down="layer", across="token"
    ),
}
SAID = {
    "speed_bars": "mini on onnx: 1,150 tokens/s (1,100 to 1,200).",
    "first_token": "onnx: 10 ms at 64 tokens, 70.4 ms at 512.",
    "quality": "mini: 3.9 million, 92%. medium: 12.1 million, 95%.",
    "lines": "found in % against tokens. needle: 95 at 36, 10 at 762.",
    "losses": "experts: 0.9 nats at 20 steps, 0.1 nats at 400.",
    "memory": "two: 1 GB at 1 tokens, 3 GB at 10.",
    "timeline": "onnx: 3 pieces from 10.0 to 30.0 ms.",
    "roofline": "50 GB/s and 150 thousand million operations/s. f32: 96% of what is possible.",
    "heat": "largest in row 'layer 1', column 'hut': 0.9.",
}


@pytest.mark.parametrize("name", MADE)
def test_every_figure_is_drawn_and_said(name):
    plot = MADE[name]()
    assert SAID[name] in repr(plot) and len(repr(plot)) < 400
    shown = plot._repr_mimebundle_()
    assert shown["text/plain"] == plot.alt and f'alt="{escape(plot.alt)}"' in shown["text/html"]
    data = shown["text/html"].split("base64,")[1].split('"')[0]
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert 600 < picture.width < 1000 and 250 < picture.height < 600
    assert picture.getpixel((0, 0))[3] == 0, "the page's own ground is seen, light or dark"
    assert len(np.unique(np.asarray(picture).reshape(-1, 4), axis=0)) > 10


ROWS = {"speed_bars", "timeline"}  # their rows have names of their own


@pytest.mark.parametrize("name", MADE)
def test_axes_have_names_with_units(name):
    axes = MADE[name]().figure.axes[0]
    assert axes.get_xlabel() and (axes.get_ylabel() or name in ROWS)


def labels_in_view(axis):
    low, high = axis.get_view_interval()
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    return [tick.label1 for tick in ticks if low <= tick.get_loc() <= high and tick.label1.get_text()]


FAMILY = {"mini": (3.9, 0.92), "3.5-mini": (3.9, 0.9), "medium": (12.1, 0.95), "3.5-moe": (10.3, 0.94)}
REAL = {"phi-3.5-mini": (3821, 0.69), "phi-3-medium": (13960, 0.78), "phi-3.5-moe": (41873, 0.789)}


@pytest.mark.parametrize("models", [FAMILY, REAL], ids=["pocket", "real"])
def test_names_and_points_of_a_family_can_be_told_apart(models):
    """Models of one size and of nearly the same score are what this figure is for."""
    figure = plots.quality(models, "field").figure
    figure.draw_without_rendering()
    [axes], [legend] = figure.axes, figure.legends
    seen = [label for axis in (axes.xaxis, axes.yaxis) for label in labels_in_view(axis)]
    assert len(seen) > 4 and all(re.fullmatch(r"[\d,]+", label.get_text()) for label in seen)
    boxes = [one.get_window_extent() for one in (*seen, *legend.get_texts())]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert [one.get_text() for one in legend.get_texts()] == list(models)
    assert legend.get_window_extent().x0 > axes.get_window_extent().x1
    points = [points.get_offsets()[0] for points in axes.collections]
    middles = axes.transData.transform(points)
    assert all(np.linalg.norm(a - b) > 12 for a, b in combinations(middles, 2)), "pixels from point to point"
    shapes = {points.get_paths()[0].vertices.tobytes() for points in axes.collections}
    assert len(shapes) == len(models), "not by colour alone"


@pytest.mark.parametrize(("label", "turned"), [("12", False), ("kitchen", True)])
def test_a_label_ends_at_its_tick(label, turned):
    axes = plots.heat([[1.0] * 16] * 16, ["row"] * 16, [label] * 16, "share").figure.axes[0]
    found = axes.get_xticklabels()[0]
    assert (found.get_ha(), found.get_rotation() > 0) == (("right", True) if turned else ("center", False))
    assert not turned or found.get_rotation_mode() == "anchor"


def test_a_picture_grows_with_its_rows():
    few, many = (plots.heat([[1.0]] * n, ["row"] * n, ["x"], "share").figure.get_figheight() for n in (4, 24))
    assert few == plots.HEIGHT and many > 24 * 0.25


def test_a_row_without_pieces_is_a_row():
    axes = MADE["timeline"]().figure.axes[0]
    assert sorted(axes.get_ylim()) == [-0.5, 1.5]


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: plots.losses({"a": []}), "a: no point yet."),
        (lambda: plots.losses({}), "Training loss."),
        (lambda: plots.first_token({}), "Time to first token against prompt length."),
        (lambda: plots.speed_bars([]), "Decode speed."),
        (lambda: plots.quality({}, "field"), "Quality against size, field."),
        (lambda: plots.timeline({"a": []}), "When each piece arrived. a: no piece."),
        (lambda: plots.timeline({}), "When each piece arrived."),
        (lambda: plots.lines({"a": {}}, "tokens", "found in %"), "found in % against tokens. a: no point yet."),
        (lambda: plots.lines({}, "tokens", "found in %"), "found in % against tokens."),
    ],
)
@pytest.mark.filterwarnings("error")
def test_nothing_yet_is_a_picture_too(draw, said):
    plot = draw()
    assert plot.alt.strip().endswith(said) and plot.png()


def test_a_table_of_nothing_is_no_picture():
    with pytest.raises(BadInput, match="at least one row and one column"):
        plots.heat([], [], [], "share")


def test_an_unknown_speed_is_a_word():
    unknown = Speed("phi on nim", "live", None, None, (0.1,) * 6, (math.nan,) * 6)
    plot = plots.speed_bars([*SPEEDS, unknown])
    assert plot.alt.endswith("(1,100 to 1,200). phi on nim: unknown.") and "nan" not in plot.alt
    axes = plot.figure.axes[0]
    assert [text.get_text().strip() for text in axes.texts] == ["unknown"] and len(axes.patches) == 1


def test_all_figures_have_a_test():
    made = {name for name, value in vars(plots).items() if getattr(value, "__wrapped__", None) is not None}
    assert made == set(MADE)


def contrast(one, other):
    def light(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        return sum(w * (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4)
                   for w, p in zip((0.2126, 0.7152, 0.0722), parts, strict=True))  # fmt: skip

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("ground", ["#ffffff", "#111111"])
def test_letters_can_be_read_on_a_light_and_a_dark_page(ground):
    """4 to 1: one grey for both cannot have the 4.5 that WCAG asks for on each of any two grounds; here it is near."""
    assert contrast(plots.INK, ground) > 4


@pytest.mark.parametrize(("pixels", "alt", "status"), [("AAAA", "a line", 0), ("AAAA", "another", 1)])
def test_a_lessons_figure_is_compared_by_its_description(tmp_path, pixels, alt, status):
    """nbval would else compare the bytes of the picture, which depend on fonts."""
    cell = nbformat.v4.new_code_cell(
        'from IPython.display import HTML\nHTML(\'<img alt="a line" src="data:image/png;base64,BBBB">\')'
    )
    image = f'<img alt="{alt}" src="data:image/png;base64,{pixels}">'
    data = {"text/html": image, "text/plain": "<IPython.core.display.HTML object>"}
    cell.outputs = [nbformat.v4.new_output("execute_result", data, execution_count=1)]
    cell.execution_count = 1
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbformat.write(notebook, tmp_path / "one.ipynb")
    settings = REPO / "tests" / "nbval.cfg"
    options = ["--nbval", "--nbval-current-env", f"--nbval-sanitize-with={settings}", "-c", os.devnull, "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "one.ipynb"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == status, done.stdout


def test_the_lessons_are_compared_that_way():
    assert '"--nbval-sanitize-with=tests/nbval.cfg"' in (REPO / "pyproject.toml").read_text(encoding="utf-8")
