"""The routers of a mixture of experts: which experts each token is sent to, and what training asks of them.

Phi-3.5-MoE's routers learn only while experts that are nearly as good as the best are sometimes taken instead (Liu et
al. 2024, GRIN, arXiv 2409.12136). How near, is `loosen`'s business: at first half of the best one's score,
at last nothing, since a model that never takes another expert is what every runtime computes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel
from transformers.models.phimoe.modeling_phimoe import PhimoeTopKRouter, load_balancing_loss_func

LOOSE = 0.5  # of the best expert's score, at the first step
SETTLED = 0.7  # of the steps, after which the best experts are taken
BALANCE = 0.01  # how much it counts that some experts get more tokens than others


class Routers:
    """The routers of `model`, which remember what they last said. Of a dense model there are none."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.modules = [module for module in model.modules() if isinstance(module, PhimoeTopKRouter)]
        self.scores: dict[int, torch.Tensor] = {}
        for i, module in enumerate(self.modules):
            module.register_forward_hook(lambda _, __, out, i=i: self.scores.__setitem__(i, out[0]))

    def loosen(self, done: float) -> None:
        """How far from the best an expert may be at this share of the training."""
        for module in self.modules:
            module.router_jitter_noise = LOOSE / 2 * max(0.0, 1 - done / SETTLED)

    def balance(self) -> torch.Tensor | float:
        """The loss of unequal use (Fedus et al. 2021, arXiv 2101.03961), of what was said last."""
        if not self.modules:
            return 0.0
        scores = tuple(self.scores[i] for i in range(len(self.modules)))
        loss: torch.Tensor = load_balancing_loss_func(scores, self.modules[0].num_experts, self.modules[0].top_k)
        return BALANCE * loss


@torch.inference_mode()
def chosen(model: PreTrainedModel, ids: Sequence[int]) -> torch.Tensor:
    """The two experts of each token in each layer, best first: [layers, tokens, 2] int64."""
    routers = Routers(model)
    model.eval()(torch.tensor([list(ids)]), use_cache=False)
    return torch.stack([routers.scores[i].topk(2).indices for i in range(len(routers.modules))])
