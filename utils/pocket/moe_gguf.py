"""Phi-3.5-MoE's weights as llama.cpp's `phimoe` wants them, which computes another function from the same numbers.

It has RMSNorm for LayerNorm, which is the same where what is added to the stream has a mean of zero: so the means are
taken out, which LayerNorm does not see. It weighs the two best experts by the softmax of their scores where Phi-3.5-MoE
(with a `router_jitter_noise` of 0) weighs each by one: so the scores are made small, which keeps their order and makes
both weights a half, and what the experts write is doubled. How near the answers come stands in the model's card.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np

TOP = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}
BLOCK = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "block_sparse_moe.gate": "ffn_gate_inp",
}
EXPERTS = {"w1": "ffn_gate_exps", "w2": "ffn_down_exps", "w3": "ffn_up_exps"}
ROUTER = "ffn_gate_inp"  # never quantised: an expert more or less is no rounding error
SMALL = 2.0**-12


def tensors(given: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """GGUF's names and llama.cpp's numbers (float32) of the weights `given`, by Transformers' names."""
    stacks: dict[str, list[tuple[int, np.ndarray]]] = {}
    for name, value in given.items():
        stem, _, kind = name.rpartition(".")
        numbers = value.astype(np.float32)
        if stem == "model.embed_tokens" and "lm_head.weight" not in given:
            yield "output.weight", numbers
        if found := re.fullmatch(r"model\.layers\.(\d+)\.block_sparse_moe\.experts\.(\d+)\.(w[123])", stem):
            block, expert, part = found.groups()
            numbers = 2 * _centred(numbers) if part == "w2" else numbers
            stacks.setdefault(f"blk.{block}.{EXPERTS[part]}.{kind}", []).append((int(expert), numbers))
            continue
        if stem == "model.embed_tokens":
            numbers = numbers - numbers.mean(axis=1, keepdims=True)
        elif stem.endswith("o_proj"):
            numbers = _centred(numbers)
        elif stem.endswith("gate"):
            numbers = numbers * SMALL
        yield f"{_name(stem)}.{kind}", numbers
    for name, parts in stacks.items():
        yield name, np.stack([numbers for _, numbers in sorted(parts, key=lambda part: part[0])])


def _centred(numbers: np.ndarray) -> np.ndarray:
    """A matrix [out, in] or bias [out] whose outputs have a mean of zero."""
    centred: np.ndarray = numbers - numbers.mean(axis=0)
    return centred


def _name(stem: str) -> str:
    if stem in TOP:
        return TOP[stem]
    found = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", stem)
    if not found or found[2] not in BLOCK:
        raise ValueError(f"GGUF has no place for {stem}")
    return f"blk.{found[1]}.{BLOCK[found[2]]}"
