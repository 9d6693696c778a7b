"""What the exercises share: reading a number from whatever a learner passes in."""


def number(answer: object) -> float | None:
    """The answer as a number, or None where it is none (True and False are none)."""
    return float(answer) if isinstance(answer, int | float) and not isinstance(answer, bool) else None


def no_number(answer: object) -> str:
    """What to say where a number was asked for."""
    return f"The exercise expects a number, and this is of type {type(answer).__name__}."
