"""`connect`: from the name of a route and of a model to a backend that is loaded and ready.

It imports a route's library only when that route is asked for. One file per route lies beside this one; which files to
load is decided in `target.py`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import cast, get_args

from utils import catalog
from utils.backends.target import resolve, suggest
from utils.core import Backend, Mode
from utils.errors import BadInput, NotInstalled


def connect(route: str, model: str | os.PathLike[str] | None = None, *, mode: Mode | None = None) -> Backend:
    """Loads a model and returns the backend that runs it.

    `model`: a name of the catalogue, optionally with a precision ("pocket-phi-3-mini:int4"), or a model folder.
    `mode`: "offline" uses pocket models only, "live" the real thing or an error, "auto" the real thing if it is on
    this machine, else its pocket stand-in; the default is SLM_MODE, else "auto". Raises BackendError.
    """
    routes = catalog.load().routes
    if route not in routes:
        raise BadInput(f"There is no route {route!r}. {suggest(route, list(routes))}")
    row = routes[route]
    target = resolve(row, None if model is None else os.fspath(model), _mode(mode))
    try:
        module = importlib.import_module(row.module)
    except ImportError as error:
        missing = row.packages.get((error.name or "").partition(".")[0])
        if missing is None:
            raise
        fix = f'pip install -e ".[{row.extra}]"' if row.extra else "python -m utils setup"
        raise NotInstalled(
            f"The route {route} needs the package {missing}, which is missing or broken. Run `{fix}`."
        ) from None
    return cast(Backend, module.load(target))


def routes() -> list[str]:
    """The routes whose packages are installed here, in the order of the catalogue: what `connect` can be asked for."""
    rows = catalog.load().routes.values()
    return [row.name for row in rows if all(_installed(package) for package in row.packages)]


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # ValueError: half imported, or blocked
        return False


def _mode(mode: str | None) -> Mode:
    chosen = mode or catalog.variable("SLM_MODE") or "auto"
    if chosen not in get_args(Mode):
        where = "mode" if mode else "SLM_MODE"
        raise BadInput(f"{where} is {chosen!r}, but it must be one of {', '.join(get_args(Mode))}.")
    return cast(Mode, chosen)
