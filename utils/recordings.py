"""Answers that are kept: saved as JSON lines with where and when they were made, and shown later as RECORDED.

A line is written only from a `Completion`, so what is shown was once answered for real.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.core import Chunk, Completion, Message, Options, Source, as_messages
from utils.errors import BadInput, UnknownModel


@dataclass(frozen=True)
class Recording:
    """An answer, the prompt it answers, and the machine and day that it was made on. Its source is "recorded"."""

    prompt: str
    completion: Completion
    hardware: str
    date: str  # YYYY-MM-DD

    def _repr_markdown_(self) -> str:
        return self.completion._repr_markdown_()


def save(file: str | os.PathLike[str], prompt: str, answer: Completion, hardware: str | None = None) -> None:
    """Adds one line to `file`. `hardware` is the machine that answered; by default this one. Raises BadInput.

    An answer that was itself a recording is refused: its date and its machine would be wrong.
    """
    if answer.source == "recorded":
        raise BadInput("This answer is a recording already. Copy its line from the file it came from.")
    row = {"prompt": prompt, **dataclasses.asdict(answer), "answered_as": answer.source}
    row |= {"hardware": hardware or _machine(), "date": datetime.date.today().isoformat()}
    del row["source"]
    try:
        with Path(file).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {error.strerror}.") from None


def load(file: str | os.PathLike[str]) -> list[Recording]:
    """All recordings of `file`, in its order. Raises BadInput, with the line's number."""
    try:
        lines = Path(file).read_text(encoding="utf-8").split("\n")  # not splitlines: U+2028 is text
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}.") from None
    return [_read(line, f"{file}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]


class Replay:
    """A backend that gives recorded answers again, as slowly as they came: for a room without a network.

    `model`: which one's answers, where the file has several. What was recorded is the text and when its pieces came,
    not where they ended, so the text is cut into as many pieces of equal length. Options cannot change a recording.
    """

    source: Source = "recorded"

    def __init__(self, file: str | os.PathLike[str], model: str | None = None) -> None:
        found = [row for row in load(file) if model in (None, row.completion.model)]
        if not found:
            raise UnknownModel(f"{file} has no recording{f' of {model}' if model else ''}.")
        self.name, self.model = found[0].completion.backend, found[0].completion.model
        self._rows = {row.prompt: row.completion for row in found if row.completion.model == self.model}

    def stream(self, messages: Sequence[Message], options: Options) -> Iterator[Chunk]:
        """The recorded answer to the last message. Raises BadInput for a question that was not recorded."""
        question = as_messages(messages)[-1]["content"]
        answer = self._rows.get(question) if isinstance(question, str) else None
        if answer is None:
            raise BadInput(f"This question was not recorded. There are: {', '.join(map(repr, self._rows))}.")
        return _again(answer)

    def close(self) -> None:
        """Nothing to free."""


def _again(answer: Completion) -> Iterator[Chunk]:
    pieces = max(1, len(answer.arrivals))
    cuts = [len(answer.text) * n // pieces for n in range(pieces + 1)]
    before = 0.0
    for number, arrival in enumerate(answer.arrivals or (0.0,), 1):
        time.sleep(max(0.0, arrival - before))
        before, last = arrival, number == pieces
        yield Chunk(
            answer.text[cuts[number - 1] : cuts[number]],
            answer.tokens if last else answer.head if number == 1 else None,
            answer.logprobs if last else None,
            answer.prompt_tokens if last else None,
            answer.finish_reason if last else None,
        )


def _read(line: str, where: str) -> Recording:
    names = {field.name for field in dataclasses.fields(Completion)} - {"source"}
    try:
        row: dict[str, Any] = json.loads(line)
        given = {name: row[name] for name in names} | {"arrivals": tuple(map(float, row["arrivals"]))}
        given["logprobs"] = row["logprobs"] and tuple(map(float, row["logprobs"]))
        completion = Completion(source="recorded", **given)
        return Recording(str(row["prompt"]), completion, str(row["hardware"]), str(row["date"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{where} is no recording: {type(error).__name__} {error}.") from None


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
