"""How much memory the models of a run take: each asked once more, alone in a process of its own, which is watched from
outside. It is a pass of its own, since watching takes time from what is timed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from utils.alone import Question, weigh
from utils.compare import split
from utils.core import named
from utils.errors import BackendError
from utils.machine import machine
from utils.widgets.kept import Run


def measure(run: Run, stop: threading.Event, tell: Callable[[str], object]) -> str:
    """Fill in `memory_mb` and `weights_mb` of the answers, until `stop` is set. `tell` hears how it goes; what there is
    to say at the end is returned."""
    if run["machine"] != machine():
        return "This run is from another machine, or from other versions. Press Run, then measure."
    if run["pictures"]:
        return "Memory is measured for questions without pictures only."
    question = Question("\n".join(filter(None, (run["system"], run["prompt"]))), run["options"]["max_tokens"])
    trouble = []
    for answer in run["columns"]:
        tell(f"Measuring the memory of {answer['place']} ...")
        trouble.append(_peak(answer, question, run["mode"], stop))
        if stop.is_set():
            return "Stopped."
    return " ".join(filter(None, ["" if all(trouble) else "Memory measured.", *dict.fromkeys(trouble)]))


def _peak(answer: dict[str, Any], question: Question, mode: str, stop: threading.Event) -> str:
    """Why it cannot be known, if so."""
    if answer["source"] is None:
        return f"{answer['place']} gave no answer."
    route, model = split(answer["place"])
    try:
        found = weigh(route, model, question, mode, stop)
    except BackendError as error:
        return str(error)
    if found.name != named(answer["model"], route):
        return f"{found.name} answers now, not {answer['model']}. Press Run, then measure."
    answer |= {"memory_mb": found.peak / 1e6, "weights_mb": found.files / 1e6}
    return ""
