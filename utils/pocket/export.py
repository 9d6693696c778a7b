"""Other forms of a model folder, for other runtimes: made once, on first use, and kept in the cache folder.

This module knows where an export lies and whether it is whole; `builder.py` makes it. A cached model is found without
importing anything that takes time.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args

from utils.catalog import cache_folder
from utils.errors import BadInput, ExportFailed
from utils.pocket import weights

Form = Literal["onnx-fp32", "onnx-int4", "gguf-f32", "gguf-q8_0", "gguf-q4_0", "openvino-fp32"]
FORMS: tuple[Form, ...] = get_args(Form)
MAKER = {
    "onnx": "onnxruntime_genai",
    "gguf": "gguf",
    "openvino": "openvino",
}  # whose next version may make something else
DONE = "export.json"  # written last: the names and sizes of the other files
MEMORY = "names.json"  # which model folder, with which file sizes and times, has which export

say: Callable[[str], object] = lambda text: None  # noqa: E731 - the command line puts its own printing here


def made(folder: Path, form: Form) -> Path:
    """The folder with the model of `folder` in another form, made if it is not in the cache yet.

    For a pocket model ONNX and OpenVINO take 5-10 s and GGUF well under one.

    Raises BadModel when the weights are damaged and ExportFailed when the export cannot be made or written.
    """
    try:
        final = _final(folder, form, remember=True)
    except ImportError as error:  # PackageNotFoundError
        raise ExportFailed(lacking(str(error.name))) from None
    if _whole(final):
        return final
    from filelock import FileLock

    from utils.pocket import builder

    size = sum(file.stat().st_size for file in weights.check(folder))
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(final.with_name(final.name + ".lock")):  # two at once: one builds, the other waits for it
            if not _whole(final):
                say(f"Preparing {folder.name} as {form}: done once, takes some seconds ...")
                builder.build(folder, form, final, size)
    except OSError as error:
        raise ExportFailed(builder.reason(str(error), final)) from None
    return final


def copy(folder: Path, form: Form, target: Path) -> None:
    """Put the model of `folder` in another form into `target`, a new or empty folder: whole, or not at all.

    Raises BadInput for a target with something in it, and what `made` raises.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadInput(f"{target} is not empty, and nothing is overwritten. Name a new or an empty folder.")
    source = made(folder, form)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copytree(source, draft, ignore=shutil.ignore_patterns(DONE))
        os.replace(draft, target)
    except OSError as error:
        raise ExportFailed(f"The export could not be written to {target}: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def lacking(package: str) -> str:
    """What to say when the package that makes an export is not there."""
    fix = "python -m utils setup" + " openvino" * package.startswith("openvino")
    return f"The export needs the package {package}, which is not installed. Run `{fix}`."


def cached(folder: Path, form: Form) -> bool:
    """Whether that export lies in the cache already. Raises ImportError when the package that makes it is not there."""
    return _whole(_final(folder, form, remember=False))


def _final(folder: Path, form: Form, *, remember: bool) -> Path:
    """Where the export belongs: the name holds a hash of weights, configuration, tokenizer and builder version.

    Hashing takes a second per gigabyte, so the name is remembered for as long as the files' sizes and times stay.
    """
    version = _version(MAKER[form.partition("-")[0]])
    home = cache_folder() / "exports"
    there = [folder / name for name in weights.SETTINGS if (folder / name).is_file()]
    files = sorted(folder.glob("*.safetensors")) + there
    stamps = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    this = f"{folder.resolve()} {form} {version}"
    memory = _read(home / MEMORY)
    if this not in memory or memory[this][0] != stamps:
        memory[this] = [stamps, f"{folder.name}-{form}-{_hash(files, f'{form} {version}')}"]
        if remember:
            _write(home / MEMORY, memory)
    return home / str(memory[this][1])


def _version(package: str) -> str:
    """Of an installed package. A loaded one has it at hand, unless it tells more than a release's three numbers.

    Raises ImportError.
    """
    known = str(getattr(sys.modules.get(package), "__version__", ""))
    if known.count(".") == 2 and known.replace(".", "").isdigit():
        return known
    from importlib import metadata  # here: it takes 20 ms

    return metadata.version(package)


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
