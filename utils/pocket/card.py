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
from transformers import PreTrainedModel

from . import PACKED, weights
from .evaluate import answers, greedy, interval, load, prompt_ids, scored
from .packed import unpacked
from .train import Run, data

DATA = Path(__file__).parent.parent / "data"
COUNT = 500  # held-out documents a task: its score is known to within two to four points
TRIAL = 20  # after a trial with fewer steps
WEAK = 0.2  # a task with a lower score is named among what the model cannot do
EIGHT_BITS = f"8 bits, a scale for every 32 numbers (llama.cpp's Q8_0): `{PACKED}`, unpacked to 16 bits on first use"
LANGUAGES = {"en": "English", "zh": "Chinese", "ja": "Japanese", "es": "Spanish", "fr": "French", "de": "German"}


def scores_of(model: PreTrainedModel, tokenizer: Tokenizer, mix: str, count: int) -> dict[str, float]:
    """The share of right answers to `count` held-out documents of each task."""
    scores = {}
    for task in scored(mix):
        scores[task] = sum(answer.right for answer in answers(model, tokenizer, task, count)) / count
        print(f"{task:21} {scores[task]:6.1%}", flush=True)
    return scores


def active(model: PreTrainedModel) -> int:
    """How many parameters work on each token: of the experts only those that are asked."""
    config = model.config.get_text_config()
    asleep = 1 - config.num_experts_per_tok / config.num_local_experts if "num_local_experts" in config else 0.0
    experts: int = sum(p.numel() for name, p in model.named_parameters() if ".experts." in name)
    return _size(model) - round(asleep * experts)


def _size(model: PreTrainedModel) -> int:
    """How many parameters it has; a head that is the same as the embedding is not counted again."""
    head, embedding = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    again: int = head.numel() if head is not embedding and torch.equal(head, embedding) else 0
    counted: int = sum(p.numel() for p in model.parameters())
    return counted - again


def write_card(
    run: Run, tokenizer: Tokenizer, folder: Path, count: int = COUNT, beside: Run | None = None
) -> dict[str, float]:
    """Score the model that was written to `folder` on `count` held-out documents a task; returns the scores.

    Writes training.json, with the figures of the model trained beside it if there is one, and README.md into `folder`.
    """
    model = load(unpacked(folder))  # rounded to what was written
    scores = scores_of(model, tokenizer, run.recipe.mix, count)
    asked = _texts(run.recipe.name)["asked"]
    record = {
        "command": f"python -m utils pocket train {run.recipe.name}",
        "seed": run.recipe.seed,
        "steps": run.step,
        "tokens_per_step": run.recipe.tokens,
        "minutes": round(run.seconds / 60, 1),
        "data_sha256": data(run.recipe),
        weights.HASHES: weights.hashes(folder.glob("*.safetensors")),
        "parameters": _size(model),
        "active_parameters": active(model),
        "held_out_documents": count,
        "scores": scores,
        "answers": dict(
            zip(asked, greedy(model, tokenizer, [prompt_ids(tokenizer, "", text) for text in asked]), strict=True)
        ),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "loss": _thinned(run.losses),
    }
    if beside is not None:
        other = beside.model.eval()
        record["twin"] = {
            "parameters": _size(other),
            "active_parameters": active(other),
            "minutes": round(beside.seconds / 60, 1),
            "scores": scores_of(other, tokenizer, run.recipe.mix, count),
            "loss": _thinned(beside.losses),
        }
    (folder / weights.RECORD).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(run.recipe.name, folder), encoding="utf-8")
    return scores


def _thinned(losses: list[tuple[int, float]]) -> list[tuple[int, float]]:
    return losses[:: max(1, len(losses) // 100)]


def _texts(name: str) -> dict[str, Any]:
    return dict(tomllib.loads((DATA / "cards.toml").read_text(encoding="utf-8"))[name])


def card(name: str, folder: Path) -> str:
    """The card of the model in `folder`, from its record and configuration."""
    record = json.loads((folder / weights.RECORD).read_text(encoding="utf-8"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    template = (DATA / "card.md").read_text(encoding="utf-8")
    count, scores = record["held_out_documents"], record["scores"]
    return template.format(
        name=name,
        texts=_texts(name),
        record=record,
        architecture=f"`{config['architectures'][0]}`" + " with a Phi-3 decoder" * ("vision_config" in config),
        shape=_shape(config),
        context=config.get("text_config", config)["max_position_embeddings"],
        weights=EIGHT_BITS if (folder / PACKED).is_file() else "safetensors, 16-bit floating point",
        millions=f"{record['parameters'] / 1e6:.1f}",
        scores="\n".join(_row(task, score, count) for task, score in scores.items()),
        more=_twin(record) + _agreement(record),
        weak=", ".join(task for task, score in scores.items() if score < WEAK) or "nothing",
        answers="\n".join(f"- **{asked}** {_quoted(answer)}" for asked, answer in record["answers"].items()),
    )


def _shape(config: dict[str, Any]) -> str:
    """The configuration in a line."""
    text, seen = config.get("text_config", config), config.get("vision_config")
    experts = text.get("num_local_experts")
    mlp = f"{experts} experts with an MLP of {text['intermediate_size']}, two for each token" if experts else ""
    shape = (
        f"hidden {text['hidden_size']}, {text['num_hidden_layers']} layers, {text['num_attention_heads']} heads, "
        f"{mlp or 'MLP {intermediate_size}'.format(**text)}, vocabulary {text['vocab_size']}, "
        "embeddings shared with the output"
    )
    if seen is None:
        return shape
    tower = "hidden {hidden_size}, {num_hidden_layers} layers, {num_attention_heads} heads, MLP {intermediate_size}"
    return f"decoder: {shape}; tower: {tower.format(**seen)}, {seen['image_size'] // seen['patch_size']}² patches"


def _twin(record: dict[str, Any]) -> str:
    """How a mixture of experts compares with the dense model that was trained beside it."""
    twin = record.get("twin")
    if twin is None:
        return ""
    both = [(task, score, twin["scores"][task]) for task, score in record["scores"].items()]
    rows = "\n".join(f"| {task} | {ours:.1%} | {theirs:.1%} |" for task, ours, theirs in both)
    return (
        "## Beside a dense model of its active size\n\n"
        f"For each token {record['active_parameters'] / 1e6:.2f} of its {record['parameters'] / 1e6:.2f} million "
        f"parameters are at work. The dense model has {twin['parameters'] / 1e6:.2f} million, and read the same texts "
        f"in the same order. Loss at the end (running mean): {record['loss'][-1][1]:.3f}, of the dense model "
        f"{twin['loss'][-1][1]:.3f}; steps took {record['minutes']} and {twin['minutes']} minutes. Held-out scores:\n\n"
        f"| task | experts | dense |\n|---|---|---|\n{rows}\n\n"
    )


def _agreement(record: dict[str, Any]) -> str:
    """How near llama.cpp comes, where it computes another function."""
    near = record.get("llama.cpp")
    if near is None:
        return ""
    return (
        "## In llama.cpp\n\n"
        "llama.cpp's `phimoe` has RMSNorm for LayerNorm and another weighting of the two experts. The exporter changes "
        f"the weights so that both come out nearly the same (`utils/pocket/moe_gguf.py`). Of {near['prompts']} greedy "
        f"answers to held-out prompts in 32 bit {near['same']} were the same tokens as in Transformers; the "
        f"log-probabilities of {near['tokens']} tokens differed by {near['mean_difference']:.1e} on average and "
        f"{near['largest_difference']:.1e} at most. The other four runtimes give the same tokens.\n\n"
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
