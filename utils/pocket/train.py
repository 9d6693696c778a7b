"""Training a pocket model on the CPU: seeded, resumable, with a progress bar.

The learning rate rises for a short while, stays, and falls to zero over the last 60 % of the steps; then come a few
last steps, at a part of it, on what is still weak. A checkpoint is
written every two minutes into the cache folder; running the same command again goes on from there. The trained weights
are written, in 16 bit, only when the training is complete.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import LlavaForConditionalGeneration, PhimoeForCausalLM, PreTrainedModel

from .batches import IGNORED, SEEDS, Batch, names, pixels, stream
from .dialogue import conversation
from .muon import Muon
from .recipes import CONTEXT, Recipe, build
from .routing import Routers

GROWN = 8  # a model that can copy already begins with this shard: the drills for it come before
LAST_SHARD = 500  # from here on come the last steps' conversations
SWITCH = 5e-4  # seconds for which the thread that makes the next texts may keep the steps waiting: a tenth of the usual
WORTH_COMPILING = 500  # steps: compiling takes a minute, after which a step takes three quarters of the time


@cache
def data_hash(seed: int, *mixes: str) -> str:
    """SHA-256 of 1,000 training conversations of each mix: it changes when the corpus or its generator does."""
    texts = "\0".join(
        f"{made!r}{made.turns[0].pictures or ''}"
        for mix in mixes
        for drills in ((0.3, 0.3), (0.0, 0.1))
        for made in (conversation(seed * SEEDS + i, drills, mix) for i in range(500))
    )
    return hashlib.sha256(texts.encode()).hexdigest()


def data(recipe: Recipe) -> str:
    """A hash of what it is trained on."""
    return data_hash(recipe.seed, recipe.mix, *([f"{recipe.mix} last"] * bool(recipe.last)))


class Run:
    """A training run: model, optimisers and position, which `save` and `resume` carry from one process to the next."""

    def __init__(self, recipe: Recipe, tokenizer: Tokenizer, folder: Path) -> None:
        self.recipe, self.tokenizer, self.folder = recipe, tokenizer, folder
        self.model = build(recipe, tokenizer)
        self.optimisers = _optimisers(self.model, recipe)
        self.routers = Routers(self.model)
        self.step, self.seconds = 0, 0.0
        self.position = (GROWN if recipe.grown_from else 0, 0)  # shard and batch
        self.losses: list[tuple[int, float]] = []

    @property
    def file(self) -> Path:
        return self.folder / "checkpoint.pt"

    def state(self) -> dict[str, Any]:
        return {
            "recipe": asdict(self.recipe),
            "data": data(self.recipe),
            "step": self.step,
            "position": self.position,
            "seconds": self.seconds,
            "losses": self.losses,
            "model": self.model.state_dict(),
            "optimisers": [o.state_dict() for o in self.optimisers],
            "random": torch.get_rng_state(),  # routers draw
        }

    def save(self) -> None:
        """Write the checkpoint whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.save(self.state(), self.file.with_suffix(".part"))
        os.replace(self.file.with_suffix(".part"), self.file)

    def resume(self) -> bool:
        """Go on from the checkpoint, if there is one of the same recipe and data."""
        if not self.file.exists():
            return False
        state = torch.load(self.file, weights_only=True)
        if state["recipe"] != asdict(self.recipe) or state["data"] != data(self.recipe):
            return False
        self.step, self.position, self.seconds = state["step"], tuple(state["position"]), state["seconds"]
        self.losses = [(int(step), float(loss)) for step, loss in state["losses"]]
        self.model.load_state_dict(state["model"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        torch.set_rng_state(state["random"])
        return True

    def batches(self) -> Iterator[tuple[tuple[int, int], Batch]]:
        """Batches from where it stands, each with the position after it: first the mix, then its last part."""
        r = self.recipe
        of: Any = partial(stream, self.tokenizer, r.tokens, r.seed, CONTEXT)
        if self.step < r.looking:
            wide: Any = partial(stream, self.tokenizer, 4 * r.tokens, r.seed, CONTEXT)
            seeing = (made for made in wide(self.position, r.mix) if made[1].pictures)
            yield from islice(seeing, r.looking - self.step)
            self.position = (self.position[0] + 1, 0)
        if self.step < r.steps:
            yield from islice(of(self.position, r.mix), r.steps - self.step)
        if r.last:
            yield from islice(of(max(self.position, (LAST_SHARD, 0)), f"{r.mix} last"), r.steps + r.last - self.step)


def _optimisers(model: PreTrainedModel, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embeddings, head and norms."""
    named = list(model.named_parameters())
    inner = {name for name, p in named if p.ndim in (2, 3) and "layers" in name and "router" not in name}
    muon = Muon([(name, p) for name, p in named if name in inner], lr=recipe.matrix_rate)
    outer = [p for name, p in named if name not in inner]
    return [muon, torch.optim.AdamW(outer, lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.01)]


def schedule(step: int, steps: int, last: int = 0, last_rate: float = 0.0) -> float:
    """The share of the full learning rate at `step`, of `steps` and then `last` more, which begin with `last_rate`."""
    if step >= steps:
        return last_rate * min(1.0, (step - steps + 1) / 20) * (steps + last - step) / last
    return min(1.0, (step + 1) / min(100, steps / 10), (steps - step) / (0.6 * steps))


def learn(run: Run, batch: Batch, done: float | None = None) -> float:
    """One step; returns the weighted mean loss in nats per learned token.

    `done`: the share of the training that is behind, where it is not that of the steps."""
    if done is None:
        factor = schedule(run.step, run.recipe.steps, run.recipe.last, run.recipe.last_rate)
    else:
        factor = min((run.step + 1) / 20, 1.0, (1 - done) / 0.6)
    for optimiser, rate in zip(run.optimisers, (run.recipe.matrix_rate, run.recipe.rate), strict=True):
        for group in optimiser.param_groups:
            group["lr"] = rate * factor
    if run.step < run.recipe.looking:
        features = run.model.get_image_features(pixels(batch.pictures)).pooler_output
        return _move(run, _naming(run, batch, torch.cat(features)))
    learned = batch.labels != IGNORED
    # The head works only where something is learned.
    seen = {"pixel_values": pixels(batch.pictures)} if batch.pictures else {}
    run.routers.loosen(run.step / run.recipe.steps)
    out = run.model.model(input_ids=batch.ids, use_cache=False, **seen)
    hidden = out.last_hidden_state
    losses = cross_entropy(run.model.lm_head(hidden[learned]), batch.labels[learned], reduction="none")
    weights = batch.weights[learned]
    loss = (losses * weights).sum() / weights.sum()
    more = _naming(run, batch, torch.cat(tuple(out.image_outputs.pooler_output))) if batch.pictures else 0.0
    _move(run, loss + more + run.routers.balance())
    return loss.item()


def _move(run: Run, loss: torch.Tensor) -> float:
    """Down the slope; returns the loss."""
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
    for optimiser in run.optimisers:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return loss.item()


def _naming(run: Run, batch: Batch, features: torch.Tensor) -> torch.Tensor:
    """How badly each patch, as it enters the decoder, points to the tokens of what is on it.

    The decoder can read words; so what it is shown becomes words. Without this nothing had been seen after 400 steps:
    the decoder had learned what is usually answered, and the tower had no direction to go.
    """
    patch, token = names(run.tokenizer, batch.pictures).T
    return cross_entropy(features[patch] @ run.model.lm_head.weight.detach().T, token)


def train(recipe: Recipe, tokenizer: Tokenizer, folder: Path) -> Run:
    """Train to the end, resuming from `folder`'s checkpoint; Ctrl-C saves and stops."""
    run = Run(recipe, tokenizer, folder)
    resumed = run.resume()
    sys.setswitchinterval(SWITCH)
    if shutil.which("c++") and recipe.steps >= WORTH_COMPILING:
        torch._dynamo.config.suppress_errors = True  # what cannot be compiled runs as it is
        for part in _parts(run.model):
            part.compile(dynamic=True)
    with tqdm(total=recipe.steps + recipe.last, initial=run.step, desc=recipe.name, unit="step", mininterval=2) as bar:
        if resumed:
            bar.write(f"Going on from step {run.step}.")
        try:
            _loop(run, bar)
        except KeyboardInterrupt:
            run.save()
            bar.write(f"Stopped at step {run.step}. The same command goes on from here.")
            raise
    return run


def _parts(model: PreTrainedModel) -> tuple[torch.nn.Module, ...]:
    """What is compiled, each by itself; not where each token has a way of its own."""
    inner = model.model
    if isinstance(model, PhimoeForCausalLM):
        return ()
    return (inner.vision_tower, inner.language_model) if isinstance(model, LlavaForConditionalGeneration) else (inner,)


def _loop(run: Run, bar: tqdm[Any]) -> None:
    saved, mean = time.monotonic(), None
    for position, batch in run.batches():
        begun = time.process_time()  # which goes on neither while the process is paused nor while others run
        loss = learn(run, batch)
        run.seconds += (time.process_time() - begun) / torch.get_num_threads()
        run.step, run.position = run.step + 1, position
        mean = loss if mean is None else 0.98 * mean + 0.02 * loss
        if run.step % 20 == 0:
            run.losses.append((run.step, round(mean, 4)))
        bar.set_postfix(loss=f"{mean:.3f}", refresh=False)
        bar.update()
        if time.monotonic() - saved > 120:
            run.save()
            saved = time.monotonic()
    run.save()
