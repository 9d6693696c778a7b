"""The tokens of a GGUF file as bytes, and bytes as tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gguf

from utils.token_bytes import gpt2, sentencepiece


def vocabulary(file: Path) -> dict[int, bytes]:
    """The bytes of each token, of GPT-2's kind or of SentencePiece's."""
    fields = gguf.GGUFReader(file).fields
    tokens = enumerate(fields["tokenizer.ggml.tokens"].contents())
    if fields["tokenizer.ggml.model"].contents() == "gpt2":
        return {i: data for i, token in tokens if (data := gpt2(token)) is not None}
    return {i: sentencepiece(token) for i, token in tokens}


def split(data: bytes, count: int, tokens: Mapping[int, bytes]) -> list[int]:
    """`data` as `count` tokens, the first ones as long as may be; [] where that cannot be."""
    return _split(data, count, {part: token for token, part in tokens.items()})


def _split(data: bytes, count: int, known: dict[bytes, int]) -> list[int]:
    if count == 1:
        return [known[data]] if data in known else []
    for end in range(len(data) - count + 1, 0, -1):
        rest = _split(data[end:], count - 1, known) if data[:end] in known else []
        if rest:
            return [known[data[:end]], *rest]
    return []
