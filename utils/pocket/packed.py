"""Weights in 8 bits, which keep the repository small, and the folder in 16 bits that every runtime reads.

The bits are llama.cpp's Q8_0: a scale for every 32 numbers of a row. They are unpacked once, on first use, into the
cache folder; a model is scored after that, so its card speaks of what is loaded.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from utils.catalog import cache_folder
from utils.errors import BadModel

from . import PACKED

BLOCK = 32
ROOM = 3  # bytes asked for per byte of packed weights
WEIGHTS = "model.safetensors"
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"  # kept once where they are the same numbers
_made: dict[tuple[Path, int, Path], Path] = {}  # looked at once in a process, as long as the file's time stays


def pack(folder: Path) -> None:
    """Put the weights of `folder` into 8 bits; what a runtime reads, model.safetensors, is gone from it."""
    from gguf import GGMLQuantizationType, quants
    from safetensors.numpy import load_file, save_file

    whole, small, same = load_file(folder / WEIGHTS), {}, {}
    if HEAD in whole and (whole[HEAD] == whole[EMBEDDING]).all():
        del whole[HEAD]
        same[HEAD] = EMBEDDING
    for name, value in whole.items():
        rows = value.ndim > 1 and value.shape[-1] % BLOCK == 0
        small[name] = quants.quantize(value.astype("float32"), GGMLQuantizationType.Q8_0) if rows else value
    save_file(small, folder / PACKED, same)
    (folder / WEIGHTS).unlink()


def unpacked(folder: Path) -> Path:
    """A folder with the model of `folder` in 16 bits: `folder` itself, if it is in 16 bits already.

    Raises BadModel when the weights are damaged or the cache folder cannot be written to.
    """
    file = folder / PACKED
    if not file.is_file():
        return folder
    seen = (folder, file.stat().st_mtime_ns, cache_folder())
    try:
        if seen not in _made or not (_made[seen] / WEIGHTS).is_file():
            _made[seen] = _unpacked(folder)
        return _made[seen]
    except OSError as error:
        raise BadModel(
            f"{folder.name} could not be unpacked into {cache_folder()}: {error.strerror or error}. "
            "Free some space, or set SLM_CACHE to another folder."
        ) from None


def _unpacked(folder: Path) -> Path:
    from . import weights

    weights.check(folder)
    final = cache_folder() / "weights" / _key(folder) / folder.name  # its own name: exports and answers show it
    if (final / WEIGHTS).is_file():
        return final
    final.parent.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(final.parent.parent).free < ROOM * (folder / PACKED).stat().st_size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    draft = Path(tempfile.mkdtemp(prefix=".", dir=final.parent.parent))
    try:
        _write(folder, draft / folder.name)
        try:
            os.replace(draft, final.parent)
        except OSError:  # another process was sooner, or a broken-off one left something there
            if not (final / WEIGHTS).is_file():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return final


def _key(folder: Path) -> str:
    """Of the weights and of what lies beside them."""
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(f for f in folder.iterdir() if f.is_file()):
        digest.update(file.name.encode() + hashlib.blake2b(file.read_bytes()).digest())
    return digest.hexdigest()


def _write(folder: Path, target: Path) -> None:
    import numpy as np
    from gguf import GGMLQuantizationType, quants
    from safetensors import safe_open
    from safetensors.numpy import save_file

    target.mkdir()
    for file in folder.iterdir():
        if file.is_file() and file.name != PACKED:
            shutil.copyfile(file, target / file.name)
    with safe_open(folder / PACKED, "np") as file:
        whole = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        same = file.metadata() or {}
    for name, value in whole.items():
        if value.dtype == np.uint8:
            whole[name] = quants.dequantize(value, GGMLQuantizationType.Q8_0).astype(np.float16)
    whole |= {name: whole[twin] for name, twin in same.items()}
    save_file(whole, target / WEIGHTS, {"format": "pt"})
