"""The model card: what a pocket model is, how it was made, and what it scores on documents it never saw.

`training.json` is the record of a training run; README.md, the card, is written from it and from data/cards.toml.
"""

from __future__ import annotations

import json
import os
import platform
import re
import tomllib
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer

from .evaluate import answers, greedy, interval, prompt_ids, scored
from .train import Run, data

DATA = Path(__file__).parent.parent / "data"
COUNT = 500  # held-out documents a task: its score is known to within two to four points
TRIAL = 20  # after a trial with fewer steps
WEAK = 0.2  # a task with a lower score is named among what the model cannot do
LANGUAGES = {"en": "English", "zh": "Chinese", "ja": "Japanese", "es": "Spanish", "fr": "French", "de": "German"}


def write_card(run: Run, tokenizer: Tokenizer, folder: Path, count: int = COUNT) -> dict[str, float]:
    """Score the run's model on `count` held-out documents a task; returns the scores.

    Writes training.json and README.md into `folder`.
    """
    model = run.model.float().eval()  # the weights were rounded to 16 bit when they were written
    scores = {}
    for task in scored(run.recipe.mix):
        scores[task] = sum(answer.right for answer in answers(model, tokenizer, task, count)) / count
        print(f"{task:21} {scores[task]:6.1%}", flush=True)
    asked = _texts(run.recipe.name)["asked"]
    record = {
        "command": f"python -m utils pocket train {run.recipe.name}",
        "seed": run.recipe.seed,
        "steps": run.step,
        "tokens_per_step": run.recipe.tokens,
        "minutes": round(run.seconds / 60, 1),
        "data_sha256": data(run.recipe),
        "parameters": sum(p.numel() for p in model.parameters()),
        "held_out_documents": count,
        "scores": scores,
        "answers": dict(
            zip(asked, greedy(model, tokenizer, [prompt_ids(tokenizer, "", text) for text in asked]), strict=True)
        ),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "loss": run.losses[:: max(1, len(run.losses) // 100)],
    }
    (folder / "training.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(run.recipe.name, folder), encoding="utf-8")
    return scores


def _texts(name: str) -> dict[str, Any]:
    return dict(tomllib.loads((DATA / "cards.toml").read_text(encoding="utf-8"))[name])


def card(name: str, folder: Path) -> str:
    """The card of the model in `folder`, from its record and configuration."""
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    template = (DATA / "card.md").read_text(encoding="utf-8")
    count, scores = record["held_out_documents"], record["scores"]
    return template.format(
        name=name,
        texts=_texts(name),
        record=record,
        shape=json.loads((folder / "config.json").read_text(encoding="utf-8")),
        millions=f"{record['parameters'] / 1e6:.1f}",
        scores="\n".join(_row(task, score, count) for task, score in scores.items()),
        weak=", ".join(task for task, score in scores.items() if score < WEAK) or "nothing",
        answers="\n".join(f"- **{asked}** {_quoted(answer)}" for asked, answer in record["answers"].items()),
    )


def _row(task: str, score: float, count: int) -> str:
    low, high = interval(score, count)
    return f"| {task} | {_asks(task)} | {score:.1%} | {low:.1%} to {high:.1%} |"


def _asks(task: str) -> str:
    """What the task is, in words: of "reading (zh)", that of "reading" with the language."""
    asks = tomllib.loads((DATA / "tasks.toml").read_text(encoding="utf-8"))
    if pair := re.fullmatch(r"translation (\w\w)-(\w\w)", task):
        return f"a sentence in {LANGUAGES[pair[1]]} into {LANGUAGES[pair[2]]}"
    base, code = re.fullmatch(r"(.*?)(?: \((\w\w)\))?", task).groups()  # type: ignore[union-attr]
    return f"{asks[base]}, in {LANGUAGES[code]}" if code else str(asks[base])


def _quoted(text: str) -> str:
    return "`" + text.replace("`", "'").replace("\n", " ") + "`"
