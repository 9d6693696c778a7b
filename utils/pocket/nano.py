"""The learner's own Phi-3, from random weights to a model that talks, in a minute on two cores.

`pretrain` reads plain text, `tune` then learns to answer; both report every step and can be stopped at any. The same
number of steps gives the same model again; on a slow machine a time limit ends the training sooner, and the learning
rate then falls sooner as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy

from . import FAMILY, home
from .batches import Batch, stream
from .evaluate import greedy, prompt_ids
from .quiet import quiet
from .recipes import CONTEXT, Recipe
from .saving import write
from .train import Run, learn

SHAPE = {
    "hidden_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 256,
}
TEXT = Recipe("my-phi", SHAPE, steps=400, tokens=2048, rate=8e-3, matrix_rate=8e-3, mix="nano text")
CHAT = replace(TEXT, steps=500, mix="nano chat")
SECONDS = 40.0  # at most, for each of the two
LENGTH = 128  # tokens of the pieces into which text of one's own is cut


class Step(NamedTuple):
    """One step of a training: `loss` in nats per learned token, `seconds` since the start, `tokens` seen so far."""

    number: int
    of: int
    loss: float
    seconds: float
    tokens: int


OnStep = Callable[[Step], object]


def pretrain(
    on_step: OnStep | None = None,
    stopped: Callable[[], bool] = lambda: False,
    *,
    steps: int = TEXT.steps,
    seconds: float = SECONDS,
    seed: int = 1,
    texts: Sequence[str] = (),
) -> Run:
    """A model with random weights that reads stories and sentences about the hut and the field, or your own `texts`.

    `on_step` is called after each step; training ends early when `stopped()` is true or `seconds` have passed. Raises
    ValueError for texts that are too short to learn from.
    """
    tokenizer = Tokenizer.from_file(str(home(FAMILY[0]) / "tokenizer.json"))
    run = Run(replace(TEXT, steps=max(1, steps), seed=seed), tokenizer, Path())
    return _train(run, _pieces(tokenizer, texts, seed) if texts else _mixed(run), on_step, stopped, seconds)


def tune(
    run: Run,
    on_step: OnStep | None = None,
    stopped: Callable[[], bool] = lambda: False,
    *,
    steps: int = CHAT.steps,
    seconds: float = SECONDS,
) -> Run:
    """The model of `run` after learning to answer, as a new run; with `on_step`, `stopped` and `seconds` as before."""
    tuned = Run(replace(CHAT, steps=max(1, steps), seed=run.recipe.seed), run.tokenizer, Path())
    tuned.model.load_state_dict(run.model.state_dict())
    return _train(tuned, _mixed(tuned), on_step, stopped, seconds)


def say(run: Run, prompt: str, *, chat: bool = True, max_tokens: int = 40) -> str:
    """What the model answers, or how it goes on with plain text."""
    ids = prompt_ids(run.tokenizer, "", prompt) if chat else run.tokenizer.encode(prompt).ids
    (text,) = greedy(run.model.eval(), run.tokenizer, [ids], max_tokens=max_tokens)
    return text


def save(run: Run, folder: Path | str) -> Path:
    """The model as a folder that every local route loads (`connect("onnx", folder)`) and `pocket export` converts."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        write(run, folder)
    run.model.float()
    return folder


@torch.inference_mode()
def loss(run: Run, texts: Sequence[str]) -> float:
    """How unsure the model is of each token of these texts, in nats: the mean over all but the first of each."""
    model, losses = run.model.eval(), []
    for encoded in run.tokenizer.encode_batch(list(texts)):
        ids = torch.tensor([encoded.ids[:CONTEXT]])
        if ids.shape[1] > 1:
            losses.append(cross_entropy(model(ids).logits[0, :-1], ids[0, 1:], reduction="none"))
    return torch.cat(losses).mean().item()


def _mixed(run: Run) -> Iterator[Batch]:
    recipe = run.recipe
    return (batch for _, batch in stream(run.tokenizer, recipe.tokens, recipe.seed, CONTEXT, mix=recipe.mix))


def _pieces(tokenizer: Tokenizer, texts: Sequence[str], seed: int) -> Iterator[Batch]:
    """Pieces of the texts, one after another on a line, each begun anywhere; every token counts the same."""
    ends = tokenizer.token_to_id("<|endoftext|>")
    line = torch.tensor([i for encoded in tokenizer.encode_batch(list(texts)) for i in (*encoded.ids, ends)])
    if len(line) <= LENGTH:
        raise ValueError(f"These texts have {len(line)} tokens. Give more than {LENGTH}, to have something to learn.")
    dice = torch.Generator().manual_seed(seed)
    while True:
        begins = torch.randint(len(line) - LENGTH, (TEXT.tokens // LENGTH,), generator=dice)
        cut = torch.stack([line[begin : begin + LENGTH + 1] for begin in begins.tolist()])
        yield Batch(cut[:, :-1], cut[:, 1:], torch.ones(len(cut), LENGTH))


def _train(
    run: Run, batches: Iterator[Batch], on_step: OnStep | None, stopped: Callable[[], bool], seconds: float
) -> Run:
    """To the last step, or until told to stop: then the model is as good as it is by then."""
    recipe, tokens, run.model = run.recipe, 0, run.model.train()
    begun = time.monotonic()
    for batch in batches:
        passed = time.monotonic() - begun
        done = max(run.step / recipe.steps, passed / seconds)
        if done >= 1 or stopped():
            break
        loss = learn(run, batch, done)
        run.step, tokens = run.step + 1, tokens + batch.ids.numel()
        run.losses.append((run.step, loss))
        if on_step is not None:
            on_step(Step(run.step, recipe.steps, loss, time.monotonic() - begun, tokens))
    run.seconds = time.monotonic() - begun
    return run
