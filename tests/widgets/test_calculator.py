"""The calculator: sliders and lists set the formula's values, extremes and faults of the formula stay on the page."""

import pytest

from utils import plots
from utils.widgets import Calculator


def weigh(model: str, bits: int, exact: bool) -> str:
    return f"{model} <b> {bits * 2:,} {exact}"


def test_it_shows_the_formula_for_what_is_chosen() -> None:
    made = Calculator(weigh, model=["mini", "medium"], bits=(2, 4, 16), exact=False)
    assert str(made) == "model = mini, bits = 4, exact = False\nmini <b> 8 False"
    assert "mini &lt;b&gt; 8 False" in made.view.value  # text, never markup
    made.controls["bits"].value = 16
    made.set(model="medium", exact=True)
    assert "medium &lt;b&gt; 32 True" in made.view.value
    assert str(made).endswith("medium <b> 32 True")


def test_a_wide_range_has_round_numbers() -> None:
    made = Calculator(lambda context, price: f"{context!r} {price}", context=(256, 4096, 131072), price=(5, 30, 600))
    assert "4096 30" in made.view.value
    assert [value for _, value in made.controls["context"].options] == [2**n for n in range(8, 18)]
    assert [value for _, value in made.controls["price"].options] == [5, 10, 20, 30, 50, 100, 200, 500, 600]
    for end in (256, 131072):
        made.set(context=end)
        assert made.values["context"] == end and str(end) in made.view.value
    with pytest.raises(ValueError, match="choose from 256, 512, 1,024"):
        made.set(context=1000)


def test_a_fraction_stays_a_fraction() -> None:
    made = Calculator(lambda price: f"{price:.2f}", price=(0.0, 0.25, 0.5))
    assert made.values == {"price": 0.25}


def test_a_formula_that_fails_says_so_and_goes_on() -> None:
    made = Calculator(lambda rate: f"{1 / rate:.1f}", rate=(0, 0, 4))
    assert "This cannot be worked out (ZeroDivisionError" in made.view.value
    made.set(rate=4)
    assert "0.2" in made.view.value


def test_a_plot_is_shown_as_a_picture_with_words() -> None:
    made = Calculator(lambda n: plots.losses({"a": [(1, 2.0), (n, 1.0)]}), n=(2, 3, 9))
    assert '<img alt="Training loss.' in made.view.value
    assert "Training loss." in str(made)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"size": 3}, "only bits, model"),
        ({"model": "large"}, "choose from mini, medium"),
        ({"bits": 99}, "choose from 1 to 3"),
        ({"bits": "many"}, "choose from 1 to 3"),
    ],
)
def test_what_cannot_be_set_is_told(values, words) -> None:
    made = Calculator(lambda bits, model: "", bits=(1, 2, 3), model=["mini", "medium"])
    with pytest.raises(ValueError, match=words):
        made.set(**values)


@pytest.mark.parametrize("choice", [[], (3, 2, 1), (1, 2), "mini", None])
def test_a_control_of_the_wrong_form_is_told(choice) -> None:
    with pytest.raises(ValueError, match=r"bits needs a list"):
        Calculator(weigh, bits=choice)
