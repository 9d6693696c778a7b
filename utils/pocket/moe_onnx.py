"""ONNX Runtime GenAI's builder for Phi-3.5-MoE on a processor: `python -m utils.pocket.moe_onnx`, with its own options.

Its own class for this model is for CUDA and four bits only, and expects the names that Transformers gave the weights
before version 5. Here the graph picks the two best experts itself, as that of LFM2-MoE does (which lends the helpers),
and shows the operator equal scores for both: it weighs each with a half, and Phi-3.5-MoE's weigh one each when none of
the others is nearly as good.
"""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
import torch
from onnxruntime_genai.models import builder
from onnxruntime_genai.models.builders.base import Model
from onnxruntime_genai.models.builders.lfm2 import LFM2MoEModel

UNCHOSEN = -10000.0


class PhiMoEModel(Model):  # type: ignore[misc]
    """Phi-3.5-MoE with a `router_jitter_noise` of 0."""

    def __init__(self, config: Any, *args: Any) -> None:
        super().__init__(config, *args)
        self.model_type = "PhiMoEForCausalLM"
        self.layernorm_attrs["simple"] = False  # LayerNorm, with bias
        self.moe_intermediate_size = config.intermediate_size
        self.moe_attrs |= {
            "activation_type": "swiglu",
            "swiglu_fusion": 1,
            "normalize_routing_weights": True,
            "use_expert_bias": False,
        }

    def get_moe_module(self, layer_id: int, layer: Any) -> Any:
        return layer.mlp

    @torch.no_grad()
    def make_moe_preprocessing(self, layer_id: int, moe: Any, root_input: str) -> None:
        moe.router.exclude_from_quantization = True
        moe.experts.down_proj.mul_(2)
        self.make_interleaved_swiglu_moe_preprocessing(layer_id, moe)

    def make_moe_router(self, layer_id: int, moe: Any, root_input: str) -> None:
        """From `root_input` to the scores that the operator is shown: 0 for the two best experts."""
        name, shape = f"/model/layers.{layer_id}/moe/router", self.make_moe_router_shape()
        scores = self.make_matmul(moe.router, f"{name}/MatMul", root_input)
        flat = [f"{scores}/output_0", f"/model/constants/INT64/{[-1, self.moe_attrs['num_experts']]}"]
        self.make_reshape(f"{name}/Reshape", flat, dtype=self.io_dtype, shape=shape)
        best = LFM2MoEModel.make_moe_router_selection(self, layer_id, moe, f"{name}/Reshape/output_0")
        like_best = self.make_moe_router_shape(last_dim=self.moe_attrs["top_k"])
        unchosen = self._filled(f"{name}/unchosen", f"{name}/Reshape/output_0", UNCHOSEN, shape)
        chosen = self._filled(f"{name}/chosen", best, 0.0, like_best)
        shown = [unchosen, best, chosen]
        self.make_scatter_elements(f"{name}/ScatterElements", shown, dtype=self.io_dtype, shape=shape, axis=1)

    def _filled(self, name: str, like: str, value: float, shape: list[Any]) -> str:
        """A tensor in the shape of `like`, all of one value."""
        self.make_shape(f"{name}/Shape", like, shape=[2])
        filled = ir.tensor([value], dtype=self.io_dtype)
        self.make_constant_of_shape(name, f"{name}/Shape/output_0", value=filled, dtype=self.io_dtype, shape=shape)
        return f"{name}/output_0"

    def make_moe_subgraph(self, layer_id: int, moe: Any, root_input: str, *_: Any) -> None:
        names = self.make_moe_expert_names(layer_id)
        kind = self.moe_attrs["op_type"]
        scales = {f"scales{i}": names[f"{of}_scales"] for i, of in ((1, "gate_up"), (2, "down"))}
        operator = f"/model/layers.{layer_id}/moe/{kind}"
        self.make_moe_op(
            operator,
            root_input=root_input,
            router_probs=f"/model/layers.{layer_id}/moe/router/ScatterElements/output_0",
            weight1=names["gate_up_weight"],
            bias1=names["gate_up_bias"],
            weight2=names["down_weight"],
            bias2=names["down_bias"],
            **(scales if kind == "QMoE" else {}),
        )
        self.layernorm_attrs["skip_input"] = f"{operator}/output_0"


def main() -> None:
    """As the builder's own command, for a folder with Phi-3.5-MoE."""
    args = builder.get_args()
    options = builder.parse_extra_options(
        args.model_name, args.input, args.output, args.precision, args.execution_provider, args.cache_dir,
        args.extra_options,
    )  # fmt: skip
    builder.MistralModel = PhiMoEModel  # in Mistral's place: the builder's list of models cannot be added to
    options["hf_details"]["hf_config"].architectures = ["MistralForCausalLM"]
    builder.create_model(
        args.model_name, args.input, args.output, args.precision, args.execution_provider, args.cache_dir, **options
    )


if __name__ == "__main__":
    main()
