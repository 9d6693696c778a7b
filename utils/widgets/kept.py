"""Runs of the compare widget as plain data: what was asked, said and measured; to files and from them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from utils.compare import TIMES, times
from utils.core import Completion, Mode, Options
from utils.errors import BadInput
from utils.widgets.contest import Vote

if TYPE_CHECKING:
    import pandas

MOST = 4  # columns
COUNTS = ("tokens", "prompt_tokens", "finish_reason")
TEXTS = ("place", "text", "problem")
WORDS = ("model", "source", "finish_reason")
SIZES = ("memory_mb", "weights_mb")
NUMBERS = ("tokens", "prompt_tokens", *TIMES, *SIZES)
ENDINGS = {"stop": "complete", "length": "cut off at the limit", None: "incomplete"}
Answer = dict[str, Any]
Run = dict[str, Any]


def answer(place: str) -> Answer:
    """What is kept of a column, as long as nothing is known of it. Megabytes are measured afterwards, if at all."""
    made: Answer = {"place": place, "model": None, "source": None, "text": "", "problem": ""}
    return made | measured(None) | dict.fromkeys(SIZES)


def measured(said: Completion | None) -> Answer:
    """Counts and times of an answer; None where they are unknown."""
    return {name: getattr(said, name, None) for name in COUNTS} | times(said)


def milliseconds(seconds: float) -> str:
    """Of short times a tenth matters."""
    return f"{1000 * seconds:.{1 if seconds < 0.00995 else 0}f}"


def figures(one: Answer) -> tuple[str, str, str, str]:
    """Tokens, milliseconds to the first, tokens/s and megabytes, as text; empty where unknown."""
    first, speed, memory = one["first_token_s"], one["tokens_per_s"], one["memory_mb"]
    return (
        "" if one["tokens"] is None else str(one["tokens"]),
        "" if first is None else milliseconds(first),
        "" if speed is None else f"{speed:,.0f}",
        "" if memory is None else f"{memory:,.0f}",
    )


def told(one: Answer) -> str:
    """The line under an answer: how long it is, how fast it came and how it ended, or what went wrong."""
    if one["problem"]:
        return str(one["problem"])
    tokens, first, speed, memory = figures(one)
    parts = (
        f"{tokens} tokens" if tokens else "tokens unknown",
        first and f"first after {first} ms",
        speed and f"then {speed} tokens/s",
        ENDINGS.get(one["finish_reason"], str(one["finish_reason"])),
        memory and f"peak memory {memory} MB in a process of its own",
        one["weights_mb"] and f"{one['weights_mb']:,.0f} MB of weights on disk",
    )
    return " · ".join(filter(None, parts))


def plain(options: Options) -> dict[str, Any]:
    """Options as JSON gives them back."""
    return asdict(options) | {"stop": list(options.stop)}


def listed(runs: Sequence[Run]) -> list[tuple[str, int]]:
    """For a list to pick from: each run with its number from 0, the newest first; above them nothing, which is -1."""
    made = [(f"{i}: {run['prompt'][:60]} ({run['date']})", i - 1) for i, run in enumerate(runs, 1)]
    return [("", -1), *reversed(made)]


def how(run: Run) -> str:
    """When a run was, and what its figures depend on besides its prompts."""
    asked, pictures = run["options"], ", ".join(run["pictures"])
    seen = f" Pictures: {pictures}." if pictures else ""
    return f"of {run['date']}: at most {asked['max_tokens']} tokens, temperature {asked['temperature']:g}.{seen}"


def save(file: str | Path, runs: Sequence[Run], votes: Sequence[Vote]) -> None:
    """All of it as JSON. What `file` held before stays until the new text is written. Raises BadInput."""
    kept = {"runs": list(runs), "votes": [asdict(vote) for vote in votes]}
    text = json.dumps(kept, ensure_ascii=False, indent=1) + "\n"
    draft = Path(f"{file}.part")
    try:
        draft.write_text(text, encoding="utf-8", errors="backslashreplace")  # half a character: JSON's own escape
        os.replace(draft, file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise BadInput(f"{file} cannot be written: {error.strerror}.") from None


def load(file: str | Path) -> tuple[list[Run], list[Vote]]:
    """The runs and votes of a file that `save` wrote. Raises BadInput."""
    try:
        kept = json.loads(Path(file).read_text(encoding="utf-8"))
        return [_run(run) for run in kept["runs"]], [_vote(vote) for vote in kept["votes"]]
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{file} is no file that Compare saved.") from None


def _run(run: Run) -> Run:
    """The same with all its options, if it can be shown. Raises ValueError, KeyError or TypeError."""
    columns: list[Answer] = list(run["columns"])
    good = 1 <= len(columns) <= MOST and isinstance(run["machine"], dict) and run["mode"] in get_args(Mode)
    good = good and _all([run[name] for name in ("prompt", "system", "date")] + list(run["pictures"]), str)
    for kinds, names in ((str, TEXTS), (str | None, WORDS), (int | float | None, NUMBERS)):
        good = good and _all([one[name] for one in columns for name in names], kinds)
    if not good or not isinstance(run["together"], bool):
        raise ValueError
    return run | {"options": plain(Options(**run["options"]))}


def _all(values: Sequence[Any], kinds: Any) -> bool:
    return all(isinstance(value, kinds) for value in values)


def _vote(vote: dict[str, Any]) -> Vote:
    return Vote(str(vote["one"]), str(vote["other"]), float(vote["score"]))


def table(runs: Sequence[Run]) -> pandas.DataFrame:
    """Every answer of every run, a row each, with what was asked and how."""
    import pandas

    return pandas.DataFrame(
        {"run": number, **{name: run[name] for name in ("date", "prompt", "system", "together")}}
        | {"pictures": ", ".join(run["pictures"]), **run["options"], **one}
        for number, run in enumerate(runs, 1)
        for one in run["columns"]
    )
