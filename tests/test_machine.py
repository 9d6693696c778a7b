"""What is written down of a machine is what the runtimes there really have."""

import platform
from pathlib import Path

import torch

from utils import catalog, machine


def test_a_figure_comes_with_machine_versions_and_settings(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("TORCH_DEVICE=cpu\nOMP_NUM_THREADS=7\n", encoding="utf-8")
    monkeypatch.setattr(catalog, "HOME", tmp_path / "utils")
    for name in (*machine.OURS, *machine.THEIRS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENVINO_DEVICE", "CPU")
    monkeypatch.setenv("MKL_NUM_THREADS", "2")
    made = machine.machine()
    assert made["system"] == platform.system() and made["cores"] and made["versions"]["torch"] == torch.__version__
    assert made["settings"] == {"OPENVINO_DEVICE": "CPU", "TORCH_DEVICE": "cpu", "MKL_NUM_THREADS": "2"}, (
        "of .env only our own variables are read"
    )


def test_the_processor_has_its_models_name_where_the_system_tells_one(monkeypatch):
    listed = "processor\t: 0\nmodel name\t: Fast Chip 9\nflags\t: a b\n"
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(Path, "read_text", lambda self, **named: listed)
    assert machine.processor() == "Fast Chip 9"
    monkeypatch.setattr(Path, "read_text", lambda self, **named: "processor\t: 0\n")
    assert machine.processor() == (platform.processor() or platform.machine())


def test_threads_are_those_that_the_runtime_was_given(monkeypatch):
    """OMP_NUM_THREADS says nothing of llama.cpp."""
    from utils.backends.llama_cpp import _parameters

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    given = _parameters(Path("x.gguf"), None, "key", 64, 1)
    assert machine.threads("llama.cpp") == given.cpuparams.n_threads == given.cpuparams_batch.n_threads
    assert machine.threads("transformers") == torch.get_num_threads()
    assert machine.threads("onnx") >= 1
    assert machine.threads("ollama") is None and machine.threads("openvino") is None
