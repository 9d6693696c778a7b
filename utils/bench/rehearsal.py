"""How near predictions come: of a size that was not measured, and of a whole model from a part of its layers; and how
much memory it takes to build a whole one.

The models have random weights and the widths of a smaller Phi and of Phi-3-mini, and too many weights for a cache.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from utils.alone import Question, ask
from utils.bench.costs import megabytes
from utils.bench.rows import Row, once
from utils.catalog import load
from utils.measure import summary
from utils.rehearse import TOKENS, WORD, forms
from utils.roofline import predict, probe

FORM = forms.Form("onnx", "int4")
COMMON = {"num_hidden_layers": 8, "vocab_size": 32064}
SMALLER = COMMON | dict.fromkeys(("num_attention_heads", "num_key_value_heads"), 16)
SMALLER |= {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 16}
MINI = COMMON | dict.fromkeys(("num_attention_heads", "num_key_value_heads"), 32)
MINI |= {"hidden_size": 3072, "intermediate_size": 8192}
WHOLE = load().models["phi-3.5-mini"].shape
BUILDING_GB = 6.0  # that building it may take at most
BUILD = """
import json, sys
from pathlib import Path
from utils.rehearse import forms
shape, form, scratch = json.loads(sys.argv[1]), forms.Form(*sys.argv[2].split("-")), Path(sys.argv[3])
forms.whole(shape, form, scratch, shape["num_hidden_layers"])
"""


def rows(pairs: int) -> list[Row]:
    """Needs 5 GB of disk and of memory for some minutes. Raises ExportFailed when they are not there."""
    with tempfile.TemporaryDirectory(prefix="pocket-bench-") as there:
        smaller, half, mini, double = (
            _made(Path(there, name), shape, layers)
            for name, shape, layers in (("a", SMALLER, 16), ("b", MINI, 4), ("c", MINI, 8), ("d", MINI, 16))
        )
        machine = probe()
        sizes, depths = [], []
        for _ in range(pairs):
            known, few, some, many = (_speed(folder) for folder in (smaller, half, mini, double))
            said = predict(machine, forms.load(SMALLER, FORM), known, forms.load(MINI, FORM))
            sizes.append((said, some))
            depths.append((1 / (1 / some + 2 * (1 / some - 1 / few)), many))
    return [
        Row("predicted speed of an unseen size, int4 (theirs: measured)", "tokens/s", summary(sizes), "within", 0.2),
        Row("16 layers estimated from 4 and 8 (theirs: measured)", "tokens/s", summary(depths), "within", 0.2),
        building(),
    ]


def building() -> Row:
    """Memory of the process that builds a whole model, and of those that it starts, in the form that takes most."""
    with tempfile.TemporaryDirectory(prefix="pocket-bench-") as there:
        peak = megabytes([sys.executable, "-c", BUILD, json.dumps(WHOLE), str(FORM), there])
    result = once(peak / 1e3, BUILDING_GB)
    return Row("peak memory while building phi-3.5-mini's shape ÷ 6 GB", "GB", result, "most", 1.0)


def _made(scratch: Path, shape: Mapping[str, int], layers: int) -> Path:
    scratch.mkdir()
    return forms.whole(shape, FORM, scratch, layers)


def _speed(folder: Path) -> float:
    (asked,) = ask(FORM.route, str(folder), [Question(WORD * 32, TOKENS)])
    return asked.tokens_per_s[0]
