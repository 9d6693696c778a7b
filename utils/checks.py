"""Checks a learner's answer to an exercise: it passes, or the learner reads what is off and gets a hint.

    check("start.five_tokens", short)

The part before the dot names the module in `utils/exercises` that holds the rule. This module runs rules and counts
tries; it does not know any exercise. Whatever a learner passes in, a check answers; it never raises on an answer.
"""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Literal

from utils import progress

Rule = Callable[[object], str | None]  # None where the answer is right, else one sentence that says what is off
_ID = re.compile(r"([a-z][a-z0-9_]*)\.[a-z0-9_]+")
_MARKS = {"passed": "✓", "not yet": "✗", "to do": "○"}
_COLOURS = {"passed": "#009E73", "not yet": "#D55E00", "to do": "#0072B2"}  # Okabe-Ito


@dataclass(frozen=True)
class Exercise:
    """One exercise: its rule, what a right answer shows, and up to three hints, the most telling last."""

    id: str
    rule: Rule
    praise: str
    hints: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What a check found. Everything in it is shown as text, never as markup."""

    exercise: str
    status: Literal["passed", "not yet", "to do"]
    message: str
    hint: str = ""

    def __bool__(self) -> bool:
        return self.status == "passed"

    def __repr__(self) -> str:
        head = f"{_MARKS[self.status]} {self.exercise}: {self.status}. {self.message}"
        return f"{head}\n  {self.hint}" if self.hint else head

    def _repr_html_(self) -> str:
        hint = f'<div style="margin-top:.3em"><em>{escape(self.hint)}</em></div>' if self.hint else ""
        return (
            f'<div style="border-left:4px solid {_COLOURS[self.status]};padding:.3em .8em">'
            f"<strong>{_MARKS[self.status]} {escape(self.exercise)}: {self.status}.</strong> "
            f"{escape(self.message)}{hint}</div>"
        )


_exercises: dict[str, Exercise] = {}


def exercise(exercise_id: str, *, praise: str, hints: tuple[str, ...]) -> Callable[[Rule], Rule]:
    """Register the decorated rule. Raises ValueError for an id of the wrong form or for more than three hints."""
    if not _ID.fullmatch(exercise_id) or not 1 <= len(hints) <= 3:
        raise ValueError(f"Exercise {exercise_id!r} needs an id like 'topic.name' and one to three hints.")

    def register(rule: Rule) -> Rule:
        _exercises[exercise_id] = Exercise(exercise_id, rule, praise, hints)
        return rule

    return register


def find(exercise_id: str) -> Exercise:
    """The exercise of that id. Raises LookupError for an id that does not exist."""
    named = _ID.fullmatch(exercise_id) if isinstance(exercise_id, str) else None
    if named:
        try:
            importlib.import_module(f"utils.exercises.{named[1]}")
        except ModuleNotFoundError as missing:
            if missing.name != f"utils.exercises.{named[1]}":
                raise
    if not named or exercise_id not in _exercises:
        known = ", ".join(sorted(_exercises)) or "none in that topic"
        raise LookupError(f"There is no exercise called {exercise_id!r}. Known here: {known}.")
    return _exercises[exercise_id]


def check(exercise_id: str, answer: object) -> Verdict:
    """Judge `answer`. A wrong answer counts as a try: each try shows the next hint. An untouched `...` does not."""
    one = find(exercise_id)
    if _is_stub(answer):
        todo = "Nothing to check yet: put your answer where the ... stands, then run the cell again."
        return Verdict(one.id, "to do", todo)
    complaint = _judge(one, answer)
    record = progress.load(one.id)
    if complaint is None:
        progress.save(one.id, {"passed": True, "tries": 0})
        return Verdict(one.id, "passed", one.praise)
    tries = _count(record.get("tries")) + 1
    progress.save(one.id, {"passed": record.get("passed") is True, "tries": tries})
    shown = min(tries, len(one.hints))
    return Verdict(one.id, "not yet", complaint, f"Hint {shown} of {len(one.hints)}: {one.hints[shown - 1]}")


def reset(prefix: str = "") -> str:
    """Forget tries and passes: of one exercise, of a topic ("start"), or of everything."""
    gone = progress.reset(prefix)
    return f"{gone} saved result{'' if gone == 1 else 's'} forgotten."


def _is_stub(answer: object) -> bool:
    if type(answer) is list or type(answer) is tuple:  # not isinstance: an answer may fake its class
        return any(part is ... for part in answer)
    return answer is ...


def _judge(one: Exercise, answer: object) -> str | None:
    try:
        return one.rule(answer)
    except Exception as problem:  # the answer is the learner's own object, and anything may happen in it
        return f"This answer could not be read ({type(problem).__name__}): it is not what the exercise asks for."


def _count(saved: object) -> int:
    return saved if isinstance(saved, int) and saved >= 0 else 0
