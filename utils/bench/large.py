"""Our stream on a model of 250 million parameters, where a token takes long enough to hide what we add."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from utils.backends.onnx import OnnxBackend
from utils.backends.target import Target
from utils.bench import streams
from utils.bench.rows import Row
from utils.measure import compare
from utils.pocket import builder, folder

SHAPE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 14,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
}


def rows(pairs: int) -> list[Row]:
    """Needs 4 GB of disk for a minute. Raises ExportFailed or OSError when they are not there."""
    with tempfile.TemporaryDirectory(prefix="pocket-bench-") as there:
        source, exported = Path(there, "random"), Path(there, "onnx")
        bytes_ = noise(source)
        builder.build(source, "onnx-fp32", exported, bytes_)
        shutil.rmtree(source)
        backend = OnnxBackend(Target(model="random", source="pocket", folder=exported, precision="fp32"))
        result = compare(streams.stream(backend), streams.onnx_loop(backend), pairs)
        backend.close()
    return [Row("the same with 250 M random parameters", "tokens/s", result, "least", 0.995)]


def noise(target: Path) -> int:
    """Writes a model of SHAPE with random weights and the pocket model's tokenizer; returns the bytes of weights."""
    import torch
    from transformers import Phi3Config, Phi3ForCausalLM

    home = folder(streams.MODEL)
    torch.manual_seed(0)
    config = Phi3Config.from_pretrained(home)
    config.update(SHAPE)
    shutil.copytree(home, target, ignore=shutil.ignore_patterns("*.safetensors"))
    Phi3ForCausalLM(config).to(torch.bfloat16).save_pretrained(target)
    return sum(os.path.getsize(file) for file in target.glob("*.safetensors"))
