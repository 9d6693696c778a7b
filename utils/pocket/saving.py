"""A trained model as a folder that every runtime reads."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import GenerationConfig

from .packed import pack
from .recipes import eyes
from .tokenizer import save
from .train import Run
from .weights import RECORD


def write(run: Run, folder: Path) -> None:
    """The trained model as a Hugging Face folder, in 16 bit, or packed in 8."""
    model, text = run.model.half(), run.model.config.get_text_config()
    if run.recipe.experts:  # in the file the head is one of its own, as in Phi-3.5-MoE's, and MLX looks for it
        model.config.tie_word_embeddings = text.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    model.generation_config = GenerationConfig(
        bos_token_id=1, eos_token_id=text.eos_token_id, pad_token_id=text.pad_token_id
    )
    model.save_pretrained(folder)
    save(run.tokenizer, folder)
    (folder / RECORD).unlink(missing_ok=True)  # of other weights
    if run.recipe.tower:
        eyes().save_pretrained(folder)
    if run.recipe.packed:
        pack(folder)
