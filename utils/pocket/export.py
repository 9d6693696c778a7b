"""The ONNX form of a model folder: made once, on first use, and kept in the cache folder.

This module knows where an export lies and whether it is whole; `builder.py` makes it. A cached model is found without
importing anything that takes time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from utils.catalog import cache_folder
from utils.errors import ExportFailed
from utils.pocket import weights

Precision = Literal["fp32", "int4"]
DONE = "export.json"  # written last: the names and sizes of the other files
MEMORY = "names.json"  # which model folder, with which file sizes and times, has which export
NAMES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")

say: Callable[[str], object] = lambda text: None  # noqa: E731 - the command line puts its own printing here


def onnx(folder: Path, precision: Precision) -> Path:
    """The ONNX folder for the model in `folder`, built if it is not in the cache yet (5-10 s for a pocket model).

    Raises BadModel when the weights are damaged and ExportFailed when the export cannot be made or written.
    """
    final = _final(folder, precision, remember=True)
    if _whole(final):
        return final
    from filelock import FileLock

    from utils.pocket import builder

    size = sum(file.stat().st_size for file in weights.check(folder))
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(final.with_name(final.name + ".lock")):  # two at once: one builds, the other waits for it
            if not _whole(final):
                say(f"Preparing {folder.name} for ONNX Runtime ({precision}): done once, takes some seconds ...")
                builder.build(folder, precision, final, size)
    except OSError as error:
        raise ExportFailed(builder.reason(str(error), final)) from None
    return final


def cached(folder: Path, precision: Precision) -> bool:
    """Whether that export lies in the cache already."""
    return _whole(_final(folder, precision, remember=False))


def _final(folder: Path, precision: Precision, *, remember: bool) -> Path:
    """Where the export belongs: the name holds a hash of weights, configuration, tokenizer and builder version.

    Hashing takes a second per gigabyte, so the name is remembered for as long as the files' sizes and times stay.
    """
    from onnxruntime_genai import __version__ as version

    home = cache_folder() / "onnx"
    there = [folder / name for name in NAMES if (folder / name).is_file()]
    files = sorted(folder.glob("*.safetensors")) + there
    stamps = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    this = f"{folder.resolve()} {precision} {version}"
    memory = _read(home / MEMORY)
    if this not in memory or memory[this][0] != stamps:
        memory[this] = [stamps, f"{folder.name}-{precision}-{_hash(files, f'{precision} {version}')}"]
        if remember:
            _write(home / MEMORY, memory)
    return home / str(memory[this][1])


def _hash(files: list[Path], seed: str) -> str:
    import hashlib

    digest = hashlib.blake2b(seed.encode(), digest_size=8)
    for file in files:
        with file.open("rb") as stream:
            digest.update(f"\n{file.name} {hashlib.file_digest(stream, 'blake2b').hexdigest()}".encode())
    return digest.hexdigest()


def _read(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}


def _write(file: Path, memory: dict[str, Any]) -> None:
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    with suppress(OSError):  # a full disk or no folder yet: nothing is lost but time
        draft.write_text(json.dumps(memory))
        os.replace(draft, file)
    with suppress(OSError):
        draft.unlink()


def _whole(final: Path) -> bool:
    sizes = _read(final / DONE)
    try:
        return bool(sizes) and all((final / name).stat().st_size == size for name, size in sizes.items())
    except OSError:
        return False
