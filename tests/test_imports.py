"""`import utils` loads nothing heavy, and the default route loads only what it needs."""

import subprocess
import sys

import pytest

import utils

HEAVY = {"torch", "transformers", "tokenizers", "onnxruntime_genai", "numpy", "ipywidgets", "matplotlib", "jinja2"}


def loaded_by(code):
    program = f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_importing_utils_loads_nothing_heavy():
    loaded = loaded_by("import utils\nfrom utils import Options, complete, connect")
    assert "utils.backends" in loaded
    assert not loaded & HEAVY


def test_an_answer_on_the_onnx_route_needs_neither_torch_nor_transformers():
    loaded = loaded_by(
        "from utils import Options, complete, connect\n"
        "complete(connect('onnx', mode='offline'), 'What is an SLM?', Options(max_tokens=5))"
    )
    assert "onnxruntime_genai" in loaded
    assert not loaded & (HEAVY - {"onnxruntime_genai", "numpy"})


def test_every_public_name_is_there():
    assert set(utils.__all__) <= set(dir(utils))
    for name in utils.__all__:
        value = getattr(utils, name)
        assert getattr(value, "__module__", value.__name__).startswith("utils.")
    with pytest.raises(AttributeError, match="module 'utils' has no attribute 'nonsense'"):
        _ = utils.nonsense
