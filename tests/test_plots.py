"""Figures: a picture that can be read on any page, and words that say what it shows."""

import io

import numpy as np
import pytest
from PIL import Image

from utils import plots
from utils.measure import Speed

SPEEDS = [Speed("mini on onnx", "pocket", 20, 64, (0.01,) * 9, (1100.0, 1200.0, 1150.0) * 3)]
LINE = {"one": {1: 2.0, 10: 4.0}, "two": {1: 1.0, 10: 3.0}}
MADE = {
    "speed_bars": lambda: plots.speed_bars(SPEEDS),
    "first_token": lambda: plots.first_token({"onnx": {64: 0.010, 512: 0.0704}}),
    "quality": lambda: plots.quality({"mini": (3.9, 0.92), "medium": (12.1, 0.95)}, "field"),
    "losses": lambda: plots.losses({"experts": [(20, 0.9), (400, 0.1)], "dense": [(20, 0.9), (400, 0.2)]}),
    "memory": lambda: plots.memory(LINE),
    "timeline": lambda: plots.timeline({"onnx": [0.01, 0.02, 0.03], "none": []}),
    "roofline": lambda: plots.roofline((50e9, 150e9), {"f32": (0.5, 24e9)}),
    "heat": lambda: plots.heat([[0.1, 0.9], [0.4, 0.2]], ["layer 1", "layer 2"], ["The", "hut"], "share"),
}
SAID = {
    "speed_bars": "mini on onnx: 1,150 tokens/s (1,100 to 1,200).",
    "first_token": "onnx: 10 ms at 64 tokens, 70.4 ms at 512.",
    "quality": "mini: 3.9 million, 92%. medium: 12.1 million, 95%.",
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
    data, metadata = plot._repr_mimebundle_()
    assert data["text/plain"] == plot.alt == metadata["image/png"]["alt"]
    picture = Image.open(io.BytesIO(data["image/png"]))
    assert 600 < picture.width < 1000 and 250 < picture.height < 600
    assert picture.getpixel((0, 0))[3] == 0, "the page's own ground is seen, light or dark"
    assert len(np.unique(np.asarray(picture).reshape(-1, 4), axis=0)) > 10


def test_axes_have_names_with_units():
    for name in ("speed_bars", "first_token", "quality", "losses", "memory", "roofline"):
        axes = MADE[name]().figure.axes[0]
        assert axes.get_xlabel() and (axes.get_ylabel() or name == "speed_bars")


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
