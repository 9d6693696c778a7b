"""What holds for every test and every lesson: no network, no keys, one thread a library, a cache folder of its own.

It lies here and not in `tests/` because the lessons are tests too. Notebook kernels and other child processes get the
same through the environment.
"""

import atexit
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).parent
OFFLINE = REPO / "tests" / "offline"
_last_file: list[Path] = []


def _isolate() -> None:
    """Change this process's environment before anything heavy is imported."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in a shell's background ignores Ctrl-C
    for name in re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (REPO / ".env.example").read_text(encoding="utf-8"), re.M):
        os.environ.pop(name, None)  # a learner's keys and servers
    own = Path(tempfile.mkdtemp(prefix="pocket-phi-tests-"))  # one for each worker: workers do not wait for each other
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    os.environ |= {
        "SLM_MODE": "offline",
        "SLM_CACHE": str(own / "cache"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",  # two workers with as many threads as cores each are many times slower than one
        "OMP_WAIT_POLICY": "PASSIVE",
        "IPYTHONDIR": str(own / "ipython"),  # not the learner's own start-up files
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PYTHONPATH": str(OFFLINE),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


_isolate()
sys.path.insert(0, str(OFFLINE))
import netcut  # noqa: E402, F401


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Each notebook starts as a learner who has solved nothing yet."""
    if item.path.suffix == ".ipynb" and _last_file != [item.path]:
        shutil.rmtree(Path(os.environ["SLM_CACHE"]) / "progress", ignore_errors=True)
        _last_file[:] = [item.path]


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Repeat above pytest's last line which of the checks before it failed: a green line must not hide them."""
    yield
    if failed := os.environ.get("POCKET_FAILED_CHECKS"):
        terminalreporter.write_line(f"FAILED before the tests: {failed} (see the top)", red=True)
