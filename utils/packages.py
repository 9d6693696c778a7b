"""What the course needs from a package registry: which packages, how big, and pip's help to get them.

Standard library only, because it runs before anything is installed. pip does the work, with the learner's own settings
(mirrors, proxies); this module tells beforehand what it will cost, and afterwards what went wrong, in plain words.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
_CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # PyTorch's own, for its builds without CUDA

# MB that pip fetches, and MB on disk afterwards, by build of PyTorch, on 2026-11-21. "cpu" is what an install took;
# the others are the sizes of the packages' files, packed and unpacked (and a quarter more for compiled Python).
# pandas and matplotlib, added on 2026-11-27, are 30 and 180 of them.
_SIZES = {"cpu": (371, 1780), "cuda": (2910, 5780), "darwin": (267, 1330), "win32": (279, 1330)}
_TEST_SIZES = (163, 550)

_NO_NETWORK = re.compile(
    r"NewConnectionError|Failed to establish|[Nn]ame resolution|[Nn]etwork is unreachable|Max retries exceeded"
    r"|timed out|Could not fetch URL|Connection(Reset|Refused)?Error|Connection (refused|broken)|Timeout|ProxyError"
)
_NO_ROOM = re.compile(r"No space left|not enough space|Errno 28|Disk quota exceeded")


class SetupError(Exception):
    """Set-up cannot go on. The message says in one or two plain sentences what happened and what to do."""


class Unreachable(SetupError):
    """There is no way to the package registry."""


def requirements() -> list[str]:
    """What requirements.txt asks for, such as "transformers>=5.10", without the reasons and without ourselves."""
    lines = (REPO / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.partition("#")[0].strip() for line in lines if line[:1].isalpha()]


def extras() -> dict[str, list[str]]:
    """What may be added on this system, by name, in the same form.

    A line of pyproject.toml may end in a marker such as `; sys_platform == 'linux'`.
    """
    named = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    made = {}
    for name, lines in named.items():
        parts = [str(line).partition("; sys_platform == ") for line in lines]
        made[name] = [line for line, _, only in parts if not only or only.strip("'\"") == sys.platform]
    return made


def tools_for_tests() -> list[str]:
    """What only the tests need: their tools, and every optional runtime that is not made for one maker's hardware."""
    return [line for name, lines in extras().items() if name != "qnn" for line in lines]


def missing(wanted: Iterable[str]) -> list[str]:
    """The names of those packages that the running Python has in no version at all."""
    from importlib import metadata

    found = {_normal(dist.name) for dist in metadata.distributions()}
    names = [re.split(r"[^\w.-]", line)[0] for line in wanted]
    return [name for name in names if _normal(name) not in found]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def plan(python: Path, environment: Mapping[str, str], *, update: bool, tests: bool) -> list[str]:
    """Say what `python`'s pip will have to fetch; gives back the options that `install` hands to it.

    update: the packages are there already and are only brought up to date. Changes nothing. Raises SetupError.
    """
    print("Asking the package registry what it has for this machine ...", flush=True)
    build, options = _torch_build(python, environment)
    _announce(build, update, tests)
    return options


def install(python: Path, environment: Mapping[str, str], options: list[str], *, tests: bool) -> None:
    """Have `python`'s pip install requirements.txt (and the test tools).

    Raises Unreachable (then nothing was installed, as pip fetches everything first) or another SetupError.
    """
    _pip(python, environment, "install", *options, "-r", "requirements.txt", *(tools_for_tests() if tests else []))


def add(python: Path, environment: Mapping[str, str], names: list[str]) -> None:
    """Have `python`'s pip install these extras. Raises SetupError."""
    _pip(python, environment, "install", *(line for name in names for line in extras()[name]))


def _torch_build(python: Path, environment: Mapping[str, str]) -> tuple[str, list[str]]:
    """Which build of PyTorch pip would take (a key of _SIZES), and the options that make it prefer the small one."""
    pin = next(line.removeprefix("torch==") for line in requirements() if line.startswith("torch=="))
    small = sys.platform == "linux" and not _has_nvidia() and _answers(_CPU_INDEX)
    options = ["--extra-index-url", _CPU_INDEX] if small else []
    answer = _pip(python, environment, "index", "versions", "-vv", "torch", *options, show=False)
    versions = " ".join(re.findall(r"^Available versions: (.*)", answer, re.M)).split(", ")
    if f"{pin}+cpu" in versions:
        return "cpu", options
    if pin in versions:
        return "cuda" if sys.platform == "linux" else sys.platform, options
    raise SetupError(
        f"The package registry has no PyTorch {pin} for this machine ({platform.system()} "
        f"{platform.machine()}, Python {platform.python_version()}). Try Python 3.12 on Linux, Windows or an Apple Mac."
    )


def _has_nvidia() -> bool:
    return Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi") is not None


def _answers(url: str) -> bool:
    """Whether anything but an error comes back within three seconds."""
    import urllib.request

    try:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/torch/", method="HEAD"), timeout=3):
            return True
    except (OSError, ValueError):
        return False


def _announce(build: str, update: bool, tests: bool) -> None:
    """Say what is about to be fetched. Raises SetupError where the disk has no room for it."""
    fetch, disk = _SIZES.get(build, _SIZES["cuda"])
    if tests:
        fetch, disk = fetch + _TEST_SIZES[0], disk + _TEST_SIZES[1]
    if update:
        print("The list of packages has changed: fetching what is new. All together they", end=" ")
    else:
        print("The course needs JupyterLab, PyTorch, Transformers and ONNX Runtime GenAI. They", end=" ")
    print(f"are about {_size(fetch)} to download (less where pip has kept some) and {_size(disk)} on disk,")
    print(f"all in {REPO / '.venv'}. Ctrl-C stops this; the same command starts it again.", flush=True)
    if build == "cuda":
        print("Most of that is PyTorch's CUDA build, the only one that the package registry has for Linux.", flush=True)
    free = shutil.disk_usage(REPO).free // 1_000_000
    if not update and free < disk:
        raise SetupError(f"The disk has only {_size(free)} free. Make room, then run the same command again.")


def _size(megabytes: int) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{round(megabytes, -1)} MB"


def _pip(python: Path, environment: Mapping[str, str], *arguments: str, show: bool = True) -> str:
    """Run pip in the repository and give back what it printed. show: let a person at a terminal watch it instead."""
    watched = show and sys.stdout.isatty()
    quiet = [] if watched or not show else ["--quiet"]
    done = subprocess.run(
        [str(python), "-m", "pip", *arguments, *quiet],
        cwd=REPO,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=None if watched else subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        raise _explain(f"{done.stdout or ''}\n{done.stderr}")
    return done.stdout or ""


def _explain(log: str) -> SetupError:
    if _NO_ROOM.search(log):
        return SetupError("The disk is full. Make room, then run the same command again.")
    if _NO_NETWORK.search(log):
        return Unreachable(
            "The package registry could not be reached. Connect to the network (or set PIP_INDEX_URL to a mirror that "
            "you can reach), then run the same command again."
        )
    errors = [line.removeprefix("ERROR: ") for line in log.splitlines() if line.startswith("ERROR: ")]
    return SetupError(
        f"pip could not get the packages: {errors[-1] if errors else log.strip()[-300:] or 'no reason given'}"
    )
