"""What testing costs: all lessons under nbval beside the bare work of their cells, and two workers beside one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from utils.bench.rows import Row, once
from utils.catalog import HOME

CELLS = """
import json, os, sys, time
from IPython.core.interactiveshell import InteractiveShell
notebook = json.load(open(sys.argv[1], encoding="utf-8"))
os.chdir(os.path.dirname(sys.argv[1]))
shell, start = InteractiveShell.instance(), time.perf_counter()
for cell in notebook["cells"]:
    if cell["cell_type"] == "code" and "nbval-skip" not in cell["metadata"].get("tags", []):
        shell.run_cell("".join(cell["source"]), silent=True)
print(f"\\nseconds {time.perf_counter() - start}")
"""


def rows(pairs: int) -> list[Row]:
    """All lessons and solutions three times, whatever `pairs` says: each takes minutes, and minutes vary little."""
    repository = HOME.parent
    notebooks = sorted(repository.glob("lessons/**/[0-9]*.ipynb"))
    work = sum(_work_s(notebook) for notebook in notebooks)
    one, two = _nbval_s(notebooks, 0), _nbval_s(notebooks, 2)
    return [
        Row("nbval over all lessons ÷ the work of their cells", "s", once(one, work), "most", 1.3),
        Row("lessons in two workers ÷ in one", "1/s", once(1 / two, 1 / one), "least", 1.8),
    ]


def _work_s(notebook: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-c", CELLS, str(notebook)], capture_output=True, text=True, check=True, env=_environment()
    )
    return float(done.stdout.rpartition("seconds ")[2])


def _nbval_s(notebooks: list[Path], workers: int) -> float:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", str(workers)]
    command += ["--dist", "loadfile", *map(str, notebooks)]
    start = time.perf_counter()
    subprocess.run(command, cwd=HOME.parent, capture_output=True, check=True, env=_environment())
    return time.perf_counter() - start


def _environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "SLM_MODE": "offline"}
