"""Runs of the compare widget as plain data: what was asked, said and measured; to files and from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.compare import TIMES, machine, times
from utils.core import Completion
from utils.errors import BadInput
from utils.widgets.contest import Vote

if TYPE_CHECKING:
    import pandas

COUNTS = ("tokens", "prompt_tokens", "finish_reason")
NEEDED = {"place", "source", "text", "problem", *COUNTS, *TIMES}
Answer = dict[str, Any]
Run = dict[str, Any]


def answer(place: str, who: tuple[str, str] | None, said: Completion | None, text: str, problem: str) -> Answer:
    """What is kept of a column. `who`: model and source, where it was reached; `text`: what was written so far."""
    model, source = who or (None, None)
    made: Answer = {"place": place, "model": model, "source": source, "text": text, "problem": problem}
    return made | {name: getattr(said, name, None) for name in COUNTS} | times(said)


def figures(one: Answer) -> tuple[str, str, str]:
    """Tokens, milliseconds to the first and tokens/s, as text; empty where unknown."""
    first, speed = one["first_token_s"], one["tokens_per_s"]
    return (
        "" if one["tokens"] is None else str(one["tokens"]),
        "" if first is None else f"{1000 * first:.0f}",
        "" if speed is None else f"{speed:,.0f}",
    )


def save(file: str | Path, runs: Sequence[Run], votes: Sequence[Vote]) -> None:
    """All of it as JSON, with what the figures depend on. Raises BadInput."""
    kept = {"runs": list(runs), "votes": [asdict(vote) for vote in votes], "machine": machine()}
    try:
        Path(file).write_text(json.dumps(kept, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {error.strerror}.") from None


def load(file: str | Path) -> tuple[list[Run], list[Vote]]:
    """The runs and votes of a file that `save` wrote. Raises BadInput."""
    try:
        kept = json.loads(Path(file).read_text(encoding="utf-8"))
        runs = list(kept["runs"])
        for run in runs:
            if {"prompt", "date"} - set(run) or any(NEEDED - set(one) for one in run["columns"]):
                raise ValueError
        return runs, [Vote(str(v["one"]), str(v["other"]), float(v["score"])) for v in kept["votes"]]
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput(f"{file} is no file that Compare saved.") from None


def table(runs: Sequence[Run]) -> pandas.DataFrame:
    """Every answer of every run, a row each."""
    import pandas

    return pandas.DataFrame(
        {"run": number, "date": run["date"], "prompt": run["prompt"], **one}
        for number, run in enumerate(runs, 1)
        for one in run["columns"]
    )
