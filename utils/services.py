"""What the doctor finds out about the routes to a server: is there one, does it answer, and what would open it?

It asks each for a list, with the key where there is one, and shows no key.
"""

from __future__ import annotations

import importlib.metadata
import time
from concurrent.futures import ThreadPoolExecutor

from utils import catalog
from utils.backends import address, probe
from utils.catalog import Route
from utils.errors import BackendError
from utils.findings import Finding, State

LIMIT_S = 2.4  # for one server, from the first knock on


def servers(setup: str) -> list[Finding]:
    """All at once: one that does not answer takes as long as all of them. `setup` says how to install a client."""
    rows = [route for route in catalog.load().routes.values() if route.hosted]
    with ThreadPoolExecutor(len(rows)) as pool:
        return list(pool.map(lambda route: _server(route, setup), rows))


def _note(route: Route, state: State, detail: str, fix: str) -> Finding:
    return Finding(route.title, "warn", f"{detail}: a pocket model answers", f"Optional: {fix}", state)


def _server(route: Route, setup: str) -> Finding:
    try:
        for package in route.packages.values():
            importlib.metadata.version(package)
        return _closed(route) or _asked(route)
    except importlib.metadata.PackageNotFoundError:
        return Finding(route.title, "warn", "its client is not installed", setup, "missing package")
    except BackendError as error:
        return Finding(route.title, "warn", "cannot be asked", str(error), "wrong setting")


def _closed(route: Route) -> Finding | None:
    """Why there is nobody to ask; None when there may be."""
    why, key = address.closed(route), route.key_variable
    if why == "retired":
        return _note(route, "retired", "switched off", route.instead or "")
    page = catalog.load().keys[key].source if key else ""
    if why == "no endpoint":
        both = f"put the lines `{route.endpoint_variable}=...` and `{key}=...` into the file .env"
        return _note(route, "no key", why, f"{both}; your resource's page at {page} has both.")
    if why == "no key":
        return _note(route, why, why, f"put the line `{key}=...` into the file .env; {page} makes keys.")
    return None


def _asked(route: Route) -> Finding:
    url, before = address.endpoint(route), time.monotonic()
    silent = _note(route, "not running", f"does not answer at {url}", route.start or "is the network there?")
    if not probe.reachable(url):
        return silent
    wait = LIMIT_S - (time.monotonic() - before)
    answer = probe.get(_list(route, url), address.key_of(route), wait)  # who has no such list still looks at the key
    if answer is None or answer.status >= 500:
        return silent
    if answer.status in (401, 403):
        return _note(route, "no key", f"{url} does not take the key", f"check {address.key_variable(route)}.")
    if answer.status == 410:
        return _note(route, "retired", "switched off", route.instead or "")
    took = f"in {1000 * (time.monotonic() - before):.0f} ms"
    if route.name == "ollama":
        return _ollama(route, url, answer, took)
    return Finding(route.title, "ok", f"answers at {url} {took}", state="works")


def _list(route: Route, url: str) -> str:
    """Where the route's client would ask the server what it has."""
    if route.name == "ollama":
        return f"{url}/api/tags"
    return f"{url}/info" if route.module.endswith("azure_sdk") else f"{address.openai_base(url)}/models"


def _ollama(route: Route, url: str, answer: probe.Answer, took: str) -> Finding:
    models = address.ollama_names(answer.body) if answer.status == 200 else None
    if models is None:
        return _note(route, "not running", f"something else answers at {url}", f"is {route.endpoint_variable} right?")
    names = ", ".join(sorted(name for name in models if not name.endswith(":latest"))[:5])
    first = catalog.load().models[route.live].ids[route.name]
    there = f"with {names or f'no model yet: `ollama pull {first}` gets one'}"
    return Finding(route.title, "ok", f"at {url} {took}, {there}", state="works")
