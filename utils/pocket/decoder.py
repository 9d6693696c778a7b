"""The half of a LLaVA folder that writes, as a Phi-3 folder of its own, which every exporter understands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safetensors.numpy import load_file, save_file

from .weights import SETTINGS

PREFIX = "language_model."


def extract(folder: Path, target: Path) -> None:
    """Put the decoder of the LLaVA model in `folder` into the new folder `target`."""
    target.mkdir()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    text = config["text_config"] | {"architectures": ["Phi3ForCausalLM"]}
    (target / "config.json").write_text(json.dumps(text, indent=1), encoding="utf-8")
    given = load_file(folder / "model.safetensors")
    kept = {name.removeprefix(PREFIX): value for name, value in given.items() if name.startswith(PREFIX)}
    save_file(kept, target / "model.safetensors", {"format": "pt"})
    for name in SETTINGS:
        if name != "config.json" and (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)
