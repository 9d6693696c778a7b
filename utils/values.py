"""What values from outside are: whole numbers, finite numbers, something that can be written as JSON."""

from __future__ import annotations

import math
import numbers

from utils.errors import BadInput


def whole(value: object) -> bool:
    """Whether it is a whole number, numpy's included; True and False are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def finite(value: object) -> bool:
    """Whether it is a number, neither infinite nor nan."""
    try:
        return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number of 400 digits
        return False


def check_json(name: str, value: object) -> None:
    """Raises BadInput for what no server could be sent."""
    if not value:
        return
    import json  # here: few ask for a schema

    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput(f"{name} cannot be written as JSON: {error}.") from None


def count(name: str, value: object) -> int:
    """The value as a whole number that is 1 or more. Raises BadInput."""
    number = int(value) if isinstance(value, numbers.Integral) and whole(value) else 0
    if number >= 1:
        return number
    raise BadInput(f"{name} is {value!r:.80}, but it must be a whole number, 1 or more.")
