"""The catalogue: every route, model and key, read from data/catalog.toml and checked as it is read.

It knows names, sizes and addresses. It loads no model and opens no connection.
"""

from __future__ import annotations

import datetime
import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

HOME = Path(__file__).parent
FILE = HOME / "data" / "catalog.toml"
STATUS = ("live", "limited", "retired")
KINDS = ("pocket", "real")
TALK = 2048  # tokens
BITS = 4.5  # of a number that is stored in 4, its share of a scale for 32 of them included
_TYPES = {
    "str": str,
    "str | None": str,
    "int": int,
    "int | None": int,
    "bool": bool,
    "datetime.date": datetime.date,
    "tuple[str, ...]": list,
    "dict[str, str]": dict,
    "dict[str, float]": dict,
    "dict[str, int]": dict,
}


class CatalogError(ValueError):
    """catalog.toml is wrong; the message names the line, the row and the field."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """A way to a model: a library in this process, a server on this machine, or a hosted service."""

    name: str
    title: str
    module: str
    packages: dict[str, str]  # import name -> name of the package to install
    precisions: tuple[str, ...]
    pocket: str
    live: str
    status: str
    checked: datetime.date
    source: str
    extra: str | None = None  # of pyproject.toml, where the packages are not among requirements.txt
    endpoint: str | None = None
    endpoint_variable: str | None = None
    key_variable: str | None = None
    clients: dict[str, str] = field(default_factory=dict)  # other client libraries that may be asked for -> module
    image_characters: int | None = None  # a picture's data URL at most
    start: str | None = None  # how to start the server
    instead: str | None = None  # what to use when the service or the model has been switched off

    @property
    def hosted(self) -> bool:
        """Whether a server answers, on this machine or elsewhere, and not a library in this process."""
        return self.endpoint_variable is not None


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model: `parameters` and `context` (tokens) are what its makers published or its configuration gives."""

    name: str
    title: str
    kind: str
    parameters: int
    context: int
    license: str
    source: str
    rounded: bool = False
    kv_bytes: int | None = None  # of the KV cache for each token, in 16 bit
    gigabytes: dict[str, float] = field(default_factory=dict)  # route -> download, where its makers say how large it is
    stand_in: str | None = None
    ids: dict[str, str] = field(default_factory=dict)  # route -> what that route calls it
    shape: dict[str, int] = field(default_factory=dict)  # of its published configuration, by Transformers' names

    @property
    def estimated(self) -> bool:
        """Whether nobody says how large a download in 4 bits is."""
        return not self.gigabytes

    def needs_gb(self, context: int = TALK) -> float | None:
        """Memory for the weights in 4 bits and a context of so many tokens, in GB; None where the latter is not known.

        The weights are the smallest download or, where it is not known, an estimate: 4 bits a number and their scales.
        """
        if self.kv_bytes is None:
            return None
        weights = self.parameters * BITS / 8 / 1e9 if self.estimated else min(self.gigabytes.values())
        return weights + self.kv_bytes * context / 1e9


@dataclass(frozen=True, kw_only=True)
class Key:
    """An environment variable that holds a key, and what it opens."""

    name: str
    opens: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Provider:
    """Other hardware for the route onnx: an execution provider that comes as a package with a library to register."""

    name: str
    title: str
    module: str  # has get_library_path()
    registers: str  # the provider's name in ONNX Runtime
    options: dict[str, str]
    extra: str  # of pyproject.toml
    machines: str
    build: str
    source: str


@dataclass(frozen=True)
class Catalog:
    """All rows, by name, in the order of the file."""

    routes: dict[str, Route]
    models: dict[str, Model]
    keys: dict[str, Key]
    providers: dict[str, Provider]


Row = TypeVar("Row", Route, Model, Key, Provider)


@cache
def load(file: Path = FILE) -> Catalog:
    """Reads and checks the catalogue. Raises CatalogError."""
    try:
        text = file.read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogError(f"{file.name} cannot be read: {error}.") from None
    lines = text.splitlines()
    for name in set(tables) - {"route", "model", "key", "provider"}:
        line = next((n for n, line in enumerate(lines, 1) if re.match(rf"\W*{re.escape(name)}\b", line)), 1)
        raise CatalogError(f"{file.name}, line {line}: unknown table {name!r}.")
    routes, models = _rows(tables, "route", Route, lines), _rows(tables, "model", Model, lines)
    keys, providers = _rows(tables, "key", Key, lines), _rows(tables, "provider", Provider, lines)
    catalog = Catalog(routes, models, keys, providers)
    _check_links(catalog, lines)
    return catalog


def _where(lines: list[str], kind: str, number: int, name: object, field: str = "") -> str:
    """ "catalog.toml, line 12, route 'onnx'": the line of the field in the row with that number, else of the row."""
    begins = [i for i, line in enumerate(lines) if line.strip() == f"[[{kind}]]"]
    first = begins[number - 1] if number <= len(begins) else 0  # a row may be written in another way
    last = begins[number] if number < len(begins) else len(lines)
    written = re.compile(rf"{re.escape(field)}\s*[=.]")
    line = next((i for i in range(first, last) if field and written.match(lines[i])), first)
    return f"catalog.toml, line {line + 1}, {kind} {name!r}"


def _rows(tables: dict[str, Any], kind: str, cls: type[Row], lines: list[str]) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for number, table in enumerate(tables.get(kind, []), 1):
        where = partial(_where, lines, kind, number, table.get("name", f"number {number}"))
        row = cls(**_checked(table, cls, where))
        if row.name in rows:
            raise CatalogError(f"{where('name')}: the name is used twice.")
        rows[row.name] = row
    return rows


def _checked(table: dict[str, Any], cls: type[Row], where: Callable[[str], str]) -> dict[str, Any]:
    known = {f.name: f for f in fields(cls)}
    for name in table:
        if name not in known:
            raise CatalogError(f"{where(name)}: unknown field {name!r}; known are {', '.join(known)}.")
    for name, f in known.items():
        if name in table:
            wanted = _TYPES[str(f.type)]
            if type(table[name]) is not wanted:
                raise CatalogError(f"{where(name)}: {name} must be of type {wanted.__name__}, not {table[name]!r}.")
        elif f.default is MISSING and f.default_factory is MISSING:
            raise CatalogError(f"{where('')}: {name} is missing.")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}


def _check_links(catalog: Catalog, lines: list[str]) -> None:
    """What one row says of another must be true."""

    def need(good: bool, row: Route | Model, field: str, problem: str) -> None:
        if not good:
            kind, rows = type(row).__name__.lower(), catalog.routes if isinstance(row, Route) else catalog.models
            where = _where(lines, kind, list(rows).index(row.name) + 1, row.name, field)
            raise CatalogError(f"{where}: {problem}.")

    pockets = {name for name, model in catalog.models.items() if model.kind == "pocket"}
    for r in catalog.routes.values():
        need(r.status in STATUS, r, "status", f"status {r.status!r} is none of {', '.join(STATUS)}")
        need(r.pocket in pockets, r, "pocket", f"pocket {r.pocket!r} is not a pocket model of this file")
        need(r.name in getattr(catalog.models.get(r.live), "ids", {}), r, "live", f"no id for {r.live!r}")
        one_sort = "precisions belong to every route without a server, and to no other"
        need(bool(r.precisions) != r.hosted, r, "precisions", one_sort)
        need(r.key_variable in {None, *catalog.keys}, r, "key_variable", f"key {r.key_variable!r} has no row")
    for m in catalog.models.values():
        need(m.kind in KINDS, m, "kind", f"kind {m.kind!r} is none of {', '.join(KINDS)}")
        need(m.parameters > 0, m, "parameters", "parameters must be above 0")
        need(m.context > 0, m, "context", "context must be above 0")
        need(m.kind == "pocket" or m.stand_in in pockets, m, "stand_in", "a real model needs a pocket stand_in")
        need({*m.ids, *m.gigabytes} <= set(catalog.routes), m, "ids", "ids or gigabytes: no such route")
        local = [name for route, name in m.ids.items() if not catalog.routes[route].hosted]
        need(all("/" in name for name in local), m, "ids", "an id for Hugging Face is owner/name")


def variable(name: str) -> str | None:
    """An environment variable, else the same name in the repository's git-ignored .env; None when unset or empty."""
    if os.environ.get(name, "").strip():
        return os.environ[name].strip()
    return _dotenv(HOME.parent / ".env").get(name) or None


def _dotenv(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = (line.removeprefix("export ").partition("=") for line in map(str.strip, lines) if line[:1] not in ("", "#"))
    return {name.strip(): value.strip().strip("\"'") for name, equals, value in pairs if equals}


def cache_folder() -> Path:
    """Where exported models are kept: SLM_CACHE, else a folder of the user's cache directory."""
    chosen = variable("SLM_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_CACHE_HOME")
    return Path(base or Path.home() / ".cache") / "pocket-phi"
