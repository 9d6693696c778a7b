"""The family's table: what each pocket model scores, how fast each runtime runs it, and in how much memory.

Scores come from the models' records (`pocket eval` gives them again); speed and memory are measured now, each in a
process of its own. `python -m utils pocket table` writes both into utils/pocket/README.md.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import psutil

import utils
from utils.alone import Question, ask, peak_memory
from utils.backends.local import LocalBackend
from utils.core import as_messages
from utils.errors import Unsupported
from utils.pocket import NAMES, home
from utils.pocket.weights import RECORD

README = Path(__file__).parent.parent / "pocket" / "README.md"
HEAD, TAIL = "<!-- made by `python -m utils pocket table` -->\n", "<!-- end of what is made -->\n"
ROUTES = ("onnx", "llama.cpp", "openvino", "mlx", "transformers")
PROMPT = "What is a small language model, and what can I do with it in a mountain hut?"
TOKENS, RUNS = 128, 7
TASKS = ("field", "hut", "reading", "booking", "spelling")  # ten prompts of each, to see whether two routes agree
Figures = dict[tuple[str, str], dict[str, Any]]  # (model, route): {"speeds": tokens/s of each run, "megabytes": peak}


def measure(names: Sequence[str] = NAMES, routes: Sequence[str] = ROUTES) -> Figures:
    """Every model on every route that is installed; memory comes from a process that answers once."""
    figures: Figures = {}
    there = utils.routes()
    for route in routes:
        if route not in there:
            continue
        for name in names:
            try:  # the model is exported now, if it was not yet
                memory = peak_memory(route, name, Question(PROMPT, TOKENS), "offline")
            except Unsupported:  # the route has no such models
                continue
            (asked,) = ask(route, name, [Question(PROMPT, TOKENS, RUNS)], "offline")
            figures[name, route] = {"speeds": asked.tokens_per_s, "megabytes": memory / 1e6}
            print(f"{name:22} {route:13} {statistics.median(asked.tokens_per_s):6.0f} tokens/s", flush=True)
    return figures


def agreement(name: str, route: str) -> dict[str, float]:
    """How often a route gives the tokens that Transformers gives, and how far its log-probabilities are from theirs."""
    from utils.pocket.evaluate import held_out

    theirs, ours = (cast(LocalBackend, utils.connect(at, name, mode="offline")) for at in ("transformers", route))
    same, apart, options = 0, [], utils.Options(max_tokens=64, logprobs=True)
    prompts = [made.turns[0].prompt for task in TASKS for made in held_out(task, 10)]
    for prompt in prompts:
        ids = theirs.prompt_ids(as_messages(prompt))
        expected: list[float] = []
        found: list[float] = []
        wanted, got = (list(backend.generate(ids, options, of)) for backend, of in ((theirs, expected), (ours, found)))
        same += wanted == got
        alike = next((i for i, (a, b) in enumerate(zip(wanted, got, strict=False)) if a != b), len(got))
        apart += [abs(a - b) for a, b in zip(expected[:alike], found[:alike], strict=False)]
    theirs.close()
    ours.close()
    return {
        "prompts": len(prompts),
        "same": same,
        "tokens": len(apart),
        "mean_difference": sum(apart) / len(apart),
        "largest_difference": max(apart),
    }


def compare_experts() -> None:
    """Write how near llama.cpp comes to each mixture of experts into its record and its card."""
    from utils.pocket.card import card

    for name, record in records().items():
        if "twin" in record and "llama.cpp" in utils.routes():
            record["llama.cpp"] = agreement(name, "llama.cpp")
            (home(name) / RECORD).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            (home(name) / "README.md").write_text(card(name, home(name)), encoding="utf-8")


def records() -> dict[str, dict[str, Any]]:
    """training.json of each model that is here."""
    return {name: json.loads((home(name) / RECORD).read_text(encoding="utf-8")) for name in NAMES}


def scores_table() -> str:
    """Sizes and held-out scores in per cent, a column a model."""
    made = records()
    tasks = dict.fromkeys(task for record in made.values() for task in record["scores"])
    rows: list[list[str]] = [
        ["parameters", *(f"{r['parameters'] / 1e6:.1f} M" for r in made.values())],
        ["active for a token", *(f"{r.get('active_parameters', r['parameters']) / 1e6:.1f} M" for r in made.values())],
        ["in the repository", *(f"{_megabytes(name):.1f} MB" for name in made)],
        ["minutes of training", *(str(r["minutes"]) for r in made.values())],
        ["documents a task", *(str(r["held_out_documents"]) for r in made.values())],
    ]
    for task in tasks:
        rows.append([task, *(f"{r['scores'][task]:.1%}" if task in r["scores"] else "" for r in made.values())])
    return _table(["", *(f"[{name}](../data/pocket/{name}/README.md)" for name in made)], rows)


def _megabytes(name: str) -> float:
    return sum(file.stat().st_size for file in home(name).glob("*.safetensors")) / 1e6


def speed_table(figures: Figures) -> str:
    """Median decode speed with the slowest and the fastest run, and peak memory, a row a model and route."""
    rows = []
    for (name, route), figure in figures.items():
        speeds = figure["speeds"]
        spread = f"{min(speeds):,.0f} to {max(speeds):,.0f}"
        rows.append([name, route, f"{statistics.median(speeds):,.0f}", spread, f"{figure['megabytes']:,.0f}"])
    return _table(["model", "route", "tokens/s", "of " + str(RUNS) + " runs", "MB at most"], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def write(figures: Figures) -> None:
    """Put both tables into utils/pocket/README.md, between its marks."""
    text = README.read_text(encoding="utf-8")
    before, after = text.split(HEAD)[0], text.split(TAIL)[1]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB"
    made = (
        f"{scores_table()}\nMeasured on {machine}: {TOKENS} tokens after one prompt in 32 bit, a process for each row; "
        f"the memory is that of a process that answers once.\n\n{speed_table(figures)}"
    )
    README.write_text(before + HEAD + made + TAIL + after, encoding="utf-8")
