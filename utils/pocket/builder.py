"""Makes an export, with ONNX Runtime GenAI's own builder or our GGUF writer, and lets it appear whole or not at all.

It knows nothing of caches or keys: it is told what to build and where. Ctrl-C, a killed process and a full disk leave
nothing at the final path.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from utils.errors import BackendError, ExportFailed
from utils.pocket import export

ROOM = 5  # bytes asked for per byte of 16-bit weights: float32 twice (the builder's temporary copy and ours), and some
FULL = ("No space left", "Disk quota", "File too large", os.strerror(errno.ENOSPC))


def build(folder: Path, form: str, final: Path, weight_bytes: int) -> None:
    """Builds in a folder beside `final`, then renames. Raises ExportFailed or OSError."""
    needed = ROOM * weight_bytes
    if shutil.disk_usage(final.parent).free < needed:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: about {needed / 1e6:,.0f} MB are needed")
    for left_over in (final, *final.parent.glob(f".{final.name}-*")):  # damaged, or of a process that was killed
        shutil.rmtree(left_over, ignore_errors=True)
    building = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}-"))
    try:
        runtime, _, precision = form.partition("-")
        try:
            MAKERS[runtime](folder, precision, building, final)
        except (OSError, BackendError):
            raise
        except Exception as error:  # of a library, about a folder that it does not understand
            raise ExportFailed(reason(f"{type(error).__name__}: {error}", final)) from None
        sizes = {f.name: f.stat().st_size for f in sorted(building.iterdir()) if f.is_file()}
        (building / "export.json").write_text(json.dumps(sizes, indent=1))
        os.replace(building, final)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _config(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))


def _sees(folder: Path) -> bool:
    return "vision_config" in _config(folder)


def _onnx(folder: Path, precision: str, target: Path, final: Path) -> None:
    if not _sees(folder):
        return _decoder(folder, precision, target, final)
    from . import decoder, vision_onnx

    with tempfile.TemporaryDirectory(dir=final.parent) as text:
        decoder.extract(folder, Path(text) / folder.name)
        _decoder(Path(text) / folder.name, precision, target, final, "exclude_embeds=true")
    vision_onnx.write(folder, target)


def _decoder(folder: Path, precision: str, target: Path, final: Path, *extra: str) -> None:
    experts = _config(folder).get("model_type") == "phimoe"
    module = "utils.pocket.moe_onnx" if experts else "onnxruntime_genai.models.builder"
    command = [sys.executable, "-m", module, "-i", str(folder), "-o", str(target)]
    command += [
        "-p",
        precision,
        "-e",
        "cpu",
        "-c",
        str(target / "tmp"),
        *(["--extra_options", *extra] if extra else []),
    ]
    # A session of its own: Ctrl-C reaches us alone, and we end the builder before we clean up behind it.
    done = subprocess.run(
        command,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    shutil.rmtree(target / "tmp", ignore_errors=True)
    if done.returncode or not (target / "genai_config.json").exists():
        raise ExportFailed(reason(done.stdout, final))


def _gguf(folder: Path, kind: str, target: Path, final: Path) -> None:
    from . import decoder, gguf, vision_gguf

    file = target / f"{folder.name}-{kind}.gguf"
    if not _sees(folder):
        return gguf.write(folder, file, kind)
    with tempfile.TemporaryDirectory(dir=final.parent) as text:
        decoder.extract(folder, Path(text) / folder.name)
        gguf.write(Path(text) / folder.name, file, kind)
    vision_gguf.write(folder, target / f"mmproj-{folder.name}.gguf")


def _openvino(folder: Path, precision: str, target: Path, final: Path) -> None:
    try:
        from .openvino import write
    except ModuleNotFoundError as error:
        raise ExportFailed(export.lacking(str(error.name))) from None
    write(folder, target)


MAKERS = {"onnx": _onnx, "gguf": _gguf, "openvino": _openvino}


def reason(output: str, final: Path) -> str:
    """The builder's or the system's own words, turned into what happened and what to do."""
    cache = final.parent
    if any(sign in output for sign in FULL):
        return (
            f"The disk is full: {final.name} could not be written to {cache}. "
            "Free some space, or set SLM_CACHE to a folder on another disk."
        )
    if "No module named" in output:
        return export.lacking(output.rpartition("No module named")[2].strip().strip("'\""))
    last = (output.strip().splitlines() or ["it gave no reason"])[-1]
    return f"The model could not be exported to {cache}: {last[:300]}. Nothing was left behind; try again."
