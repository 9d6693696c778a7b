"""ONNX Runtime GenAI's form of a LLaVA folder with a Phi-3 decoder: its own pipeline for Phi-3-vision ("phi3v").

Three graphs: the decoder, written by ONNX Runtime GenAI's builder without its embedding; the tower with its projector;
and the embedding, which puts what was seen into its places. The same loop as ours loads the published Phi-3.5-vision.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from transformers import LlavaForConditionalGeneration

from .quiet import quiet


class _Eyes(torch.nn.Module):
    """Patches as ONNX Runtime GenAI cuts them, [pictures, patches, rows x columns x colours] from 0 to 1, to what the
    decoder reads, [pictures x patches, hidden]."""

    def __init__(self, model: LlavaForConditionalGeneration) -> None:
        super().__init__()
        self.tower, self.projector = model.model.vision_tower, model.model.multi_modal_projector
        kernel = self.tower.embeddings.patch_embedding.weight  # [width, colours, rows, columns]
        self.kernel = torch.nn.Parameter(kernel.permute(0, 2, 3, 1).reshape(len(kernel), -1).clone())

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        parts = self.tower.embeddings
        states = (pixel_values * 2 - 1) @ self.kernel.T + parts.patch_embedding.bias + parts.position_embedding.weight
        for layer in self.tower.encoder.layers:
            states = layer(states, None)
            states = states[0] if isinstance(states, tuple) else states
        seen: torch.Tensor = self.projector(states)
        return seen.reshape(-1, seen.shape[-1])


def write(folder: Path, target: Path) -> None:
    """Add tower, embedding and settings to `target`, which holds the decoder as the builder wrote it."""
    with quiet():
        model = LlavaForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", local_files_only=True
        ).eval()
        config = model.config
        side, patch = config.vision_config.image_size, config.vision_config.patch_size
        _write_tower(model, target / "vision.onnx", config.image_seq_length, 3 * patch * patch)
    words = model.get_input_embeddings().weight.detach().numpy()
    onnx.save(_embedding(words), target / "embedding.onnx")
    settings = json.loads((target / "genai_config.json").read_text(encoding="utf-8"))
    settings["model"] |= {
        "type": "phi3v",
        "vision": {
            "filename": "vision.onnx",
            "config_filename": "processor_config.json",
            "inputs": {"pixel_values": "pixel_values"},
            "outputs": {"image_features": "image_features"},
        },
        "embedding": {
            "filename": "embedding.onnx",
            "inputs": {"input_ids": "input_ids", "image_features": "image_features"},
            "outputs": {"inputs_embeds": "inputs_embeds"},
        },
    }
    (target / "genai_config.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
    steps = [
        ("decode_image", "DecodeImage", {"color_space": "RGB"}),
        ("resize", "Resize", {"width": side, "height": side, "interpolation": "CUBIC", "keep_aspect_ratio": 0}),
        (
            "patches",
            "Gemma4ImageTransform",
            {"patch_size": patch, "max_soft_tokens": config.image_seq_length, "pooling_kernel_size": 1},
        ),
    ]
    transforms = [{"operation": {"name": n, "type": t, "attrs": a}} for n, t, a in steps]
    processor = {"processor": {"name": "phi_3_image", "transforms": transforms}}
    (target / "processor_config.json").write_text(json.dumps(processor, indent=1), encoding="utf-8")


def _write_tower(model: LlavaForConditionalGeneration, file: Path, patches: int, numbers: int) -> None:
    count: Any = torch.export.Dim("pictures", min=1, max=64)
    torch.onnx.export(
        _Eyes(model).eval(),
        (torch.zeros(2, patches, numbers),),
        str(file),
        input_names=["pixel_values"],
        output_names=["image_features"],
        dynamic_shapes=({0: count},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def _embedding(words: np.ndarray) -> onnx.ModelProto:
    """Ids to vectors: words from the table, and where an id is negative the next row of what was seen."""
    table = numpy_helper.from_array(words, "table")
    constants = [table, numpy_helper.from_array(np.array(0, np.int64), "zero")]
    nodes = [
        helper.make_node("Max", ["input_ids", "zero"], ["known"]),
        helper.make_node("Gather", ["table", "known"], ["read"]),
        helper.make_node("Less", ["input_ids", "zero"], ["shown"]),
        helper.make_node("NonZero", ["shown"], ["places"]),
        helper.make_node("Transpose", ["places"], ["at"], perm=[1, 0]),
        helper.make_node("ScatterND", ["read", "at", "image_features"], ["inputs_embeds"]),
    ]
    hidden = words.shape[1]
    graph = helper.make_graph(
        nodes,
        "embedding",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"]),
            helper.make_tensor_value_info("image_features", TensorProto.FLOAT, ["seen", hidden]),
        ],
        [helper.make_tensor_value_info("inputs_embeds", TensorProto.FLOAT, ["batch", "length", hidden])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
