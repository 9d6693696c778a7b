"""`connect`: from the name of a route and of a model to a backend that is loaded and ready.

It imports a route's library only when that route is asked for. One file per route lies beside this one; which files to
load is decided in `target.py`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, cast, get_args
from urllib.parse import urlsplit

from utils import catalog
from utils.backends.target import Target, resolve, suggest
from utils.catalog import Route
from utils.core import Backend, Mode
from utils.errors import BadInput, NotInstalled

if TYPE_CHECKING:
    from utils.backends.address import Address


def connect(
    route: str,
    model: str | os.PathLike[str] | None = None,
    *,
    mode: Mode | None = None,
    client: str | None = None,
    **settings: Any,
) -> Backend:
    """Loads a model, or finds the server that has it, and returns the backend that runs it.

    `model`: a name of the catalogue, optionally with a precision ("pocket-phi-3-mini:int4"), a model folder, or a
    name that only the server knows. `mode`: "offline" uses pocket models only, "live" the real thing or an error,
    "auto" the real thing if it can be reached, else its pocket stand-in; the default is SLM_MODE, else "auto". A
    pocket model on a server's route is asked through the same client library, over the course server.
    `client`: another client library than the route's first, such as "openai" on github-models. `settings`: what only
    this route has: `num_ctx` and `keep_alive` on ollama, `device` on transformers and openvino, `slots` on llama.cpp.
    Raises BackendError.
    """
    row = _row(route)
    if not isinstance(model, str | os.PathLike | None):
        raise BadInput(f"A model is a name or a folder, not {model!r:.80}.")
    wanted, chosen = None if model is None else os.fspath(model), mode_of(mode)
    target = _address(row, wanted, chosen) if row.hosted else resolve(row, wanted, chosen)
    try:
        module = importlib.import_module(_module(row, target, client))
    except ImportError as error:
        missing = _missing(row, error.name or "")
        if missing is None:
            raise
        fix = f"python -m utils setup {row.extra or ''}".strip()
        raise NotInstalled(
            f"The route {route} needs the package {missing}, which is missing or broken. Run `{fix}`."
        ) from None
    known = [name for name, kind in signature(module.load).parameters.items() if kind.default is not Parameter.empty]
    for name in set(settings) - set(known):
        raise BadInput(
            f"The route {route} has no setting {name!r}. {suggest(name, known) if known else 'It has none.'}"
        )
    return cast(Backend, module.load(target, **settings))


def locate(route: str, model: str | None = None, *, mode: Mode | None = None) -> Address:
    """Whom `connect` would ask on a route with a server, for code that asks by itself: `url` and `key`, and `id`, the
    server's name for the model. Raises BackendError."""
    row = _row(route)
    from utils.backends.probe import direct  # here, as in `_address`

    if not row.hosted:
        raise BadInput(f"On the route {route} the model runs in this process: there is no server to ask.")
    found = _address(row, model, mode_of(mode))
    direct(found.url)
    return found


def _row(route: str) -> Route:
    routes = catalog.load().routes
    if not isinstance(route, str) or route not in routes:
        raise BadInput(f"There is no route {route!r:.80}. {suggest(str(route), list(routes))}")
    return routes[route]


def _address(row: Route, wanted: str | None, mode: Mode) -> Address:
    from utils.backends.address import find  # here: a model in this process starts without the network's modules

    return find(row, wanted, mode)


def _module(row: Route, target: Target | Address, client: str | None) -> str:
    """Where the backend is: the route's own, or the one for another client library."""
    if client is None and not isinstance(target, Target) and urlsplit(target.url).path.endswith("/v1"):
        client = "openai" if "openai" in row.clients else None  # an address like that speaks OpenAI's format only
    if client is None:
        return row.module
    if client not in row.clients:
        others = f"It has: {', '.join(row.clients)}." if row.clients else "It has only one."
        raise BadInput(f"The route {row.name} has no client {client!r}. {others}")
    return row.clients[client]


def _missing(row: Route, module: str) -> str | None:
    """The package of the route that would bring `module`."""
    packages = row.packages | ({"openai": "openai"} if row.clients else {})
    return next((package for name, package in packages.items() if f"{module}.".startswith(f"{name}.")), None)


def routes() -> list[str]:
    """The routes whose packages are installed here, in the order of the catalogue: what `connect` can be asked for."""
    rows = catalog.load().routes.values()
    return [row.name for row in rows if all(_installed(package) for package in row.packages)]


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # ValueError: half imported, or blocked
        return False


def mode_of(mode: str | None) -> Mode:
    """The mode that counts: the one that is given, else SLM_MODE, else "auto". Raises BadInput."""
    chosen = mode or catalog.variable("SLM_MODE") or "auto"
    if chosen not in get_args(Mode):
        where = "mode" if mode else "SLM_MODE"
        raise BadInput(f"{where} is {chosen!r}, but it must be one of {', '.join(get_args(Mode))}.")
    return cast(Mode, chosen)
