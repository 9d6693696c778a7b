"""The model card: what a pocket model is, how it was made, and what it scores on documents it never saw."""

from __future__ import annotations

import json
import os
import platform
import tomllib
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer

from .evaluate import greedy, prompt_ids, scores
from .train import Run, data

DATA = Path(__file__).parent.parent / "data"
COUNT = 1000  # held-out documents a task: its score is known to within two or three points
TRIAL = 20  # after a trial with fewer steps
WEAK = 0.2  # a task with a lower score is named among what the model cannot do
ASKED = (  # shown in the card with whatever the model answers, right or wrong
    "What is an SLM?",
    "how much is a bowl of soup up there",
    "Tell me a short story about a fox.",
    "What is 47 + 38?",
    "Correct the spelling: The wether is very clod today.",
    "Who won the world cup in 1998?",
    "Which pills should I take for my headache?",
    "What is 347 + 589?",
    "Write a poem about the sea.",
    "Wo ist die Kueche?",
)


def write_card(run: Run, tokenizer: Tokenizer, folder: Path, count: int = COUNT) -> dict[str, float]:
    """Score the run's model on `count` held-out documents a task; returns the scores.

    Writes training.json and README.md into `folder`.
    """
    model = run.model.float()  # the weights were rounded to 16 bit when they were written
    result = scores(model, tokenizer, count, lambda task, score: print(f"{task:16} {score:6.1%}", flush=True))
    model.eval()
    shown = greedy(model, tokenizer, [prompt_ids(tokenizer, "", text) for text in ASKED])
    record = {
        "command": f"python -m utils pocket train {run.recipe.name}",
        "seed": run.recipe.seed,
        "steps": run.step,
        "tokens_per_step": run.recipe.tokens,
        "minutes": round(run.seconds / 60, 1),
        "data_sha256": data(run.recipe),
        "parameters": sum(p.numel() for p in model.parameters()),
        "held_out_documents": count,
        "scores": result,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "loss": run.losses[:: max(1, len(run.losses) // 100)],
    }
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_markdown(run, record, dict(zip(ASKED, shown, strict=True))), encoding="utf-8")
    return result


def _markdown(run: Run, record: dict[str, object], shown: dict[str, str]) -> str:
    template = (DATA / "card.md").read_text(encoding="utf-8")
    asks = tomllib.loads((DATA / "tasks.toml").read_text(encoding="utf-8"))
    rows = record["scores"]
    assert isinstance(rows, dict)
    shape = run.model.config
    return template.format(
        name=run.recipe.name,
        record=record,
        shape=shape,
        millions=f"{sum(p.numel() for p in run.model.parameters()) / 1e6:.1f}",
        scores="\n".join(f"| {task} | {asks[task]} | {score:.1%} |" for task, score in rows.items()),
        weak=", ".join(task for task, score in rows.items() if score < WEAK) or "none",
        answers="\n".join(f"- **{asked}** {_quoted(answer)}" for asked, answer in shown.items()),
    )


def _quoted(text: str) -> str:
    return "`" + text.replace("`", "'").replace("\n", " ") + "`"
