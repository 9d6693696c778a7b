"""Gives the course a Python to run in: one `.venv` in the repository, and nothing written outside the repository.

Standard library only, because it runs before anything is installed. It knows whether an environment is there, whole
and ours; what goes into it is `packages.py`'s business, and what it is used for it does not know.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from typing import TypedDict

from utils import packages
from utils.packages import REPO, SetupError, Unreachable

VENV = REPO / ".venv"
SCRATCH = REPO / ".cache"  # ignored by git; may be deleted at any time
_MARKER = VENV / "pocket-phi.json"  # says that this .venv is ours, and whether it is whole


class Marker(TypedDict):
    """What we remember about our `.venv`. `stamp` is "" until it is whole."""

    stamp: str
    tests: bool


UNFINISHED = Marker(stamp="", tests=False)


def ensure(*, tests: bool = False) -> Path:
    """The Python to run the course with (and its test tools), set up first where needed and at once where not.

    Raises SetupError where it cannot be had. Stopped half-way, however roughly, it leaves what the next call repairs.
    """
    if _ready(tests):
        return venv_python()
    if not (inside_venv() and _read_marker()) and _installed_here():
        return _own_python(tests)
    with _one_at_a_time():
        if not _ready(tests):  # another terminal may have finished it while this one waited
            _set_up(tests)
    return venv_python()


def add(names: list[str]) -> None:
    """Install these extras of pyproject.toml beside what the course runs with. Raises SetupError."""
    known = packages.extras()
    if wrong := [name for name in names if name not in known]:
        raise SetupError(f"There is nothing called {wrong[0]!r} to add. There are: {', '.join(known)}.")
    python = ensure()
    with _one_at_a_time():
        packages.add(python, environment(), names)
    print(f"Added: {', '.join(names)}.", flush=True)


def venv_python() -> Path:
    """Where the Python of our `.venv` is, or will be."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def inside_venv() -> bool:
    """Whether this very process runs in our `.venv`."""
    return Path(sys.prefix).resolve() == VENV.resolve()


def environment() -> dict[str, str]:
    """This process's environment, without what would lead Python or pip away from the environment we use."""
    strays = {"PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "__PYVENV_LAUNCHER__"}
    kept = {name: value for name, value in os.environ.items() if name not in strays}
    kept |= {"PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return kept if os.name == "nt" else kept | {"HOME": str(_home())}


def _home() -> Path:
    """A home folder that can be written to. Some containers have none, and Jupyter would put its files anywhere."""
    import pwd

    try:
        home = Path(os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # a user id without a name
        home = Path()
    if home.is_absolute() and os.access(home, os.W_OK):
        return home
    (SCRATCH / "home").mkdir(parents=True, exist_ok=True)
    return SCRATCH / "home"


def _installed_here() -> bool:
    """Whether the running Python has the course installed from this folder, as conda or `pip install -r` do it."""
    from importlib import metadata  # these two cost more time than all the rest of this module
    from urllib.request import url2pathname

    try:
        origin = json.loads(metadata.distribution("pocket-phi").read_text("direct_url.json") or "{}")
        return Path(url2pathname(origin["url"].removeprefix("file://"))).resolve() == REPO
    except (metadata.PackageNotFoundError, ValueError, KeyError):
        return False


def _own_python(tests: bool) -> Path:
    if missing := packages.missing(packages.requirements()):
        command = "-m pip install -r requirements.txt"
    elif tests and (missing := packages.missing(packages.tools_for_tests())):
        command = "-m utils setup " + " ".join(name for name in packages.extras() if name != "qnn")
    else:
        return Path(sys.executable)
    raise SetupError(f"This Python has the course, but not {', '.join(missing)}. Run: {sys.executable} {command}")


def _ready(tests: bool) -> bool:
    marker = _read_marker()
    return bool(marker and marker["stamp"] == _stamp() and marker["tests"] >= tests and venv_python().exists())


def _stamp() -> str:
    """Changes when pip has to look at the packages again: others are wanted, or the folder was moved."""
    wanted = [str(REPO), *packages.requirements(), "and for tests", *packages.tools_for_tests()]
    return "\n".join(wanted)


def _read_marker() -> Marker | None:
    try:
        found = json.loads(_MARKER.read_text(encoding="utf-8"))
        return Marker(stamp=str(found["stamp"]), tests=bool(found["tests"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return UNFINISHED  # ours, but cut off while it was being written


def _write_marker(marker: Marker) -> None:
    VENV.mkdir(exist_ok=True)
    _MARKER.write_text(json.dumps(marker), encoding="utf-8")


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Holds off a second set-up of this folder. The lock dies with its process, so it is never left behind."""
    SCRATCH.mkdir(exist_ok=True)
    with (SCRATCH / "setup.lock").open("w") as file:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _set_up(tests: bool) -> None:
    before = _read_marker()
    if before is None and VENV.exists() and not (VENV.is_dir() and not any(VENV.iterdir())):
        raise SetupError(
            f"{VENV} was not made by this course, so it stays as it is. Move it away and run the same command again; "
            "or activate it, run `python -m pip install -r requirements.txt`, and run the same command in it."
        )
    whole = before is not None and before["stamp"] != "" and venv_python().exists()
    wanted = Marker(stamp=_stamp(), tests=tests or bool(whole and before and before["tests"]))
    if not whole:
        if before is not None:
            print("The last set-up was not finished. Starting it again; pip still has what it fetched.", flush=True)
        _write_marker(UNFINISHED)
        _make_venv()
    options = packages.plan(venv_python(), environment(), update=whole, tests=wanted["tests"])
    _write_marker(UNFINISHED)
    try:
        packages.install(venv_python(), environment(), options, tests=wanted["tests"])
    except Unreachable:
        if before is not None and whole:
            _write_marker(before)
        raise
    _write_marker(wanted)
    print("Everything is set up.", flush=True)


def _make_venv() -> None:
    """Make `.venv` anew, with the marker staying in it all the time, so that it is never mistaken for a foreign one."""
    if util.find_spec("ensurepip") is None:
        raise SetupError("This Python cannot make virtual environments. On Debian or Ubuntu: apt install python3-venv")
    for path in VENV.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != _MARKER:
            path.unlink()
    base = getattr(sys, "_base_executable", None) or sys.executable  # when run from inside another environment
    made = subprocess.run(
        [base, "-m", "venv", str(VENV)], env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if made.returncode:
        raise SetupError(f"Python could not make {VENV}: {(made.stdout + made.stderr).strip().splitlines()[-1]}")
