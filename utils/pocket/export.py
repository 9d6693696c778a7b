"""Turns a model folder into the files that ONNX Runtime GenAI loads: once, on first use, kept in the cache folder.

The work is done by ONNX Runtime GenAI's own builder in a process of its own. This module sees to it that the final
folder appears whole or not at all, whatever happens: two at once, Ctrl-C, a full disk.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from utils.catalog import cache_folder
from utils.errors import ExportFailed
from utils.pocket import weights

Precision = Literal["fp32", "int4"]
DONE = "export.json"  # written last: the names and sizes of the other files
BYTES_PER_WEIGHT_BYTE = 5  # room asked for: float32 twice (the builder's copy and ours), and some
log = logging.getLogger(__name__)


def onnx(folder: Path, precision: Precision) -> Path:
    """The ONNX folder for the model in `folder`, built if it is not in the cache yet (5-10 s for a pocket model).

    Raises BadModel when the weights are damaged and ExportFailed when the export cannot be made or written.
    """
    files = weights.check(folder)
    final = cache_folder() / "onnx" / f"{folder.name}-{precision}-{_key(folder, files, precision)}"
    if _whole(final):
        return final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with _alone(final):
            if not _whole(final):
                _build(folder, precision, final, needed=BYTES_PER_WEIGHT_BYTE * sum(f.stat().st_size for f in files))
    except OSError as error:
        raise ExportFailed(_reason(str(error), final)) from None
    return final


def _key(folder: Path, files: list[Path], precision: str) -> str:
    """Changes with the weights, the configuration, the tokenizer and the builder."""
    names = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    digest = hashlib.sha256(f"{version('onnxruntime-genai')} {precision}".encode())
    for file in [*files, *(folder / name for name in names)]:
        if file.exists():
            with file.open("rb") as stream:
                digest.update(f"\n{file.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()[:16]


def _whole(final: Path) -> bool:
    try:
        sizes = json.loads((final / DONE).read_bytes())
        return all((final / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


@contextmanager
def _alone(final: Path) -> Iterator[None]:
    """Only one process builds `final`; the others wait here and then find it done."""
    from filelock import FileLock  # here, so that a cached model is found without it

    with FileLock(final.with_name(final.name + ".lock")):
        yield


def _build(folder: Path, precision: Precision, final: Path, needed: int) -> None:
    if shutil.disk_usage(final.parent).free < needed:
        raise OSError(errno.ENOSPC, f"needs about {needed / 1e6:,.0f} MB")
    for left_over in (final, *final.parent.glob(f".{final.name}-*")):  # damaged, or of a process that was killed
        shutil.rmtree(left_over, ignore_errors=True)
    log.info("Preparing %s for ONNX Runtime (%s). This is done once and takes a few seconds.", folder.name, precision)
    building = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}-"))
    try:
        _run_builder(folder, precision, building, final)
        sizes = {f.name: f.stat().st_size for f in sorted(building.iterdir()) if f.is_file()}
        (building / DONE).write_text(json.dumps(sizes, indent=1))
        os.replace(building, final)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _run_builder(folder: Path, precision: Precision, target: Path, final: Path) -> None:
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
    arguments = ["-i", str(folder), "-o", str(target), "-p", precision, "-e", "cpu", "-c", str(target / "tmp")]
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    # A session of its own: Ctrl-C reaches us alone, and we end the builder before we clean up behind it.
    done = subprocess.run(
        builder + arguments,
        env=offline,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    shutil.rmtree(target / "tmp", ignore_errors=True)
    if done.returncode or not (target / "genai_config.json").exists():
        raise ExportFailed(_reason(done.stdout, final))


def _reason(output: str, final: Path) -> str:
    """The builder's or the system's own words, turned into what happened and what to do."""
    name, cache = final.name, final.parent
    if any(sign in output for sign in ("No space left", "Disk quota", "File too large", os.strerror(errno.ENOSPC))):
        return (
            f"The disk is full: {name} could not be written to {cache}. "
            "Free some space, or set SLM_CACHE to a folder on another disk."
        )
    if "No module named" in output:
        missing = output.rpartition("No module named")[2].strip().strip("'\"")
        return f"The export needs the package {missing}, which is not installed. Run `python -m utils setup`."
    last = (output.strip().splitlines() or ["it gave no reason"])[-1]
    return f"The model could not be exported to {cache}: {last[:300]}. Nothing was left behind; try again."
