"""Held-out scores: greedy answers to documents whose questions, messages, names and number pairs were never trained on.

The framings of a task ("Correct the spelling: ...", "Hello, ...") are those of the training: how the model takes an
instruction in words of its own is not measured.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from .batches import pixels
from .dialogue import MIXES, PARTS, Conversation, rule_turn
from .dialogue import task as make
from .grammar import Document
from .pictures import Picture
from .tasks import Turn
from .tasks.asking import tagged
from .tokenizer import ids_of

# Without one right answer; or only for training: what they teach is scored as "system rule", "field" and "tool call".
UNSCORED = ("story", "completion", "prose", "rules", "more field", "more tool calls")
MAKERS = {part: name for name, parts in PARTS.items() for part in parts}


def load(folder: Path) -> PreTrainedModel:
    """The model of a folder in 16 bits, in 32."""
    (name,) = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"]
    model: PreTrainedModel = getattr(transformers, name).from_pretrained(folder, dtype=torch.float32).eval()
    return model


def scored(mix: str) -> tuple[str, ...]:
    """The tasks of which a model trained on `mix` is given a score."""
    names = [name for name in MIXES[mix] if name not in UNSCORED]
    return (*(part for name in names for part in PARTS.get(name, (name,))), "system rule")


def tasks() -> tuple[str, ...]:
    """Every task that can be scored."""
    return tuple(dict.fromkeys(name for mix in MIXES for name in scored(mix)))


def interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share seen in `count` documents (Wilson 1927)."""
    z = 1.96
    middle, half = share + z * z / (2 * count), z * sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return max(0.0, middle - half) / (1 + z * z / count), min(1.0, (middle + half) / (1 + z * z / count))


@dataclass(frozen=True)
class Answer:
    """One held-out question, the model's answer, and whether it counts as right."""

    conversation: Conversation
    text: str

    @property
    def right(self) -> bool:
        turn = self.conversation.turns[-1]
        shaped = Turn(turn.task, turn.prompt, turn.reply)  # under a rule only the shaped reply is right
        return (turn if turn.reply in turn.accept or not turn.accept else shaped).right(self.text)


def held_out(task: str, count: int, seed: int = 0) -> list[Conversation]:
    """`count` held-out single-turn conversations of one task."""
    made: list[Conversation] = []
    number = 0
    while len(made) < count:
        number += 1
        document = Document(random.Random(f"{task} {seed} {number}"), held_out=True)
        if task == "system rule":
            made.append(rule_turn(document))
            continue
        turn = make(MAKERS.get(task, task))(document)
        # What comes later in a conversation about pictures ("and where does the arrow point?") is asked at once.
        later = [tagged(turn.pictures, [other]) for other in turn.then if turn.pictures]
        if found := next((t for t in (turn, *later) if t.task == task), None):
            made.append(Conversation(found.system, (replace(found, then=()),)))
    return made


def prompt_ids(tokenizer: Tokenizer, system: str, prompt: str) -> list[int]:
    """The chat template's ids up to where the assistant begins."""
    text = (f"<|system|>\n{system}<|end|>\n" if system else "") + f"<|user|>\n{prompt}<|end|>\n<|assistant|>\n"
    return ids_of(tokenizer, text)


@torch.inference_mode()
def greedy(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    prompts: Sequence[list[int]],
    pictures: Sequence[tuple[Picture, ...]] = (),
    max_tokens: int = 120,
) -> list[str]:
    """Greedy answers, in batches of similar length (padded on the left); `pictures` are those of each prompt."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    texts = [""] * len(prompts)
    pad = model.config.get_text_config().pad_token_id
    for start in range(0, len(order), 32):
        rows = order[start : start + 32]
        width = max(len(prompts[i]) for i in rows)
        ids = torch.tensor([[pad] * (width - len(prompts[i])) + prompts[i] for i in rows])
        mask = torch.tensor([[0] * (width - len(prompts[i])) + [1] * len(prompts[i]) for i in rows])
        shown = [picture for i in rows for picture in pictures[i]] if pictures else []
        seen = {"pixel_values": pixels(shown)} if shown else {}
        made = model.generate(ids, attention_mask=mask, max_new_tokens=max_tokens, do_sample=False, **seen)
        for i, answer in zip(rows, made[:, width:].tolist(), strict=True):
            texts[i] = tokenizer.decode(answer, skip_special_tokens=True).strip()
    return texts


def answers(model: PreTrainedModel, tokenizer: Tokenizer, task: str, count: int, seed: int = 0) -> list[Answer]:
    """The model's answers to `count` held-out documents of `task`."""
    asked = held_out(task, count, seed)
    prompts = [prompt_ids(tokenizer, c.system, c.turns[-1].prompt) for c in asked]
    texts = greedy(model, tokenizer, prompts, [c.turns[-1].pictures for c in asked])
    return [Answer(c, text) for c, text in zip(asked, texts, strict=True)]
