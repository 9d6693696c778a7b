"""How fast would the real model be here? Asked of a model of exactly its shape with random weights.

Its answers are noise, its speed and memory are those of the real one. With fewer layers than the shape has, two
models of different depth are measured, and what a layer adds is carried on to the whole.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isnan, nan
from pathlib import Path
from statistics import median

import psutil

from utils import catalog
from utils.alone import Asked, Question, ask, peak_memory
from utils.catalog import cache_folder
from utils.errors import BadInput, UnknownModel, Unsupported
from utils.rehearse import forms
from utils.rehearse.forms import Form
from utils.roofline import probe

PROMPTS = (32, 128, 512)  # words, each of about one token
WORD = "hut "
TOKENS, RUNS = 32, 3
LEFT = "rehearse-"  # then the process's number: what a killed process has left behind is known by it


@dataclass(frozen=True)
class Rehearsal:
    """What was measured of `layers` layers, or (`measured` < `layers`) estimated from models of fewer.

    `tokens_per_s` and `first_token_s` (by tokens of the prompt) are medians, memory and disk are bytes. `limit` and
    `processor_limit`: tokens/s that the memory and the processor allow at most; the lower one is the roof."""

    model: str
    form: str
    layers: int
    measured: int
    tokens_per_s: float
    first_token_s: dict[int, float]
    memory: int
    disk: int
    limit: float
    processor_limit: float = nan

    def __str__(self) -> str:
        how = (
            f"estimated for {self.layers} layers from models of {self.measured // 2} and {self.measured}"
            if self.estimated
            else f"measured with all {self.layers} layers"
        )
        lines = [
            f"{self.model} as {self.form}, {how}",
            f"decode          {self.tokens_per_s:8.1f} tokens/s",
            *(f"first token     {s:8.2f} s after {tokens} tokens" for tokens, s in self.first_token_s.items()),
            f"memory allows   {self.limit:8.1f} tokens/s at most: each token reads all weights",
            f"processor allows{self.processor_limit:8.1f} tokens/s at most in 32 bit: two operations for each weight",
            f"memory          {self.memory / 1e9:8.1f} GB",
            f"on disk         {self.disk / 1e9:8.1f} GB",
            "The weights are random: what it answers is noise, how fast it answers is real.",
        ]
        if any(map(isnan, (self.tokens_per_s, *self.first_token_s.values()))):
            lines.append("nan: with more layers it was faster, so other programs were at work. Measure again.")
        return "\n".join(lines)

    @property
    def estimated(self) -> bool:
        return self.measured < self.layers


def rehearse(
    model: str = "phi-3.5-mini",
    form: str = "onnx-int4",
    *,
    layers: int | None = None,
    prompts: Sequence[int] = PROMPTS,
    keep: str | os.PathLike[str] | None = None,
    say: Callable[[str], object] = print,
) -> Rehearsal:
    """Builds the model, measures it and removes it, unless it is to be kept in the new or empty folder `keep`.

    `layers`: of so many, and of half as many, layers the whole is estimated; None: all are built. `prompts`: lengths in
    words of about one token each, the shortest first. Raises BadInput,
    UnknownModel, Unsupported, ExportFailed (also when disk or memory do not suffice) or BackendError.
    """
    shape, kind = _shape(model), forms.named(form)
    whole = shape["num_hidden_layers"]
    if layers is not None and not (4 <= layers <= whole and layers % 2 == 0):
        raise BadInput(f"layers is {layers!r}, but it must be an even number from 4 to {whole}.")
    target = None if keep is None else _empty(Path(keep))
    depths = [whole] if layers in (None, whole) else [layers // 2, layers]
    forms.check_room(shape | {"num_hidden_layers": depths[-1]}, kind, _home())
    with _scratch() as scratch:
        say(f"Making a model of the shape of {model}, {depths[-1]} of {whole} layers, with random weights ...")
        base = forms.base(shape, kind, scratch)
        taken = []
        for depth in depths:
            folder = scratch / f"{model}-random-{depth}-layers"
            forms.deepen(base, kind, folder, depth)
            say(f"Measuring {depth} layers ...")
            taken.append(_measured(model, kind, folder, depth, prompts))
            if target and depth == depths[-1]:
                shutil.move(folder, target)
            else:
                shutil.rmtree(folder)
    say("Measuring how fast memory and processor are ...")
    machine, load = probe(), forms.load(shape, kind)
    made = taken[0] if len(taken) == 1 else _carried_on(taken[0], taken[1], whole)
    limit, processor_limit = machine.bandwidth / load.weights, machine.compute / (2 * load.parameters)
    return replace(made, limit=limit, processor_limit=processor_limit)


def _shape(model: str) -> dict[str, int]:
    shapes = {name: row.shape for name, row in catalog.load().models.items() if row.shape}
    if model not in shapes:
        raise UnknownModel(f"There is no published shape of {model!r} here. There are: {', '.join(shapes)}.")
    if "num_local_experts" in shapes[model]:
        raise Unsupported(f"{model} is a mixture of experts, which cannot be rehearsed yet. Try 'phi-3.5-mini'.")
    return shapes[model]


def _empty(target: Path) -> Path:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadInput(f"{target} is not empty, and nothing is overwritten. Name a new or an empty folder.")
    return target


def _home() -> Path:
    home = cache_folder()
    home.mkdir(parents=True, exist_ok=True)
    return home


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder that is gone afterwards; first goes what a killed process has left."""
    for old in _home().glob(f"{LEFT}*"):
        if not psutil.pid_exists(int(old.name.removeprefix(LEFT).partition("-")[0])):
            shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{LEFT}{os.getpid()}-", dir=_home()) as folder:
        yield Path(folder)


def _measured(model: str, kind: Form, folder: Path, depth: int, prompts: Sequence[int]) -> Rehearsal:
    name = f"{folder}:{kind.precision}"
    questions = [Question(WORD * prompts[0], TOKENS, RUNS), *(Question(WORD * n, 1, RUNS) for n in prompts[1:])]
    asked = ask(kind.route, name, questions)
    memory = peak_memory(kind.route, name, Question(WORD * prompts[-1], TOKENS))
    disk = sum(file.stat().st_size for file in folder.iterdir())
    return Rehearsal(model, str(kind), depth, depth, median(asked[0].tokens_per_s), _waits(asked), memory, disk, nan)


def _waits(asked: list[Asked]) -> dict[int, float]:
    return {one.prompt_tokens: median(one.first_token_s) for one in asked}


def _carried_on(few: Rehearsal, more: Rehearsal, whole: int) -> Rehearsal:
    """Each layer costs the same: the straight line through both."""

    def at(a: float, b: float) -> float:
        return b + (b - a) * (whole - more.layers) / (more.layers - few.layers)

    def time(a: float, b: float) -> float:
        return seconds if (seconds := at(a, b)) > 0 else nan

    return Rehearsal(
        more.model,
        more.form,
        whole,
        more.layers,
        1 / time(1 / few.tokens_per_s, 1 / more.tokens_per_s),
        {tokens: time(few.first_token_s[tokens], wait) for tokens, wait in more.first_token_s.items()},
        round(at(few.memory, more.memory)),
        round(at(few.disk, more.disk)),
        nan,
    )
