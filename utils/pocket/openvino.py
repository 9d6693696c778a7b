"""OpenVINO's form of a folder with Phi-3 or Phi-3.5-MoE: what `openvino_genai.LLMPipeline` loads.

OpenVINO converts the PyTorch model by tracing one step of it. Its own exporter, optimum-intel, wants another torch and
an older transformers; and the file that ONNX Runtime GenAI's builder writes can be run by OpenVINO but not be saved
(GroupQueryAttention is no layer of its file format).

The cache of keys and values becomes state inside the model, as `LLMPipeline` expects it: input `beam_idx` [batch] says
which row of the state each row goes on from. See "Stateful models" in OpenVINO's documentation.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as opset
import openvino_tokenizers
import torch
from openvino._offline_transformations import apply_make_stateful_transformation
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.cache_utils import DynamicCache, DynamicLayer

from utils.errors import ExportFailed

from .quiet import quiet
from .weights import SETTINGS


class _Step(torch.nn.Module):
    """One call of the model with the cache as plain tensors, `past_key_values.0.key` and so on.

    Shapes: input_ids and position_ids [batch, new], attention_mask [batch, past + new], each of `past`
    [batch, heads, past, size of a head]. OpenVINO GenAI looks for inputs of these names.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, position_ids: torch.Tensor, *past: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        cache = DynamicCache()
        for keys, values in zip(past[::2], past[1::2], strict=True):
            layer = DynamicLayer()
            layer.keys, layer.values = keys, values
            layer.dtype, layer.device, layer.is_initialized = keys.dtype, keys.device, True
            cache.layers.append(layer)
        # transformers builds its mask with Python branches, which a trace would freeze: ours is made of tensors only.
        new, total = input_ids.shape[1], attention_mask.shape[1]
        columns = torch.arange(total)
        rows = columns[-1] + 1 - new + torch.arange(new)
        seen = columns[None, :] <= rows[:, None]
        seen = seen[None, None] & (attention_mask[:, None, None, :] > 0)
        mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)
        out = self.model(
            input_ids=input_ids, attention_mask=mask, position_ids=position_ids, cache=cache, use_cache=True
        )
        present = [tensor for layer in out.cache.layers for tensor in (layer.keys, layer.values)]
        return (out.logits, *present)


def write(folder: Path, target: Path) -> None:
    """Write the model of `folder` into the existing folder `target`, in 32 bit.

    Raises ExportFailed for another architecture than these two, for LongRoPE, between whose two sets of frequencies a
    trace cannot choose, and for a sliding window, which OpenVINO GenAI's paged attention would ignore.
    """
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    known = config.model_type in ("phi3", "phimoe")
    if not known or config.rope_parameters["rope_type"] != "default" or config.sliding_window:
        raise ExportFailed(
            f"{folder} cannot be written for OpenVINO: that works for Phi-3 models without LongRoPE or sliding window. "
            "Intel publishes the real Phi-3 and Phi-3.5 in OpenVINO's form on Hugging Face."
        )
    with quiet():
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()
    if config.model_type == "phimoe":  # the one way of asking experts in which no loop depends on the numbers
        model.set_experts_implementation("batched_mm")
    ov.save_model(_stateful(_traced(model), config), target / "openvino_model.xml", compress_to_fp16=False)
    tokenizer, detokenizer = openvino_tokenizers.convert_tokenizer(
        AutoTokenizer.from_pretrained(folder, trust_remote_code=False), with_detokenizer=True, skip_special_tokens=True
    )
    ov.save_model(tokenizer, target / "openvino_tokenizer.xml")
    ov.save_model(detokenizer, target / "openvino_detokenizer.xml")
    for name in SETTINGS:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)


@contextmanager
def _unreported() -> Iterator[None]:
    """OpenVINO reports every conversion to Google Analytics, unasked, but for those in CI. There is no other switch."""
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before


def _cache_shape(config: Any, length: int) -> list[int]:
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return [-1, config.num_key_value_heads, length, head]


def _traced(model: PreTrainedModel) -> ov.Model:
    """The step as an OpenVINO model with named inputs and outputs, every length free."""
    layers, shape = model.config.num_hidden_layers, _cache_shape(model.config, -1)
    pasts = [f"past_key_values.{i}.{part}" for i in range(layers) for part in ("key", "value")]
    example = (
        torch.ones(2, 3, dtype=torch.long),
        torch.ones(2, 7, dtype=torch.long),
        torch.arange(4, 7).repeat(2, 1),
        *(torch.zeros(2, shape[1], 4, shape[3]) for _ in pasts),
    )
    with torch.no_grad(), _unreported(), quiet():  # the tracer would warn of a branch that our mask never takes
        made = ov.convert_model(_Step(model), example_input=example)
    inputs = ["input_ids", "attention_mask", "position_ids", *pasts]
    outputs = ["logits", *(name.replace("past_key_values", "present") for name in pasts)]
    for ports, names in ((made.inputs, inputs), (made.outputs, outputs)):
        for port, name in zip(ports, names, strict=True):
            port.get_tensor().set_names({name})
    made.reshape({name: ov.PartialShape(shape if name in pasts else [-1, -1]) for name in inputs})
    return made


def _stateful(model: ov.Model, config: Any) -> ov.Model:
    """The model with its cache as state: reordered by `beam_idx`, empty at first."""
    beam = opset.parameter(ov.PartialShape([-1]), np.int32, name="beam_idx")
    beam.output(0).get_tensor().add_names({"beam_idx"})
    model.add_parameters([beam])
    pairs = {}
    for port in model.inputs:
        name = port.get_any_name()
        if name.startswith("past_key_values"):
            users = port.get_target_inputs()
            chosen = opset.gather(port, beam, opset.constant(0))
            for user in users:
                user.replace_source_output(chosen.output(0))
            pairs[name] = name.replace("past_key_values", "present")
    model.validate_nodes_and_infer_types()
    apply_make_stateful_transformation(model, pairs)
    batch = opset.gather(opset.shape_of(model.input("input_ids")), opset.constant([0]), opset.constant(0))
    empty = opset.concat([batch, opset.constant(np.array(_cache_shape(config, 0)[1:], np.int64))], axis=0)
    for node in model.get_ops():
        if node.get_type_name() == "ReadValue":
            node.set_arguments([opset.broadcast(opset.constant(np.float32(0)), empty).output(0)])
    model.validate_nodes_and_infer_types()
    return model
