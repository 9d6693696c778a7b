"""Whether the services still offer what the catalogue says: their own lists against our ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from utils import catalog
from utils.backends import address, connect
from utils.backends.hosted import HostedBackend
from utils.catalog import Route
from utils.errors import BackendError


def check() -> Iterator[tuple[str, str, str]]:
    """Route, model and state, for each model of the catalogue on each route to a server."""
    for route in catalog.load().routes.values():
        if not route.hosted:
            continue
        names = {
            model.name: model.ids[route.name] for model in catalog.load().models.values() if route.name in model.ids
        }
        try:
            offered = set(_offered(route))
        except BackendError as error:
            yield route.name, "-", f"not asked: {error}"
            continue
        for name, known in names.items():
            there = {known, f"{known}:latest"} & offered
            yield route.name, name, f"{known}: {'offered' if there else 'NOT in its list'}"


def _offered(route: Route) -> list[str]:
    """The service's list. Raises BackendError."""
    if route.status == "retired" and not address.own_endpoint(route):
        raise BackendError(f"switched off. {route.instead}")
    backend = cast(HostedBackend, connect(route.name, mode="live"))
    try:
        return backend.models()
    except Exception as error:
        raise backend.explained(error) from None
    finally:
        backend.close()
