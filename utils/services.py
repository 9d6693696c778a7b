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
    own, key = address.own_endpoint(route), route.key_variable
    if route.status == "retired" and not own:
        return _note(route, "retired", "switched off", route.instead or "")
    page = catalog.load().keys[key].source if key else ""
    if route.endpoint is None and not own:
        both = f"put the lines `{route.endpoint_variable}=...` and `{key}=...` into the file .env"
        return _note(route, "no key", "no endpoint", f"{both}; your resource's page at {page} has both.")
    if address.lacks_key(route):
        return _note(route, "no key", "no key", f"put the line `{key}=...` into the file .env; {page} makes keys.")
    return None


def _asked(route: Route) -> Finding:
    url, before = address.endpoint(route), time.monotonic()
    silent = _note(route, "not running", f"does not answer at {url}", route.start or "is the network there?")
    if not probe.reachable(url):
        return silent
    wait = LIMIT_S - (time.monotonic() - before)
    if route.name == "ollama":
        return _ollama(route, url, wait)
    azure = route.module.endswith("azure_sdk")
    asked = f"{url}/info" if azure else f"{address.openai_base(url)}/models"  # as the route's client would
    answer = probe.get(asked, address.key_of(route), wait)  # who has no such list still looks at the key
    if answer is None or answer.status >= 500:
        return silent
    if answer.status in (401, 403):
        return _note(route, "no key", f"{url} does not take the key", f"check {route.key_variable}.")
    if answer.status == 410:
        return _note(route, "retired", "switched off", route.instead or "")
    milliseconds = 1000 * (time.monotonic() - before)
    return Finding(route.title, "ok", f"answers at {url} in {milliseconds:.0f} ms", state="works")


def _ollama(route: Route, url: str, wait: float) -> Finding:
    before = time.monotonic()
    models = address.ollama_models(url, wait)
    if models is None:
        fix = f"is {route.endpoint_variable} right? A server that wants a key takes {address.key_variable(route)}."
        return _note(route, "not running", f"something else answers at {url}", fix)
    names = ", ".join(sorted(name for name in models if not name.endswith(":latest"))[:5])
    first = catalog.load().models[route.live].ids[route.name]
    there = f"with {names or f'no model yet: `ollama pull {first}` gets one'}"
    milliseconds = 1000 * (time.monotonic() - before)
    return Finding(route.title, "ok", f"at {url} in {milliseconds:.0f} ms, {there}", state="works")
