"""The part of a LLaVA folder that sees, as a GGUF file beside the decoder's: llama.cpp calls it mmproj."""

from __future__ import annotations

import json
import re
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file

EYES, PROJECTOR = "vision_tower.", "multi_modal_projector."
TOP = {
    "embeddings.patch_embedding.weight": "v.patch_embd.weight",
    "embeddings.patch_embedding.bias": "v.patch_embd.bias",
    "embeddings.position_embedding.weight": "v.position_embd.weight",
    "linear_1.weight": "mm.0.weight",
    "linear_1.bias": "mm.0.bias",
    "linear_2.weight": "mm.2.weight",
    "linear_2.bias": "mm.2.bias",
}
UNUSED = "post_layernorm"  # LLaVA takes what comes before it
BLOCK = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out",
    "layer_norm1": "ln1",
    "layer_norm2": "ln2",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
}


def write(folder: Path, file: Path) -> None:
    """Write tower and projector of the LLaVA model in `folder` to `file`, in 32 bit: they are small."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    shape = config["vision_config"]
    eyes = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(file, "clip")
    writer.add_name(f"{folder.name} (mmproj)")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type("mlp")
    writer.add_vision_use_gelu(True)
    writer.add_vision_image_size(shape["image_size"])
    writer.add_vision_patch_size(shape["patch_size"])
    writer.add_vision_embedding_length(shape["hidden_size"])
    writer.add_vision_feed_forward_length(shape["intermediate_size"])
    writer.add_vision_block_count(shape["num_hidden_layers"])
    writer.add_vision_head_count(shape["num_attention_heads"])
    writer.add_vision_projection_dim(config["text_config"]["hidden_size"])
    writer.add_vision_attention_layernorm_eps(shape["layer_norm_eps"])
    writer.add_vision_image_mean(eyes["image_mean"])
    writer.add_vision_image_std(eyes["image_std"])
    writer.add_array("clip.vision.feature_layer", [shape["num_hidden_layers"]])  # else the last layer is left out
    for name, value in load_file(folder / "model.safetensors").items():
        if name.startswith((EYES, PROJECTOR)) and UNUSED not in name:
            writer.add_tensor(_name(name), np.ascontiguousarray(value.astype(np.float32)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _name(name: str) -> str:
    short = name.removeprefix(EYES).removeprefix(PROJECTOR)
    if short in TOP:
        return TOP[short]
    found = re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", short)
    if not found or found[2] not in BLOCK:
        raise ValueError(f"GGUF has no place for {name}")
    return f"v.blk.{found[1]}.{BLOCK[found[2]]}.{found[3]}"
