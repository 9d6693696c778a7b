"""Where to send a question: from a route and a model's name to a server's address, a key and the id it knows.

What `target.py` is for runtimes in this process, this is for servers. It asks whether one answers, and nothing more.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, cast
from urllib.parse import urlsplit, urlunsplit

from utils import catalog
from utils.backends import probe
from utils.backends.probe import is_loopback, reachable
from utils.backends.target import suggest
from utils.catalog import Model, Route
from utils.core import Mode, Source
from utils.errors import BadInput, KeyProblem, NotRunning, Retired, UnknownModel

if TYPE_CHECKING:
    from utils.server import Server

INVISIBLE = str.maketrans("", "", "\u200b\ufeff")  # what comes along when a key is copied


@dataclass(frozen=True, kw_only=True)
class Address:
    """Whom to ask. `model` is the name shown to the learner, `id` the server's name for it."""

    route: Route
    model: str
    source: Source
    id: str
    url: str
    key: str | None = None

    def __repr__(self) -> str:  # the key must not show, in a traceback neither
        return f"<{self.source} {self.model} at {self.url}>"

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine: then no proxy is asked."""
        return is_loopback(urlsplit(self.url).hostname or "")

    @property
    def openai(self) -> str:
        """The address that a client with OpenAI's wire format takes."""
        return openai_base(self.url)


def find(route: Route, wanted: str | None, mode: Mode) -> Address:
    """Whom to ask; see `connect`. Raises as `choose`, and KeyProblem or NotRunning."""
    source, name = choose(route, wanted, mode)
    return _pocket(route, name) if source == "pocket" else _live(route, name)


def choose(route: Route, wanted: str | None, mode: Mode) -> tuple[Source, str]:
    """Decides by name and mode, and starts nothing: who is to answer, by which name. Raises BadInput, UnknownModel."""
    name = wanted or (route.pocket if mode == "offline" else route.live)
    row = _row(route, name)
    if row is not None and row.kind == "pocket":
        if mode == "live":
            raise BadInput(f"{name} is a pocket model, but mode 'live' means the real thing. Name a real model.")
        return "pocket", row.name
    if mode == "offline":
        better = row.stand_in if row else route.pocket
        raise BadInput(f"{name} is not a pocket model, and mode 'offline' uses only those. Try {better!r}.")
    stand_in = (cast(str, row.stand_in) if wanted else route.pocket) if row else None
    if mode == "auto" and stand_in and not _answers(route, name, row):
        return "pocket", stand_in
    return "live", name


def _row(route: Route, name: str) -> Model | None:
    """The catalogue's row, None for a model that only the server knows. Raises UnknownModel."""
    models = catalog.load().models
    row = models.get(name) or next((m for m in models.values() if m.ids.get(route.name) == name), None)
    theirs = route.endpoint is not None  # else deployments, which have whatever names they were given
    if row is not None and row.kind == "real" and route.name not in row.ids and theirs:
        names = [m.name for m in models.values() if m.kind == "pocket" or route.name in m.ids]
        raise UnknownModel(f"The route {route.name} has no {name}. {suggest(name, names)}")
    return row


def _pocket(route: Route, name: str) -> Address:
    return Address(route=route, model=name, source="pocket", id=name, url=_course_server().url)


@cache
def _course_server() -> Server:
    from utils import server  # here: it stands beside the backends, and only this fallback needs it

    return server.start()


def closed(route: Route) -> Literal["retired", "no endpoint", "no key"] | None:
    """Why this route cannot be asked, as far as one knows without asking; None when it can be. Raises KeyProblem."""
    own = own_endpoint(route)
    if route.status == "retired" and not own:
        return "retired"
    if route.endpoint is None and not own:
        return "no endpoint"
    return "no key" if lacks_key(route) else None


def _live(route: Route, name: str) -> Address:
    row, key, why = _row(route, name), key_of(route), closed(route)
    if why == "retired":
        raise Retired(f"{route.title} has been switched off. {route.instead}")
    url = endpoint(route)
    if why == "no key":
        raise KeyProblem(
            f"{route.title} needs a key: set {route.key_variable} (in the environment or in the file .env), "
            "or use mode 'offline' to be answered by a pocket model."
        )
    if not reachable(url):
        raise NotRunning(f"{route.title} does not answer at {url}. {route.start or 'Is the network there?'}")
    shown, known = (row.name, row.ids.get(route.name, row.name)) if row else (name, name)
    return Address(route=route, model=shown, source="live", id=known, url=url, key=key)


def key_of(route: Route) -> str | None:
    """The route's key, clean enough for a header; None where it is not set. Raises KeyProblem."""
    variable = key_variable(route) or ""
    return plain(catalog.variable(variable) or "", variable) or None


def plain(given: str, variable: str) -> str:
    """A key without what was copied along: line breaks, blanks, invisible characters. Raises KeyProblem."""
    key = "".join(given.translate(INVISIBLE).split())
    if not (key.isascii() and key.isprintable()):
        raise KeyProblem(
            f"{variable} is not plain ASCII: it holds typographic quotes or other characters that no key has. "
            "Copy the key again, without quotes."
        )
    return key


def key_variable(route: Route) -> str | None:
    """The variable that may hold the route's key. Ollama's own client knows one, which a server may ask for."""
    return route.key_variable or ("OLLAMA_API_KEY" if route.name == "ollama" else None)


def lacks_key(route: Route) -> bool:
    """Whether the service wants a key and there is none. A server of one's own in the place of a public one may want
    none; where there is only one's own, the resource of a cloud, only one on this machine."""
    if not route.key_variable or key_of(route):
        return False
    own = own_endpoint(route)
    return not own or (route.endpoint is None and not is_loopback(urlsplit(endpoint(route)).hostname or ""))


def own_endpoint(route: Route) -> str | None:
    """What the learner set in the route's variable; a server of one's own may need no key."""
    return catalog.variable(route.endpoint_variable) if route.endpoint_variable else None


def endpoint(route: Route) -> str:
    """The address to use: the variable's, else the catalogue's. Raises BadInput for what is no address."""
    variable = route.endpoint_variable or ""
    given = own_endpoint(route) or route.endpoint
    if not given:
        raise NotRunning(f"{route.title} has no address of its own: set {variable} to your resource's endpoint.")
    return normal(given, variable or route.title, 11434 if route.name == "ollama" else None)


def normal(given: str, name: str, port: int | None = None) -> str:
    """`given` as scheme://host[:port][/path]; `port` is taken where none is given. Raises BadInput.

    >>> normal(" 0.0.0.0 ", "OLLAMA_HOST", 11434)
    'http://127.0.0.1:11434'
    """
    text = given.strip()
    if "@" in text:
        raise BadInput(f"{name} holds a user name or a password (something before an @), which is not sent. Remove it.")
    wrong = BadInput(f"{name} is {text!r:.100}, which is no address. Write it like http://127.0.0.1:11434.")
    if re.fullmatch(r":\d+", text):  # a port alone, as Ollama itself takes it
        text = f"127.0.0.1{text}"
    if "://" not in text:
        bare = text.count(":") > 1 and "[" not in text  # an IPv6 address without its brackets
        text = f"http://[{text}]" if bare else f"http://{text}"
    try:
        parts = urlsplit(text)
        host, chosen = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() for c in text):
        raise wrong
    if host in ("0.0.0.0", "::"):  # where a server listens, not where it is found
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    if chosen is None and parts.scheme == "http" and "://" not in given:
        chosen = port
    shown = f"[{host}]" if ":" in host else host
    path = parts.path.rstrip("/").removesuffix("/chat/completions")  # some pages give the whole address to copy
    return urlunsplit((parts.scheme, f"{shown}:{chosen}" if chosen else shown, path, "", ""))


def openai_base(url: str) -> str:
    """Where the paths of OpenAI's wire format begin: behind /v1, unless the address has a path of its own."""
    return url if urlsplit(url).path else f"{url}/v1"


def _answers(route: Route, name: str, row: Model | None) -> bool:
    """Whether the real service could be asked now: nothing known against it, an open door, and the model behind it."""
    if closed(route):
        return False
    url = endpoint(route)
    if not reachable(url):
        return False
    return route.name != "ollama" or (row.ids["ollama"] if row else name) in (ollama_models(url) or ())


def ollama_models(url: str) -> set[str] | None:
    """What an Ollama server has pulled; None where something else answers. Raises KeyProblem."""
    answer = probe.get(f"{url}/api/tags", key_of(catalog.load().routes["ollama"]))
    return ollama_names(answer.body) if answer and answer.status == 200 else None


def ollama_names(listing: bytes) -> set[str] | None:
    """The models that Ollama's list names, with and without ":latest"; None for what is no such list."""
    try:
        names = {str(row["name"]) for row in json.loads(listing)["models"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return names | {name.removesuffix(":latest") for name in names}
