"""A vector for a text: the pocket model's own hidden states, averaged over the tokens of a text and scaled to length 1.

A decoder was never trained for this, so the vectors are rough; they come from the model and from nothing else. Their
dimension is the model's hidden size (256 for pocket-phi-3-mini).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from utils.core import as_messages
from utils.errors import BadInput, TooLong
from utils.pocket import weights


class Embedder:
    """Makes vectors with the model of one folder. Raises BadModel or OSError when it cannot be loaded."""

    def __init__(self, folder: Path) -> None:
        weights.check(folder)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        whole: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
        )
        self._model = whole.eval().base_model
        self.dimension = int(whole.config.hidden_size)
        self._context = int(whole.config.max_position_embeddings)

    def __call__(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """A vector for each text, and the number of tokens of all texts. Raises BadInput or TooLong."""
        for text in texts:
            as_messages(text)  # which refuses what no tokenizer can read
        found = [self._tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        if not found or not all(found):
            raise BadInput("An input is empty. Every text needs a word at least.")
        longest = max(map(len, found))
        if longest > self._context:
            raise TooLong(f"An input is {longest:,} tokens long, but the model can hold {self._context:,}. Shorten it.")
        with torch.inference_mode():
            means = [self._model(torch.tensor([ids])).last_hidden_state[0].mean(0) for ids in found]
        return [torch.nn.functional.normalize(mean, dim=0).tolist() for mean in means], sum(map(len, found))
