"""Muon: momentum whose every update is made (nearly) orthogonal, for the matrices inside the layers.

Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; the step is scaled to AdamW's usual size (Liu et
al. 2025, arXiv 2502.16982). Against AdamW at the same rate (4e-3), after 250 steps of 2,048 tokens here: loss 3.30
instead of 3.96, for 7 % more time (one run each; AdamW's rate was not tuned). torch.optim.Muon does the same in
bfloat16, which CPUs without bfloat16 units emulate: there it took 430 ms a step for pocket-phi-3-mini, a third of the
whole step. This one works in float32: 260 ms.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

A, B, C = 3.4445, -4.7750, 2.0315  # the quintic that pushes all singular values towards 1


PARTS = {"qkv_proj": 3, "gate_up_proj": 2}  # Phi-3 stores these side by side; each is a matrix of its own


def orthogonal(matrix: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """About U V^T of `matrix` = U S V^T, by Newton-Schulz iteration; same shape, [..., rows, columns]."""
    wide = matrix.size(-2) <= matrix.size(-1)
    x = matrix if wide else matrix.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(rounds):
        square = x @ x.mT
        x = A * x + (B * square + C * square @ square) @ x
    result: torch.Tensor = x if wide else x.mT
    return result


class Muon(torch.optim.Optimizer):
    """For the matrices of Phi-3's layers, [rows, columns] or, of experts, [experts, rows, columns], given by name.

    Fused matrices are taken apart first: together, the large gradients of the values would drown those of queries and
    keys. Seen here, though with fewer drills as well: 8 % of copy drills right after 1,343 steps fused, 50 % after
    765 steps taken apart.
    """

    def __init__(
        self, named: Iterable[tuple[str, torch.Tensor]], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        groups: dict[int, list[torch.Tensor]] = {}
        for name, parameter in named:
            parts = next((count for part, count in PARTS.items() if part in name), 1)
            groups.setdefault(parts, []).append(parameter)
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__([{"params": group, "parts": parts} for parts, group in groups.items()], defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every parameter along its orthogonalised Nesterov momentum."""
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):  # a batch without pictures moves no tower
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                mean.lerp_(p.grad, 1 - group["momentum"])
                p.mul_(1 - group["lr"] * group["weight_decay"])
                update = p.grad.lerp(mean, group["momentum"])
                for part, change in zip(p.chunk(group["parts"], -2), update.chunk(group["parts"], -2), strict=True):
                    part.add_(orthogonal(change), alpha=-group["lr"] * 0.2 * max(part.shape[-2:]) ** 0.5)
