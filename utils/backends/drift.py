"""Whether services and Hugging Face still offer what the catalogue says: their own lists against our ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

from utils import catalog
from utils.backends import address, connect
from utils.backends.hosted import HostedBackend
from utils.catalog import Route
from utils.errors import BackendError, UnknownModel

HUB_S = 5.0  # seconds to wait for Hugging Face


def check() -> Iterator[tuple[str, str, str]]:
    """Route, model and state, for each model of the catalogue on each route."""
    for route in catalog.load().routes.values():
        names = {m.name: m.ids[route.name] for m in catalog.load().models.values() if route.name in m.ids}
        try:
            offers = _by_service(route) if route.hosted else _by_hub()
            for name, known in names.items():
                yield route.name, name, f"{known}: {'offered' if offers(known) else 'NOT in its list'}"
        except BackendError as error:
            yield route.name, "-", f"not asked: {error}"


def _by_service(route: Route) -> Callable[[str], bool]:
    """Whether the service lists an id. Raises BackendError."""
    if address.closed(route) == "retired":
        raise BackendError(f"switched off. {route.instead}")
    backend = cast(HostedBackend, connect(route.name, mode="live"))
    if not backend.lists:
        backend.close()
        raise BackendError("its interface names one model only and gives no list.")
    try:
        offered = set(backend.models())
    except Exception as error:
        raise backend.explained(error) from None
    finally:
        backend.close()
    return lambda known: bool({known, f"{known}:latest"} & offered)


def _by_hub() -> Callable[[str], bool]:
    """Whether Hugging Face has a repository, and in it the folder or file, of an id."""
    from utils.backends.fetch import explained, parts, prepare

    prepare()
    from huggingface_hub import HfApi, constants

    def offers(known: str) -> bool:
        repo, inside = parts(known)
        try:
            info = HfApi().model_info(repo, timeout=HUB_S)
            files = [file.rfilename for file in info.siblings or ()]
        except Exception as error:
            ours = explained(error, repo, constants.ENDPOINT)
            if isinstance(ours, UnknownModel):
                return False
            raise ours from None
        return any(file == inside or file.startswith(f"{inside}/" if inside else "") for file in files)

    return offers
