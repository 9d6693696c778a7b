"""Answers that are kept: saved as JSON lines with where and when they were made, and shown later as RECORDED.

A line is written only from a `Completion`, so what is shown was once answered for real.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.core import Completion
from utils.errors import BadInput


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
