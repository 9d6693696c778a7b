"""What the exercises share: a number is asked for, and the usual wrong ones are told what they are."""

import math
from collections.abc import Sequence


def judged(
    answer: object, right: float, near: Sequence[tuple[float, str]], *, unit: str = "", within: float = 3e-3
) -> str | None:
    """None where `answer` is `right` (to a share of `within`), else what is off.

    `near`: numbers that one comes to on a wrong way, and what to say of each; the first that fits is said.
    """
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        return f"The exercise expects a number, and this is of type {type(answer).__name__}."
    if math.isclose(answer, right, rel_tol=within):
        return None
    said = next((words for value, words in near if math.isclose(answer, value, rel_tol=within)), None)
    shown = f"{answer:,}" if isinstance(answer, int) else f"{answer:,.4g}"
    return said or f"{shown}{unit and ' '}{unit} is not it."
