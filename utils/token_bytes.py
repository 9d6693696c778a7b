"""The bytes that a token stands for, from how its vocabulary writes it: GPT-2's letters, or SentencePiece's <0x0A>."""

from __future__ import annotations

import re

BYTE = re.compile("<0x([0-9A-F]{2})>")
PLAIN = [b for b in range(256) if chr(b).isprintable() and b not in (0x20, 0xA0, 0xAD)]
OTHERS = [b for b in range(256) if b not in PLAIN]
LETTERS = {chr(b): b for b in PLAIN} | {chr(256 + n): b for n, b in enumerate(OTHERS)}  # GPT-2's, one for each byte


def gpt2(token: str) -> bytes | None:
    """Of a byte-level vocabulary; None for a token that is none of its bytes, such as a special one."""
    return bytes(LETTERS[c] for c in token) if all(c in LETTERS for c in token) else None


def sentencepiece(token: str) -> bytes:
    """Of SentencePiece's vocabulary, as Phi-3's is."""
    byte = BYTE.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace("▁", " ").encode()
