"""Prompts x routes: every answer is a row, written down as it comes, so that an interrupted run goes on where it was.

It knows backends by their contract; `connect` makes them, one after another, and each is closed before the next.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.backends import connect
from utils.core import Backend, Completion, Mode, Options, complete
from utils.errors import BackendError, BadInput

if TYPE_CHECKING:
    import pandas

PACKAGES = ("torch", "transformers", "onnxruntime-genai", "xllamacpp", "openvino-genai", "mlx-lm")
THREADS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "SLM_MODE", "ONNX_PROVIDER")  # what changes speed from outside
TIMES = ("first_token_s", "tokens_per_s", "total_s")
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
    """Asks every place every prompt, `repeats` times, and returns a line for each answer, in that order.

    `places`: names as `place` gives them. With `file` each line is added to it as soon as it is there (JSON lines), and
    what it holds already is not asked again: after an interrupt the same call goes on. A route that cannot be reached
    and an answer that fails are lines with an `error`, and are asked anew next time. Raises BadInput.
    """
    places = [places] if isinstance(places, str) else list(places)
    prompts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not places or not prompts or repeats < 1:
        raise BadInput("A sweep takes at least one route, one prompt and one repeat.")
    known: dict[str, Line] = {}
    if file is not None:
        known = {_key(line): line for line in load(file) if line["error"] is None}
        _mend(file)
    wanted = [(at, prompt, number) for at in places for prompt in prompts for number in range(1, repeats + 1)]
    asked = {each: _asked(*each, options) for each in wanted}
    missing = [each for each in wanted if _key(asked[each]) not in known]
    for line in _answers(missing, asked, options, _counted(len(wanted), len(missing), progress), mode, opened):
        known[_key(line)] = line
        if file is not None:
            _add(file, line)
    return [known[_key(asked[each])] for each in wanted]


def _answers(
    missing: Sequence[tuple[str, str, int]],
    asked: dict[tuple[str, str, int], Line],
    options: Options,
    count: Callable[[], object],
    mode: Mode | None,
    opened: Callable[..., Backend],
) -> Iterator[Line]:
    """A line for each that is missing; a model is loaded when its first question comes and freed after its last."""
    made = {"date": datetime.date.today().isoformat(), "machine": machine()}
    for at in dict.fromkeys(at for at, _, _ in missing):
        route, model = split(at)
        backend: Backend | None = None
        problem = ""
        try:
            backend = opened(route, model, mode=mode)
        except BackendError as error:
            problem = str(error)
        try:
            for each in (each for each in missing if each[0] == at):
                yield asked[each] | _answer(backend, problem, each[1], options) | made
                count()
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


def _asked(at: str, prompt: str, number: int, options: Options) -> Line:
    return {"place": at, "prompt": prompt, "repeat": number, "options": dataclasses.asdict(options)}


def _key(line: Line) -> str:
    return json.dumps([line[name] for name in ("place", "prompt", "repeat", "options")], sort_keys=True)


def machine() -> Line:
    """What a figure depends on: system, processor, cores, versions of the runtimes, settings of threads."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
        "settings": {name: os.environ[name] for name in THREADS if name in os.environ},
    }


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
        try:
            row = json.loads(line) if line.strip() else None
            if row is not None:
                _key(row), row["error"]
                made.append(row)
        except (ValueError, KeyError, TypeError):
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


def _counted(of: int, missing: int, progress: bool) -> Callable[[], object]:
    """A progress bar that begins where the file ends."""
    if not progress or not missing:
        return lambda: None
    from tqdm.auto import tqdm

    bar = tqdm(total=of, initial=of - missing, unit="answer", leave=False)

    def count() -> None:
        bar.update()
        if bar.n == of:
            bar.close()

    return count


def table(lines: Iterable[Line]) -> pandas.DataFrame:
    """The lines as a table for people: times in milliseconds, speeds in tokens/s."""
    import pandas

    made = pandas.DataFrame(list(lines))
    made["first_token_ms"] = 1000 * made["first_token_s"].astype(float)
    names = ["place", "source", "model", "prompt", "repeat", "text", "tokens", "prompt_tokens", "first_token_ms"]
    return made[[*names, "tokens_per_s", "finish_reason", "error"]]
