"""What a learner has done so far: one small JSON file for each exercise or quiz, in the cache folder.

Each file is written whole and then moved into place, so two open notebooks never damage each other's progress.
This module knows keys and records; it does not know what an exercise is.
"""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from utils.catalog import cache_folder

_KEY = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")


def folder() -> Path:
    """Where progress is kept. It need not exist."""
    return cache_folder() / "progress"


def load(key: str) -> dict[str, Any]:
    """The record saved under `key`, or {} where there is none (or none that can be read)."""
    try:
        record = json.loads(_file(key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def save(key: str, record: dict[str, Any]) -> bool:
    """Replace the record of `key`. False where the disk does not allow it: a lesson goes on without progress."""
    target = _file(key)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, suffix=".part")
    except OSError:
        return False
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(record, file)
        part.replace(target)
    except OSError:
        part.unlink(missing_ok=True)
        return False
    return True


def keys(prefix: str = "") -> list[str]:
    """Every key with a saved record that is `prefix`, or begins with `prefix` and a dot; all of them for ""."""
    names = sorted(path.stem for path in folder().glob("*.json"))
    return [name for name in names if not prefix or name == prefix or name.startswith(prefix + ".")]


def reset(prefix: str = "") -> int:
    """Forget the records that `keys(prefix)` lists, and say how many there were."""
    forgotten = keys(prefix)
    for key in forgotten:
        _file(key).unlink(missing_ok=True)
    return len(forgotten)


def _file(key: str) -> Path:
    """The file of one key. Raises ValueError for a key that would not be a plain file name."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is not a key for progress: use small letters, digits, _ and dots.")
    return folder() / f"{key}.json"
