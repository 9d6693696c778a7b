"""The tokens of a GGUF file as bytes, and bytes as tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import gguf

BYTE = re.compile("<0x([0-9A-F]{2})>")
PLAIN = [b for b in range(256) if chr(b).isprintable() and b not in (0x20, 0xA0, 0xAD)]
OTHERS = [b for b in range(256) if b not in PLAIN]
LETTERS = {chr(b): b for b in PLAIN} | {chr(256 + n): b for n, b in enumerate(OTHERS)}  # GPT-2's, one for each byte


def vocabulary(file: Path) -> dict[int, bytes]:
    """The bytes of each token, of GPT-2's kind or of SentencePiece's."""
    fields = gguf.GGUFReader(file).fields
    tokens = enumerate(fields["tokenizer.ggml.tokens"].contents())
    if fields["tokenizer.ggml.model"].contents() == "gpt2":
        return {i: bytes(LETTERS[c] for c in token) for i, token in tokens if all(c in LETTERS for c in token)}
    return {
        i: bytes([int(byte[1], 16)]) if (byte := BYTE.fullmatch(token)) else token.replace("▁", " ").encode()
        for i, token in tokens
    }


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
