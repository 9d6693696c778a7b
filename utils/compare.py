"""Prompts x routes: every answer is a row, written down as it comes, so that an interrupted run goes on where it was.

It knows backends by their contract; `connect` makes them, one after another, and each is closed before the next.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils import alone, catalog
from utils.alone import Memory, Question
from utils.backends import connect, mode_of
from utils.backends.address import choose
from utils.backends.target import resolve
from utils.core import Backend, Completion, Mode, Options, complete, named, warm_up
from utils.errors import BackendError, BadInput
from utils.machine import machine, threads

if TYPE_CHECKING:
    import pandas

TIMES = ("first_token_s", "tokens_per_s", "total_s")
KEY = ("place", "prompt", "repeat", "options", "mode")  # what makes two lines answers to the same question
NEEDED = {*KEY, "error", "source"}  # what a line must have to be taken up
Line = dict[str, Any]


def place(route: str, model: str | None = None) -> str:
    """How a route with a model is named: "onnx/pocket-phi-3-mini:int4", or "onnx" for its usual model."""
    return f"{route}/{model}" if model else route


def split(place: str) -> tuple[str, str | None]:
    """Route and model of such a name. A model's name may hold slashes; a route's does not."""
    route, _, model = place.partition("/")
    return route, model or None


def sweep(
    places: str | Sequence[str],
    prompts: str | Sequence[str],
    options: Options = Options(),
    *,
    repeats: int = 1,
    file: str | os.PathLike[str] | None = None,
    mode: Mode | None = None,
    progress: bool = True,
    opened: Callable[..., Backend] = connect,
) -> list[Line]:
    """Asks every place every prompt, `repeats` times, and returns a line for each answer, in that order. A place is
    warmed up before its first question, unless that may cost something.

    `places`: names as `place` gives them. With `file` each line is added to it as soon as it is there (JSON lines), and
    what it holds already is not asked again: after an interrupt the same call goes on. A route that cannot be reached
    and an answer that fails are lines with an `error`, and are asked anew next time; so is, in mode "auto", what a
    pocket model has answered where the real one can be reached now. Raises BadInput.
    """
    from tqdm.auto import tqdm  # here: it loads ipywidgets in a notebook

    places = [places] if isinstance(places, str) else list(places)
    prompts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not places or not prompts or repeats < 1:
        raise BadInput("A sweep takes at least one route, one prompt and one repeat.")
    chosen = mode_of(mode)
    known: dict[str, Line] = {}
    if file is not None:
        known = {_key(line): line for line in load(file) if line["error"] is None}
        _mend(file)
        _forget_stand_ins(known, places, chosen)
    asked = [
        {"place": at, "prompt": prompt, "repeat": n, "options": dataclasses.asdict(options), "mode": chosen}
        for at in places
        for prompt in prompts
        for n in range(1, repeats + 1)
    ]
    missing = [line for line in asked if _key(line) not in known]
    quiet = not progress or not missing
    with tqdm(total=len(asked), initial=len(asked) - len(missing), unit="answer", leave=False, disable=quiet) as bar:
        for line in _answers(missing, options, chosen, opened):
            known[_key(line)] = line
            if file is not None:
                _add(file, line)
            bar.update()
    return [known[_key(line)] for line in asked]


def _forget_stand_ins(known: dict[str, Line], places: Sequence[str], mode: Mode) -> None:
    """Take out of `known` what a pocket model answered in place of a real one that can be reached now."""
    for at in dict.fromkeys(places):
        stood_in = [key for key, line in known.items() if line["place"] == at and line["source"] == "pocket"]
        if mode == "auto" and stood_in and _source(at, mode) == "live":
            for key in stood_in:
                del known[key]


def _source(at: str, mode: Mode) -> str | None:
    """Whether the real model would answer there, or a pocket model; None where neither would. It starts nothing."""
    name, model = split(at)
    route = catalog.load().routes.get(name)
    if route is not None:
        with suppress(BackendError):
            return choose(route, model, mode)[0] if route.hosted else resolve(route, model, mode).source
    return None


def _answers(missing: Sequence[Line], options: Options, mode: Mode, opened: Callable[..., Backend]) -> Iterator[Line]:
    """A line for each that is missing; a model is loaded when its first question comes and freed after its last."""
    made = {"date": datetime.date.today().isoformat(), "machine": machine()}
    for at in dict.fromkeys(line["place"] for line in missing):
        route, model = split(at)
        backend: Backend | None = None
        problem = ""
        try:
            backend = opened(route, model, mode=mode)
        except BackendError as error:
            problem = str(error)
        try:
            if backend is not None:
                warm_up(backend)
            busy = {"threads": threads(route) if backend else None}
            for line in (line for line in missing if line["place"] == at):
                yield line | _answer(backend, problem, line["prompt"], options) | made | busy
        finally:
            if backend is not None:
                backend.close()


def _answer(backend: Backend | None, problem: str, prompt: str, options: Options) -> Line:
    """What is known of one answer, or why there is none."""
    empty: Line = dict.fromkeys(field.name for field in dataclasses.fields(Completion))
    if backend is None:
        return empty | times(None) | {"error": problem}
    try:
        answer = complete(backend, prompt, options)
    except BackendError as error:
        known = {"backend": backend.name, "model": backend.model, "source": backend.source, "text": error.partial}
        return empty | known | times(None) | {"error": str(error)}
    return dataclasses.asdict(answer) | times(answer) | {"error": None}


def times(answer: Completion | None) -> dict[str, float | None]:
    """What was measured of an answer, in seconds and tokens/s; None where it is unknown, since JSON has no nan."""
    values = {name: getattr(answer, name, math.nan) for name in TIMES}
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _key(line: Line) -> str:
    return json.dumps([line[name] for name in KEY], sort_keys=True)


def load(file: str | os.PathLike[str]) -> list[Line]:
    """The lines of a sweep's file, none if there is no file; without a last one that was cut off. Raises BadInput."""
    try:
        lines = Path(file).read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}.") from None
    made = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or not row.keys() >= NEEDED:
                raise ValueError
            made.append(row)
        except ValueError:
            if number < len(lines):
                raise BadInput(f"{file}, line {number} is no line of a sweep.") from None
    return made


def _mend(file: str | os.PathLike[str]) -> None:
    """Take off a last line that an interrupt cut short."""
    there = Path(file)
    data = there.read_bytes() if there.is_file() else b""
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        there.write_bytes(data[:whole])


def _add(file: str | os.PathLike[str], line: Line) -> None:
    try:
        with Path(file).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {error.strerror}.") from None


def memory(
    places: str | Sequence[str],
    prompt: str = "What is a small language model?",
    *,
    tokens: int = 64,
    mode: Mode | None = None,
) -> list[Memory]:
    """What each place takes, asked once in a process of its own: a pass that times nothing, since looking takes time.

    Raises Unsupported for a route whose model lies in a server, and BackendError.
    """
    places = [places] if isinstance(places, str) else places
    return [alone.weigh(*split(at), Question(prompt, tokens), mode) for at in places]


def table(lines: Iterable[Line], memories: Iterable[Memory] = ()) -> pandas.DataFrame:
    """The lines as a table for people: times in milliseconds, speeds in tokens/s, what `memory` has found in MB."""
    import pandas

    shown = ["place", "source", "model", "prompt", "repeat", "text", "tokens", "prompt_tokens", "first_token_ms"]
    shown += ["tokens_per_s", "finish_reason", "error"]
    made = pandas.DataFrame(list(lines), columns=[*shown, "first_token_s", "backend"])
    made["first_token_ms"] = 1000 * made["first_token_s"].astype(float)
    if weighed := {one.name: one for one in memories}:
        found = [weighed.get(named(model, at)) for model, at in zip(made["model"], made["backend"], strict=True)]
        made["memory_mb"] = [one and one.peak / 1e6 for one in found]
        made["files_mb"] = [one and one.files / 1e6 for one in found]
        shown += ["memory_mb", "files_mb"]
    return made[shown]
