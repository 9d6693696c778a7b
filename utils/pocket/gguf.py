"""Writes a pocket model as a GGUF file for llama.cpp, with the `gguf` library.

The ids are those of tokenizer.json because of four things: the splitting is declared as "gpt-2" (ByteLevel with its
regular expression); the name contains "phi-3", for which llama.cpp strips white space after special tokens, as Phi-3's
own tokenizer does; special tokens are marked as control tokens; no token is added at the beginning.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import gguf
import ml_dtypes  # noqa: F401 - comes with onnx; numpy then knows bfloat16, in which a learner may have saved a model
import numpy as np
from safetensors.numpy import load_file

from utils.errors import ExportFailed

from . import moe_gguf

KINDS = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
}
TOP = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
BLOCK = {  # llama.cpp's phi3 has fused matrices and the rotary order of Transformers, so nothing is permuted
    "input_layernorm": "attn_norm",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write(folder: Path, file: Path, kind: str, again: int = 0) -> None:
    """Write the Phi-3 or Phi-3.5-MoE model in `folder` to `file`; `kind` is "f32", "q8_0" or "q4_0". For a rehearsal
    the last layer of a Phi-3 is written `again` so many times."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["num_hidden_layers"] += again
    experts = config.get("num_local_experts")
    writer = gguf.GGUFWriter(file, "phimoe" if experts else "phi3")
    writer.add_name(f"{folder.name} (phi-3)")
    writer.add_file_type(KINDS[kind])
    _shape(writer, config)
    _tokenizer(writer, folder)
    given = {n: v for part in sorted(folder.glob("*.safetensors")) for n, v in load_file(str(part)).items()}
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config["num_experts_per_tok"])
        for name, value in moe_gguf.tensors(given):
            writer.add_tensor(name, *_numbers(name, value, kind))
    else:
        last = config["num_hidden_layers"] - again - 1
        for name, value in ((_tensor_name(name), value) for name, value in given.items()):
            numbers = _numbers(name, value, kind)
            writer.add_tensor(name, *numbers)
            for by in range(1, again + 1):
                if name.startswith(f"blk.{last}."):
                    writer.add_tensor(name.replace(f"blk.{last}.", f"blk.{last + by}."), *numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _shape(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    heads, rope = config["num_attention_heads"], config["rope_parameters"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_rope_scaling_orig_ctx_len(config["original_max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(int(config["hidden_size"] // heads * rope.get("partial_rotary_factor", 1.0)))
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])


def _tokenizer(writer: gguf.GGUFWriter, folder: Path) -> None:
    made = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    vocabulary = made["model"]["vocab"] | {token["content"]: token["id"] for token in made["added_tokens"]}
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    special = {token["id"] for token in made["added_tokens"] if token["special"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    writer.add_token_types([control if i in special else normal for i in range(len(tokens))])
    writer.add_token_merges([" ".join(pair) for pair in made["model"]["merges"]])
    writer.add_bos_token_id(vocabulary[settings["bos_token"]])
    writer.add_eos_token_id(vocabulary[settings["eos_token"]])
    writer.add_unk_token_id(vocabulary[settings["unk_token"]])
    writer.add_pad_token_id(vocabulary[settings["pad_token"]])
    writer.add_eot_token_id(vocabulary["<|end|>"])
    writer.add_uint32(
        "tokenizer.ggml.eom_token_id", vocabulary["<|assistant|>"]
    )  # ends an answer too, as in config.json
    writer.add_add_bos_token(settings["add_bos_token"])
    writer.add_add_eos_token(settings["add_eos_token"])
    writer.add_chat_template(_template(folder, settings))


def _template(folder: Path, settings: dict[str, Any]) -> str:
    """The chat template, which older folders have among the tokenizer's settings. Raises ExportFailed: llama.cpp would
    take another model's."""
    file = folder / "chat_template.jinja"
    found = file.read_text(encoding="utf-8") if file.is_file() else settings.get("chat_template")
    if not isinstance(found, str):
        raise ExportFailed(f"{folder.name} has no chat_template.jinja, and llama.cpp needs one. Add it to the folder.")
    return found


def _numbers(name: str, value: np.ndarray, kind: str) -> tuple[np.ndarray, None, gguf.GGMLQuantizationType | None]:
    """The numbers as `kind` stores them, their shape (that of the array) and the type, where it is not float32."""
    numbers = np.ascontiguousarray(value.astype(np.float32))
    if kind == "f32" or numbers.ndim == 1 or moe_gguf.ROUTER in name:  # few numbers, and llama.cpp wants them exact
        return numbers, None, None
    quantised = gguf.GGMLQuantizationType[kind.upper()]
    return gguf.quantize(numbers, quantised), None, quantised


def _tensor_name(name: str) -> str:
    if name in TOP:
        return TOP[name]
    found = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.weight", name)
    if not found or found[2] not in BLOCK:
        raise ValueError(f"GGUF has no place for {name}")
    return f"blk.{found[1]}.{BLOCK[found[2]]}.weight"
