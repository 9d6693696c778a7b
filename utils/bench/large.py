"""Our stream on a model of 250 million parameters, where a token takes long enough to hide what we add."""

from __future__ import annotations

import tempfile
from pathlib import Path

from utils.backends.onnx import OnnxBackend
from utils.backends.target import Target
from utils.bench import streams
from utils.bench.rows import Row
from utils.measure import compare
from utils.pocket.tokenizer import SIZE
from utils.rehearse import forms

LAYERS = 14
SHAPE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "vocab_size": SIZE,
}


def rows(pairs: int) -> list[Row]:
    """Needs 2 GB of disk for a minute. Raises ExportFailed when they are not there."""
    form = forms.Form("onnx", "fp32")
    with tempfile.TemporaryDirectory(prefix="pocket-bench-") as there:
        folder = Path(there, "whole")
        forms.deepen(forms.base(SHAPE, form, Path(there)), form, folder, LAYERS)
        backend = OnnxBackend(Target(model="random", source="pocket", folder=folder, precision="fp32"))
        result = compare(streams.stream(backend), streams.onnx_loop(backend), pairs)
        backend.close()
    return [Row("the same with 250 M random parameters", "tokens/s", result, "least", 0.995)]
