"""What a figure depends on besides the model: the machine, versions, threads and settings from outside."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from utils import catalog

PACKAGES = ("torch", "transformers", "onnxruntime-genai", "xllamacpp", "openvino-genai", "mlx-lm")
OURS = ("SLM_MODE", "ONNX_PROVIDER", "OPENVINO_DEVICE", "TORCH_DEVICE")  # may stand in .env as well
THEIRS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS")  # of these runtimes only PyTorch heeds them


def machine() -> dict[str, Any]:
    """System, processor, cores, versions of the runtimes, and the settings that change what runs and how fast."""
    versions = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    settings = {name: catalog.variable(name) for name in OURS} | {name: os.environ.get(name) for name in THEIRS}
    return {
        "system": platform.system(),
        "processor": processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
        "settings": {name: value for name, value in settings.items() if value},
    }


def processor() -> str:
    """The name of its model, else of its kind, as far as the system tells."""
    name = ""
    with suppress(OSError):
        if platform.system() == "Darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            name = subprocess.run(command, capture_output=True, text=True).stdout
        else:
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
            name = next((line.partition(":")[2] for line in lines if line.startswith("model name")), "")
    return name.strip() or platform.processor() or platform.machine()


def threads(route: str) -> int | None:
    """With how many threads a route computes; None where its runtime decides alone, and for a server."""
    if route == "transformers" and "torch" in sys.modules:
        return int(sys.modules["torch"].get_num_threads())
    # Ours asks llama.cpp for all logical cores; ONNX Runtime takes all physical ones. Neither heeds OMP_NUM_THREADS.
    return {"llama.cpp": os.cpu_count(), "onnx": psutil.cpu_count(logical=False)}.get(route)
