"""Is a model folder whole and safe to load? Answered without loading it.

It knows the files of a Hugging Face model folder. It does not know whether the model is any good.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from utils.errors import BadModel

SETTINGS = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
RECORD, HASHES = "training.json", "weights_sha256"  # a pocket model's record, and where it has the weights' hashes
PICKLES = {".bin", ".pt", ".pth", ".pkl", ".ckpt"}
RESTORE = "Restore it with `git checkout -- {}` (or download the model again)."


def check(folder: Path) -> list[Path]:
    """The weight files of `folder`, after looking at every header, and at every hash where the folder's record of the
    training has them. Raises BadModel with the reason."""
    if not folder.is_dir():
        raise BadModel(f"There is no model folder {folder}. {RESTORE.format(folder.name)}")
    check_links(folder)
    for name in ("config.json", "tokenizer.json"):
        _json(folder / name)
    files = sorted(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.exists():
        files = _shards(index)
    if not files:
        pickles = sorted(f.name for f in folder.iterdir() if f.suffix in PICKLES)
        if pickles:
            raise BadModel(
                f"{folder.name} holds {pickles[0]}, a pickle file, which can run any code when opened, so it is "
                "refused. Use weights in the safetensors format."
            )
        raise BadModel(f"{folder.name} has no model.safetensors. {RESTORE.format('model.safetensors')}")
    for file in files:
        _check_safetensors(file)
    _check_hashes(folder / RECORD, files)
    return files


def hashes(files: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 of each file, by its name."""
    import hashlib  # here: it takes 3.5 MB, and nobody who asks a model needs it

    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _check_hashes(record: Path, files: list[Path]) -> None:
    known = _json(record).get(HASHES, {}) if record.is_file() else {}
    for name, found in hashes(file for file in files if file.name in known).items():
        if found != known[name]:
            raise BadModel(
                f"{name} of {record.parent.name} is damaged: its SHA-256 is not the one in {record.name}. "
                + RESTORE.format(name)
            )


def check_links(folder: Path) -> None:
    """Raises BadModel when something in the folder is a link to a place outside: outside of its repository, for one in
    Hugging Face's cache, where every file is a link."""
    whole = folder.resolve()
    tree = next((p.parent for p in whole.parents if p.name == "snapshots" and p.parent.name[:8] == "models--"), whole)
    for file in sorted(folder.iterdir()):
        if file.is_symlink() and not Path(os.path.realpath(file)).is_relative_to(tree):
            raise BadModel(f"{file.name} of {folder.name} is a link to a file outside, so this model is refused.")


def check_fetched(files: Iterable[Path]) -> None:
    """Raises BadModel for a file that git-lfs has not fetched, of any format: a few lines stand in its place."""
    for file in files:
        with file.open("rb") as stream:
            _refuse_pointer(stream.read(8), f"{file.name} of {file.parent.name}")


def _refuse_pointer(start: bytes, where: str) -> None:
    if start == b"version ":
        raise BadModel(f"{where} is a git-lfs pointer, not the weights. Run `git lfs pull`.")


def parameters(folder: Path) -> int:
    """How many numbers the weights are. Raises BadModel."""
    return sum(
        math.prod(row["shape"])
        for file in check(folder)
        for name, row in _header(file).items()
        if name != "__metadata__"
    )


def _header(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        return dict(json.loads(stream.read(length)))


def _shards(index: Path) -> list[Path]:
    names = _json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise BadModel(f"{index.name} is damaged: it lists no files. {RESTORE.format(index.name)}")
    if any(Path(name).name != name for name in names.values()):
        raise BadModel(f"{index.name} names a file outside {index.parent.name}, so this model is refused.")
    return sorted({index.with_name(name) for name in names.values()})


def _json(file: Path) -> dict[str, Any]:
    restore = RESTORE.format(file.name)
    try:
        value = json.loads(file.read_bytes())
    except OSError:
        raise BadModel(f"{file.parent.name} has no readable {file.name}. {restore}") from None
    except ValueError:
        raise BadModel(f"{file.name} of {file.parent.name} is damaged: it is not JSON. {restore}") from None
    if not isinstance(value, dict):
        raise BadModel(f"{file.name} of {file.parent.name} is damaged: it holds no settings. {restore}")
    return value


def _check_safetensors(file: Path) -> None:
    """A safetensors file: 8 bytes of header length, a JSON header with every tensor's end, the numbers."""
    where, restore = f"{file.name} of {file.parent.name}", RESTORE.format(file.name)
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(8)
            _refuse_pointer(start, where)
            (length,) = struct.unpack("<Q", start)
            header: Any = json.loads(stream.read(length)) if length < size else None
        ends = [row["data_offsets"][1] for name, row in header.items() if name != "__metadata__"]
        whole = 8 + length + max(ends, default=0)
    except OSError:
        raise BadModel(f"{where} is missing or cannot be read. {restore}") from None
    except (struct.error, ValueError, TypeError, AttributeError, KeyError, IndexError):
        raise BadModel(f"{where} is damaged: its header cannot be read. {restore}") from None
    if size != whole:
        raise BadModel(f"{where} is damaged: {size:,} bytes instead of {whole:,}. {restore}")
