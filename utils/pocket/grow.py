"""A model that begins with another's weights: what a small one has learnt need not be learnt again.

A wider or deeper model at first answers (nearly) as the smaller one does: what is new in it is read, but not yet heard
(Chen et al. 2016, Net2Net, https://arxiv.org/abs/1511.05641). A model with experts begins with parts of the smaller
one's MLP (Komatsuzaki et al. 2023, Sparse Upcycling, https://arxiv.org/abs/2212.05055).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import Phi3Model, PhimoeModel

Given = Mapping[str, Tensor]
NOISE = 0.05  # of the weights' size: twins that are quite alike would stay so


@torch.no_grad()
def grow(decoder: Phi3Model | PhimoeModel, given: Given) -> None:
    """Put the weights of a Phi-3 decoder, which may be smaller, into `decoder`; its other weights stay random."""
    given = {name.removeprefix("model."): value.float() for name, value in given.items()}
    before = 1 + max(int(name.split(".")[1]) for name in given if name.startswith("layers."))
    layers: Any = decoder.layers
    homes = [i * len(layers) // before for i in range(before)]
    decoder.embed_tokens.weight.zero_()
    _corner(decoder.embed_tokens.weight, given["embed_tokens.weight"])
    _norm(decoder.norm, given["norm.weight"])
    for i, layer in enumerate(layers):
        if i not in homes:  # for now it adds nothing
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
            continue
        of = {n.split(".", 2)[2]: v for n, v in given.items() if n.startswith(f"layers.{homes.index(i)}.")}
        _norm(layer.input_layernorm, of["input_layernorm.weight"])
        _norm(layer.post_attention_layernorm, of["post_attention_layernorm.weight"])
        (_experts if isinstance(decoder, PhimoeModel) else _dense)(layer, of)


def _dense(layer: Any, given: Given) -> None:
    _readers(layer.self_attn.qkv_proj.weight.chunk(3), given["self_attn.qkv_proj.weight"].chunk(3))
    _writer(layer.self_attn.o_proj.weight, given["self_attn.o_proj.weight"])
    gate_up, down = given["mlp.gate_up_proj.weight"].chunk(2), given["mlp.down_proj.weight"]
    units = layer.mlp.down_proj.weight.shape[1]
    if units < down.shape[1]:  # the twin of a mixture of experts: what two of them are at first
        both = [_expert(given, units // 2) for _ in range(2)]
        gate_up = tuple(torch.cat([expert[0][part] for expert in both]) for part in range(2))
        down = torch.cat([expert[1] for expert in both], dim=1)
    _readers(layer.mlp.gate_up_proj.weight.chunk(2), gate_up)
    _writer(layer.mlp.down_proj.weight, down)


def _experts(layer: Any, given: Given) -> None:
    """All experts begin alike, but for a little noise."""
    attention, mlp = layer.self_attn, layer.mlp
    for own, part in zip("qkv", given["self_attn.qkv_proj.weight"].chunk(3), strict=True):
        getattr(attention, f"{own}_proj").weight.copy_(part)
    attention.o_proj.weight.copy_(given["self_attn.o_proj.weight"])
    for gate_up, down in zip(mlp.experts.gate_up_proj, mlp.experts.down_proj, strict=True):
        parts, back = _expert(given, down.shape[1])
        gate_up.copy_(torch.cat(parts))
        down.copy_(back)


def _expert(given: Given, units: int) -> tuple[tuple[Tensor, ...], Tensor]:
    """(gate, up) and down of an expert with the first `units` of the MLP, which count for all of them and, since two
    experts answer together, for half."""
    parts, down = given["mlp.gate_up_proj.weight"].chunk(2), given["mlp.down_proj.weight"]
    scale = down.shape[1] / units / 2
    return tuple(_noisy(part[:units]) for part in parts), scale * _noisy(down[:, :units])


def _noisy(matrix: Tensor) -> Tensor:
    return matrix + NOISE * matrix.std() * torch.randn_like(matrix)


def _readers(whole: tuple[Tensor, ...], given: tuple[Tensor, ...]) -> None:
    """Matrices that read the stream: of its new numbers what was there before reads nothing."""
    for matrix, part in zip(whole, given, strict=True):
        matrix[: len(part)] = 0
        _corner(matrix, part)


def _writer(matrix: Tensor, given: Tensor) -> None:
    """A matrix that writes to the stream: of what comes from new heads or units nothing."""
    matrix[:, given.shape[1] :] = 0
    _corner(matrix, given)


def _corner(matrix: Tensor, given: Tensor) -> None:
    matrix[: given.shape[0], : given.shape[1]] = given


def _norm(norm: Any, given: Tensor) -> None:
    """The mean square is of more numbers now, the new ones of which are about zero."""
    norm.weight[: len(given)] = given * (len(given) / len(norm.weight)) ** 0.5
