"""Which model a column stands for."""

import pytest

from utils.errors import BadInput
from utils.widgets import Compare
from utils.widgets.picking import Picker


def picker(place="onnx", mode=None):
    return Picker(place, mode, lambda: None)


@pytest.mark.parametrize(
    ("mode", "model"), [("live", "phi-3.5-mini"), ("offline", "pocket-phi-3-mini"), ("auto", "pocket-phi-3-mini")]
)
def test_another_precision_of_the_usual_model_is_of_the_same_model(mode, model, monkeypatch):
    """In live mode that is the real one."""
    monkeypatch.setattr("utils.widgets.picking.downloaded", lambda name: None)
    made = picker(mode=mode)
    assert made.place == "onnx"
    made.precision.value = "int4"
    assert made.place == f"onnx/{model}:int4"


def test_by_default_the_usual_model_is_the_one_that_connect_would_take(monkeypatch):
    monkeypatch.setenv("SLM_MODE", "auto")
    monkeypatch.setattr("utils.widgets.picking.downloaded", lambda name: "a folder")
    made = picker()
    made.precision.value = "int4"
    assert made.place == "onnx/phi-3.5-mini:int4"


def test_a_mode_that_nobody_knows_is_said_in_words(monkeypatch):
    with pytest.raises(BadInput, match=r"^mode is 'ofline', but it must be one of"):
        Compare(mode="ofline")
    monkeypatch.setenv("SLM_MODE", "airplane")
    with pytest.raises(BadInput, match=r"^SLM_MODE is 'airplane', but it must be one of"):
        Compare()


def test_the_box_for_the_model_begins_empty():
    """A browser lists only models that begin with what stands in the box."""
    made = picker()
    assert made.model.value == "" and made.model.placeholder == "usual" and len(made.model.options) > 5
    assert made.model.continuous_update is False  # else each letter would pick another model


@pytest.mark.parametrize("route", ["onix", "", "<b>"])
def test_an_unknown_route_is_said_in_words(route):
    with pytest.raises(BadInput, match="There is no route"):
        Compare([route])
