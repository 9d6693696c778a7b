"""A short quiz: one right choice each, and every wrong choice explained. What is right is saved until it is reset.

The notebook brings the questions. Without a mouse, or without widgets: `print(quiz)` and `quiz.answer(1, "b")`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets

from utils import progress
from utils.widgets.panel import Panel, note, text

_ASK = "font-weight:600;line-height:1.5;color:var(--jp-ui-font-color1);font-size:var(--jp-ui-font-size2)"


@dataclass(frozen=True)
class Question:
    """A question. `right` has one entry, `wrong` at least one; each maps a choice to its explanation."""

    ask: str
    right: Mapping[str, str]
    wrong: Mapping[str, str]

    def __post_init__(self) -> None:
        if len(self.right) != 1 or not self.wrong or set(self.right) & set(self.wrong):
            raise ValueError(f"The question {self.ask!r} needs one right choice and at least one other, wrong one.")

    @property
    def choices(self) -> list[str]:
        """Right and wrong in an order that is always the same and gives nothing away."""

        def scrambled(choice: str) -> bytes:
            return hashlib.sha256(f"{self.ask} {choice}".encode()).digest()

        return sorted([*self.right, *self.wrong], key=scrambled)


class Quiz(Panel):
    """Questions on the page. `name` is where progress is kept: one name for each quiz."""

    def __init__(self, name: str, questions: Sequence[Question]) -> None:
        self._key = f"quiz.{name}"
        self.questions = tuple(questions)
        self._score = ipywidgets.HTML()
        self.reset_button = ipywidgets.Button(description="Start over", tooltip="Forget my answers to this quiz")
        self.reset_button.on_click(lambda button: self.reset())
        self.cards = [_Card(self, number, one) for number, one in enumerate(self.questions, 1)]
        foot = ipywidgets.HBox([self.reset_button, self._score], layout={"align_items": "center"})
        self.box = ipywidgets.VBox([*(card.box for card in self.cards), foot])
        self._restore()

    def __str__(self) -> str:
        lines = []
        for number, question in enumerate(self.questions, 1):
            lines += [f"{number}. {question.ask}"]
            lines += [f"   {letter}) {choice}" for letter, choice in zip(_letters(), question.choices, strict=False)]
        return "\n".join([*lines, 'Choose above, or answer in code: quiz.answer(1, "a")'])

    @property
    def right(self) -> list[int]:
        """Numbers of the questions answered rightly so far, counted from 1."""
        saved = progress.load(self._key).get("right")
        known = range(1, len(self.questions) + 1)
        return sorted({one for one in saved if one in known}) if isinstance(saved, list) else []

    def answer(self, number: int, letter: str) -> str:
        """Answer question `number` (from 1) with a letter, and read why it is right or wrong."""
        if number not in range(1, len(self.questions) + 1):
            return f"There is no question {number}: they are numbered 1 to {len(self.questions)}."
        choices = dict(zip(_letters(), self.questions[number - 1].choices, strict=False))
        if str(letter).strip().lower() not in choices:
            return f"Question {number} has the choices {', '.join(choices)}."
        choice = choices[str(letter).strip().lower()]
        self.cards[number - 1].radio.value = choice
        return self.judge(number, choice)

    def judge(self, number: int, choice: str) -> str:
        """The explanation of `choice`; a right one is saved."""
        question = self.questions[number - 1]
        if choice in question.right:
            progress.save(self._key, {"right": sorted({*self.right, number}), "of": len(self.questions)})
        self.cards[number - 1].explain(choice)
        self._show_score()
        return self.cards[number - 1].said

    def reset(self) -> None:
        """Forget this quiz's answers."""
        progress.reset(self._key)
        for card in self.cards:
            card.clear()
        self._show_score()

    def _restore(self) -> None:
        for number in self.right:
            (choice,) = self.questions[number - 1].right
            self.cards[number - 1].radio.value = choice
            self.cards[number - 1].explain(choice)
        self._show_score()

    def _show_score(self) -> None:
        self._score.value = note(f"{len(self.right)} of {len(self.questions)} right.")


class _Card:
    """One question on the page: choices, a button, and room for the explanation."""

    def __init__(self, quiz: Quiz, number: int, question: Question) -> None:
        self.question, self.said = question, ""
        ask = ipywidgets.HTML(f'<div style="{_ASK}">{number}. {text(question.ask)}</div>')
        self.radio = ipywidgets.RadioButtons(options=question.choices, value=None, layout={"width": "auto"})
        self.button = ipywidgets.Button(description="Check", tooltip=f"Check my answer to question {number}")
        self.button.on_click(lambda button: self._check(quiz, number))
        self.why = ipywidgets.HTML()
        row = ipywidgets.HBox([self.button, self.why], layout={"align_items": "center"})
        self.box = ipywidgets.VBox([ask, self.radio, row], layout={"margin": "0 0 12px 0"})

    def explain(self, choice: str) -> None:
        right = choice in self.question.right
        why = self.question.right[choice] if right else self.question.wrong[choice]
        self.said = f"{'✓ Right.' if right else '✗ Not quite.'} {why}"
        self.why.value = note(self.said)

    def clear(self) -> None:
        self.radio.value, self.why.value, self.said = None, "", ""

    def _check(self, quiz: Quiz, number: int) -> Any:
        if self.radio.value is None:
            self.why.value = note("Choose one first.")
        else:
            quiz.judge(number, self.radio.value)


def _letters() -> str:
    return "abcdefghijklmnopqrstuvwxyz"
