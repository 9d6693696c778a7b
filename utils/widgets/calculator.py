"""A function with sliders: the lesson writes the formula, the widget brings it to life.

    def memory(model, bits):
        return f"{models[model].parameters * bits / 8e9:.1f} GB"

    Calculator(memory, model=["phi-3-mini-4k", "phi-3.5-moe"], bits=[16, 8, 4])

Without a mouse: `print(calculator)`, and `calculator.set(bits=4)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from textwrap import wrap
from typing import Any

import ipywidgets
from traitlets import TraitError

from utils.widgets.panel import PRE, Panel, text

Choice = Sequence[Any] | tuple[float, float, float] | bool
STEPS = 200  # of a slider with fractions
WIDE = 50  # largest ÷ smallest from which a slider has round numbers only
MONO = PRE.replace("content-font-family", "code-font-family")  # what a rule returns may be a table


class Calculator(Panel):
    """Shows what `rule` returns (text, or a plot) for the values chosen.

    `controls`, one for each parameter: a list to choose from (the first to begin with), (least, start, most) for a
    slider, True or False for a box to tick. Over a wide range a slider has round numbers only. Raises ValueError for
    others.
    """

    def __init__(self, rule: Callable[..., Any], **controls: Choice) -> None:
        self._rule = rule
        self.controls = {name: _control(name, choice) for name, choice in controls.items()}
        self.view = ipywidgets.HTML()
        for control in self.controls.values():
            control.observe(lambda change: self._draw(), "value")
        self.box = ipywidgets.VBox([*self.controls.values(), self.view])
        self._draw()

    def __str__(self) -> str:
        given = ", ".join(f"{name} = {_shown(value)}" for name, value in self.values.items())
        return "\n".join([*wrap(given, 96), str(self._answer())])

    @property
    def values(self) -> dict[str, Any]:
        """What is chosen now."""
        return {name: control.value for name, control in self.controls.items()}

    def set(self, **values: Any) -> None:
        """Choose values in code. Raises ValueError for a name or a value that there is not."""
        for name, value in values.items():
            control = self.controls.get(name)
            if control is None:
                raise ValueError(f"There is no {name!r} to set, only {', '.join(self.controls)}.")
            before = control.value
            with suppress(TraitError):
                control.value = value
            if control.value != value:  # a slider stops at its ends
                control.value = before
                raise ValueError(f"{name} cannot be {value!r}: choose from {_choices(control)}.")

    def _answer(self) -> Any:
        try:
            return self._rule(**self.values)
        except Exception as problem:  # the rule may be the learner's, and sliders go to their ends
            return f"This cannot be worked out ({type(problem).__name__}: {problem})."

    def _draw(self) -> None:
        answer = self._answer()
        shown = answer._repr_mimebundle_() if hasattr(answer, "_repr_mimebundle_") else {}
        self.view.value = shown.get("text/html") or f'<pre style="{MONO}">{text(str(answer))}</pre>'


def _control(name: str, choice: Choice) -> ipywidgets.Widget:
    look: dict[str, Any] = {"description": name.replace("_", " "), "style": {"description_width": "150px"}}
    look["layout"] = {"width": "min(560px, 95%)"}
    if isinstance(choice, bool):
        return ipywidgets.Checkbox(choice, **look)
    if isinstance(choice, tuple) and len(choice) == 3 and choice[0] <= choice[1] <= choice[2]:
        least, start, most = choice
        whole = all(isinstance(one, int) for one in choice)
        if least > 0 and most / least >= WIDE:
            options = [(_shown(one), one) for one in _round(least, start, most)]
            return ipywidgets.SelectionSlider(options=options, value=start, **look)
        slider = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
        return slider(start, min=least, max=most, **({} if whole else {"step": (most - least) / STEPS}), **look)
    if isinstance(choice, list) and choice:
        return ipywidgets.Dropdown(options=choice, value=choice[0], **look)
    raise ValueError(f"{name} needs a list, (least, start, most), True or False, not {choice!r}.")


def _choices(control: Any) -> str:
    options = getattr(control, "options", None)
    if options is None:
        return f"{control.min} to {control.max}" if hasattr(control, "min") else "True and False"
    return ", ".join(str(one[0] if isinstance(one, tuple) else one) for one in options)


def _round(least: float, start: float, most: float) -> list[float]:
    """Powers of two where the three are such, else 1, 2, 5, 10, 20 and so on; the three are always among them."""
    if all(isinstance(one, int) and one & (one - 1) == 0 for one in (least, start, most)):
        found = [2**n for n in range(64)]
    else:
        found = [digit * 10**n for n in range(-6, 13) for digit in (1, 2, 5)]
    return sorted({least, start, most, *(one for one in found if least < one < most)})


def _shown(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)
