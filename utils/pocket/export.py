"""The ONNX form of a model folder: made once, on first use, and kept in the cache folder.

This module knows where an export lies and whether it is whole; `builder.py` makes it. A cached model is found without
importing anything that takes time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from utils.catalog import cache_folder
from utils.errors import ExportFailed
from utils.pocket import weights

Precision = Literal["fp32", "int4"]
DONE = "export.json"  # written last: the names and sizes of the other files
NAMES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")

say: Callable[[str], object] = lambda text: None  # noqa: E731 - the command line puts its own printing here


def onnx(folder: Path, precision: Precision) -> Path:
    """The ONNX folder for the model in `folder`, built if it is not in the cache yet (5-10 s for a pocket model).

    Raises BadModel when the weights are damaged and ExportFailed when the export cannot be made or written.
    """
    files = weights.check(folder)
    final = _final(folder, files, precision)
    if _whole(final):
        return final
    from filelock import FileLock

    from utils.pocket import builder

    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(final.with_name(final.name + ".lock")):  # two at once: one builds, the other waits for it
            if not _whole(final):
                say(f"Preparing {folder.name} for ONNX Runtime ({precision}): done once, takes some seconds ...")
                builder.build(folder, precision, final, sum(f.stat().st_size for f in files))
    except OSError as error:
        raise ExportFailed(builder.reason(str(error), final)) from None
    return final


def cached(folder: Path, precision: Precision) -> bool:
    """Whether that export lies in the cache already. Raises BadModel."""
    return _whole(_final(folder, weights.check(folder), precision))


def _final(folder: Path, files: list[Path], precision: Precision) -> Path:
    """Where the export belongs: the name changes with the weights, the configuration, the tokenizer and the builder."""
    from onnxruntime_genai import __version__ as version

    digest = hashlib.blake2b(f"{version} {precision}".encode(), digest_size=8)
    for file in [*files, *(folder / name for name in NAMES)]:
        if file.exists():
            with file.open("rb") as stream:
                digest.update(f"\n{file.name} {hashlib.file_digest(stream, 'blake2b').hexdigest()}".encode())
    return cache_folder() / "onnx" / f"{folder.name}-{precision}-{digest.hexdigest()}"


def _whole(final: Path) -> bool:
    try:
        sizes = json.loads((final / DONE).read_bytes())
        return all((final / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False
