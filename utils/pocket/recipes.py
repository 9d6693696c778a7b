"""How each pocket model is made: its shape, what it is taught, for how long.

The models are Transformers' own classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import (
    CLIPImageProcessorPil,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Phi3Config,
    Phi3ForCausalLM,
    PhimoeConfig,
    PhimoeForCausalLM,
    PreTrainedModel,
    SiglipVisionConfig,
)

from . import folder
from .grow import grow
from .pictures import ACROSS, PATCH, SIDE
from .tokenizer import PICTURE, SIZE

CONTEXT = 1024  # tokens
GELU = "gelu_pytorch_tanh"  # the one that llama.cpp has


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a training run gives, but for the machine's rounding."""

    name: str
    shape: dict[str, Any] = field(hash=False)
    steps: int
    tokens: int = 4096  # in a batch, padding included
    rate: float = 4e-3
    matrix_rate: float = 4e-3
    seed: int = 1
    mix: str = "english"  # of `dialogue.MIXES`: what it is taught
    last: int = 0  # steps after those, on the mix "... last"
    last_rate: float = 0.12  # of the full learning rate, with which those begin
    grown_from: str = ""  # the pocket model whose weights it begins with; else they are random
    tower: dict[str, Any] | None = field(default=None, hash=False)  # shape of the part that sees, if it sees
    looking: int = 0  # of the steps the first so many, with batches four times as large, in which only that part learns
    experts: int = 0  # of each layer, of which two are asked for each token; 0: every token passes through all of it
    twin: dict[str, Any] | None = field(default=None, hash=False)  # what is trained beside it on the same texts
    packed: bool = False  # kept in 8 bits in the repository

    def beside(self) -> Recipe:
        """The recipe of the dense model that a mixture of experts is compared with."""
        shape = self.shape | (self.twin or {})
        return replace(self, name=f"{self.name}-twin", shape=shape, experts=0, twin=None)


MINI = {
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "intermediate_size": 512,
}
MEDIUM = {
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "intermediate_size": 960,
}
TOWER = {"hidden_size": 160, "num_hidden_layers": 4, "num_attention_heads": 5, "intermediate_size": 448}
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("pocket-phi-3-mini", MINI, steps=6900, last=200),
        Recipe(
            "pocket-phi-3.5-mini",
            MINI,
            steps=4500,
            last=700,
            rate=3e-3,
            matrix_rate=3e-3,
            mix="languages",
            grown_from="pocket-phi-3-mini",
        ),
        Recipe(
            "pocket-phi-3-medium",
            MEDIUM,
            steps=1700,
            last=1300,
            last_rate=0.5,
            rate=1e-3,  # 2e-3 and 4e-3 first spoilt what had been learnt: loss after 600 steps 0.051, 0.076 and 0.136
            matrix_rate=1e-3,
            mix="english larger",
            grown_from="pocket-phi-3-mini",
            packed=True,
        ),
        Recipe(
            "pocket-phi-3.5-moe",
            MINI | {"intermediate_size": 160},
            steps=1100,
            last=100,
            rate=2e-3,
            matrix_rate=2e-3,
            grown_from="pocket-phi-3-mini",
            experts=16,
            twin={"intermediate_size": 320},
            packed=True,
        ),
        Recipe(
            "pocket-phi-3.5-vision",
            MINI,
            steps=4200,
            last=300,
            last_rate=0.25,
            mix="pictures",
            grown_from="pocket-phi-3-mini",
            tower=TOWER,
            looking=1200,
            packed=True,
        ),
    )
}


def config(recipe: Recipe, tokenizer: Tokenizer) -> Phi3Config | PhimoeConfig:
    """The configuration of Phi-3, or with experts of Phi-3.5-MoE, in the recipe's size."""
    ids = {name: tokenizer.token_to_id(f"<|{name}|>") for name in ("endoftext", "assistant", "end")}
    common: dict[str, Any] = {
        **recipe.shape,
        "vocab_size": SIZE,
        "max_position_embeddings": CONTEXT,
        "original_max_position_embeddings": CONTEXT,
        "sliding_window": None,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,  # what is copied keeps its vector: copying is learnt sooner, also of rare tokens
        "bos_token_id": 1,
        "eos_token_id": list(ids.values()),
        "pad_token_id": ids["endoftext"],
    }
    if not recipe.experts:
        return Phi3Config(**common)
    return PhimoeConfig(
        **common,
        num_local_experts=recipe.experts,
        num_experts_per_tok=2,
        router_jitter_noise=0.0,  # no experts nearly as good share a place: llama.cpp knows no such thing
        input_jitter_noise=0.0,
        attention_bias=True,  # as Phi-3.5-MoE
        lm_head_bias=True,
    )


def seeing(text: Phi3Config, tower: dict[str, Any], tokenizer: Tokenizer) -> LlavaConfig:
    """LLaVA's configuration: a tower, a projector and the decoder of `text`.

    The tower is SigLIP's, which is CLIP's without the first token that is of no patch: llama.cpp (2026.10) puts that
    token last and then drops the first row, so that with CLIP's own it sees all but the first patch.
    """
    return LlavaConfig(
        vision_config=SiglipVisionConfig(
            **tower, image_size=SIDE, patch_size=PATCH, hidden_act=GELU, vision_use_head=False
        ),
        text_config=text,
        image_token_index=tokenizer.token_to_id(PICTURE),
        image_seq_length=ACROSS**2,
        projector_hidden_act=GELU,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
    )


def eyes() -> CLIPImageProcessorPil:
    """What turns a picture into the numbers that the tower takes: SIDE pixels square, from -1 to 1."""
    half, size = [0.5] * 3, {"height": SIDE, "width": SIDE}
    return CLIPImageProcessorPil(size=size, do_center_crop=False, image_mean=half, image_std=half)


def build(recipe: Recipe, tokenizer: Tokenizer) -> PreTrainedModel:
    """The model before its first step."""
    torch.manual_seed(recipe.seed)
    text = config(recipe, tokenizer)
    if recipe.tower is not None:
        model: PreTrainedModel = LlavaForConditionalGeneration(seeing(text, recipe.tower, tokenizer))
    else:
        model = PhimoeForCausalLM(text) if recipe.experts else Phi3ForCausalLM(text)
    if recipe.grown_from:
        decoder = model.model if recipe.tower is None else model.model.language_model
        grow(decoder, load_file(folder(recipe.grown_from) / "model.safetensors"))
    return model
