"""Our stream on a model of 250 million parameters, where a token takes long enough to hide what we add."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from utils.backends.onnx import OnnxBackend
from utils.backends.target import Target
from utils.bench import streams
from utils.bench.rows import Row
from utils.measure import compare
from utils.pocket import builder
from utils.pocket.tokenizer import SIZE
from utils.rehearse import forms

LAYERS = 14
TOKENS = 64
SHAPE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "vocab_size": SIZE,
}


def rows(pairs: int) -> list[Row]:
    """Needs 2 GB of disk for a minute. Raises ExportFailed when they are not there."""
    with model("onnx-fp32") as target, closing(OnnxBackend(target)) as backend:
        result = compare(streams.stream(backend, TOKENS), streams.onnx_loop(backend, TOKENS), pairs)
    return [Row("the same with 250 M random parameters", "tokens/s", result, "least", 0.995)]


@contextmanager
def model(form: str) -> Iterator[Target]:
    """The model in 32 bit for the form's route, as long as this lasts. Raises ExportFailed."""
    with tempfile.TemporaryDirectory(prefix="pocket-bench-") as there:
        made = forms.named(form.replace("openvino", "transformers"))
        whole = forms.whole(SHAPE, made, Path(there), LAYERS)
        if form.startswith("openvino"):
            whole, source = Path(there, "openvino"), whole
            builder.build(source, form, whole, sum(file.stat().st_size for file in source.iterdir()))
        yield Target(model="random", source="pocket", folder=whole, precision=made.precision)
