"""A vector for a text: the pocket model's own hidden states, averaged over the tokens of a text and scaled to length 1.

A decoder was never trained for this, so the vectors are rough; they come from the model and from nothing else. Their
dimension is the model's hidden size (256 for pocket-phi-3-mini).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from utils.core import as_messages
from utils.errors import TooLong
from utils.pocket import weights


class Embedder:
    """Makes vectors with the model of one folder. Raises BadModel or OSError when it cannot be loaded."""

    def __init__(self, folder: Path) -> None:
        weights.check(folder)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        known: dict[str, Any] = {"trust_remote_code": False}
        sees = hasattr(AutoConfig.from_pretrained(folder, **known), "vision_config")
        kind: Any = AutoModelForImageTextToText if sees else AutoModelForCausalLM
        whole = kind.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, **known)
        self._model = whole.eval().base_model
        text = whole.config.get_text_config()
        self.dimension, self._context = int(text.hidden_size), int(text.max_position_embeddings)

    def __call__(self, text: str, *, cut: bool = False) -> tuple[list[float], int]:
        """The text's vector and the number of its tokens; `cut`: of its beginning, where it is longer than the context.

        Raises BadInput or TooLong.
        """
        as_messages(text)  # which refuses what no tokenizer can read
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        if len(ids) > self._context and not cut:
            raise TooLong(f"A text is {len(ids):,} tokens long, but the model can hold {self._context:,}. Shorten it.")
        ids = ids[: self._context]
        with torch.inference_mode():
            mean = self._model(torch.tensor([ids])).last_hidden_state[0].mean(0)
        return torch.nn.functional.normalize(mean, dim=0).tolist(), len(ids)
