"""A function with sliders: the lesson writes the formula, the widget brings it to life.

    def memory(model, bits):
        return f"{models[model].parameters * bits / 8e9:.1f} GB"

    Calculator(memory, model=["phi-3-mini-4k", "phi-3.5-moe"], bits=[16, 8, 4])

Without a mouse: `print(calculator)`, and `calculator.set(bits=4)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets

from utils.widgets.panel import Panel, pre

Choice = Sequence[Any] | tuple[float, float, float] | bool
STEPS = 200  # of a slider over a wide range
WIDE = 50  # largest ÷ smallest from which a slider counts in powers


class Calculator(Panel):
    """Shows what `rule` returns (text, or a plot) for the values chosen.

    `controls`, one for each parameter: a list to choose from (the first to begin with), (least, start, most) for a
    slider, True or False for a box to tick. Over a wide range a slider moves in powers. Raises ValueError for others.
    """

    def __init__(self, rule: Callable[..., Any], **controls: Choice) -> None:
        self._rule = rule
        self.controls = {name: _control(name, choice) for name, choice in controls.items()}
        self._numbers = {
            name: isinstance(choice, tuple) and all(isinstance(one, int) for one in choice)
            for name, choice in controls.items()
        }
        self.view = ipywidgets.HTML()
        for control in self.controls.values():
            control.observe(lambda change: self._draw(), "value")
        self.box = ipywidgets.VBox([*self.controls.values(), self.view])
        self._draw()

    def __str__(self) -> str:
        given = ", ".join(f"{name} = {_shown(value)}" for name, value in self.values.items())
        return f"{given}\n{self._answer()}"

    @property
    def values(self) -> dict[str, Any]:
        """What is chosen now; whole numbers where all three of (least, start, most) are."""
        found = {name: control.value for name, control in self.controls.items()}
        return {name: round(value) if self._numbers[name] else value for name, value in found.items()}

    def set(self, **values: Any) -> None:
        """Choose values in code. Raises ValueError for a name or a value that there is not."""
        for name, value in values.items():
            control = self.controls.get(name)
            if control is None:
                raise ValueError(f"There is no {name!r} to set, only {', '.join(self.controls)}.")
            allowed = getattr(control, "options", None)
            if allowed is not None and value not in [one[1] if isinstance(one, tuple) else one for one in allowed]:
                raise ValueError(f"{name} cannot be {value!r}: choose from {', '.join(map(str, allowed))}.")
            control.value = value

    def _answer(self) -> Any:
        try:
            return self._rule(**self.values)
        except Exception as problem:  # the rule may be the learner's, and sliders go to their ends
            return f"This cannot be worked out ({type(problem).__name__}: {problem})."

    def _draw(self) -> None:
        answer = self._answer()
        shown = answer._repr_mimebundle_() if hasattr(answer, "_repr_mimebundle_") else {}
        self.view.value = shown.get("text/html") or pre(str(answer))


def _control(name: str, choice: Choice) -> ipywidgets.Widget:
    look: dict[str, Any] = {"description": name.replace("_", " "), "style": {"description_width": "150px"}}
    look["layout"] = {"width": "min(560px, 95%)"}
    if isinstance(choice, bool):
        return ipywidgets.Checkbox(choice, **look)
    if isinstance(choice, tuple) and len(choice) == 3 and choice[0] <= choice[1] <= choice[2]:
        least, start, most = choice
        whole = all(isinstance(one, int) for one in choice)
        if least > 0 and most / least >= WIDE:
            low, high = math.log10(least), math.log10(most)
            look |= {"step": (high - low) / STEPS, "readout_format": ",.0f" if whole else ",.3g"}
            return ipywidgets.FloatLogSlider(start, min=low, max=high, **look)
        slider = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
        return slider(start, min=least, max=most, **({} if whole else {"step": (most - least) / STEPS}), **look)
    if isinstance(choice, list) and choice:
        return ipywidgets.Dropdown(options=choice, value=choice[0], **look)
    raise ValueError(f"{name} needs a list, (least, start, most), True or False, not {choice!r}.")


def _shown(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)
