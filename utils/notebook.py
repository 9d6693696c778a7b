"""In a notebook: who skips a cell reads which ones to run, instead of a traceback.

`utils` does this when it is imported; `python -m utils lab` does it before the first cell, for those who skip that one.
"""

from __future__ import annotations

import difflib
import sys
from types import TracebackType
from typing import Any


def explain() -> None:
    """Put missing names into words, where this runs in IPython."""
    get = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)
    if shell := get():
        shell.set_custom_exc((NameError,), _told)


def _told(shell: Any, kind: type[NameError], problem: NameError, trace: TracebackType, tb_offset: Any = None) -> Any:
    """What IPython shows for a NameError. One within a library or of a local name stays as it is."""
    while trace.tb_next:
        trace = trace.tb_next
    in_a_cell = trace.tb_frame.f_globals is shell.user_ns
    if kind is not NameError or not in_a_cell or not problem.name:
        told = shell.InteractiveTB.structured_traceback(kind, problem, problem.__traceback__, tb_offset=tb_offset)
    else:
        alike = difflib.get_close_matches(problem.name, [name for name in shell.user_ns if name[0] != "_"], 1)
        meant = f" Did you mean {alike[0]!r}?" if alike else ""
        told = [
            f"NameError in line {trace.tb_lineno}: {problem.name!r} is not known yet.{meant} "
            "Run the cells above first: menu Run, Run All Above Selected Cell."
        ]
    shell._showtraceback(kind, problem, told)  # as the shell itself does for errors that it shows
    return told


explain()
