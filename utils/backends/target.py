"""Which files to load: from what the learner named, what the catalogue says and what lies on this disk.

It reads no weights and opens no connection; real models are looked for in Hugging Face's cache, never downloaded.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from utils import catalog, pocket
from utils.catalog import Model, Route
from utils.core import Mode, Source
from utils.errors import BadInput, NotInstalled, UnknownModel, Unsupported
from utils.pocket import weights

POCKET_BYTES = 200_000_000  # a folder with less weight than this is shown as a pocket model, whoever trained it
CONFIGS = ("genai_config.json", "config.json", "*.gguf")  # a folder without any holds no model, or only part of one
WEIGHTS = ("*.safetensors", "*.onnx", "*.onnx.data", "*.gguf", "openvino_model.bin")


@dataclass(frozen=True, kw_only=True)
class Target:
    """What to load. `model` is the name shown to the learner."""

    model: str
    source: Source
    folder: Path
    precision: str


def resolve(route: Route, wanted: str | None, mode: Mode) -> Target:
    """Decides by name and mode; see `connect`. Raises BadInput, UnknownModel, Unsupported or NotInstalled."""
    name, precision = _split(route, wanted)
    named, name = name is not None, name or (route.pocket if mode == "offline" else route.live)
    models = catalog.load().models
    row = models.get(name) or next((m for m in models.values() if m.ids.get(route.name) == name), None)
    if row is None:
        try:
            return _from_hub(name, mode, precision) or _own_folder(route, name, precision)
        except (OSError, RuntimeError) as error:  # a name that is too long, the home folder of nobody, no permission
            raise UnknownModel(f"There is no model {name!r:.80} that can be read ({error!s:.80}).") from None
    if row.kind == "pocket":
        if mode == "live":
            raise BadInput(f"{name} is a pocket model, but mode 'live' means the real thing. Name a real model.")
        return _target(route, row.name, "pocket", pocket.folder(row.name), precision)
    if route.name not in row.ids:
        raise UnknownModel(f"The route {route.name} has no {name}. {suggest(name, _names(route))}")
    if mode == "offline":
        raise BadInput(f"{name} is not a pocket model, and mode 'offline' uses only those. Try {row.stand_in!r}.")
    found = downloaded(row.ids[route.name])
    if found:
        return Target(model=row.name, source="live", folder=found, precision=precision)
    if mode == "live":
        raise NotInstalled(_how_to_download(row, route.name))
    stand_in = cast(str, row.stand_in) if named else route.pocket  # who names none gets the same as offline
    return _target(route, stand_in, "pocket", pocket.folder(stand_in), precision)


def suggest(name: str, known: list[str]) -> str:
    """The known name that `name` may have meant, else all of them."""
    import difflib  # here: only a wrong name needs it

    close = difflib.get_close_matches(name, known, 1)
    return f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(known)}."


def _split(route: Route, wanted: str | None) -> tuple[str | None, str]:
    """Takes the precision off the name: pocket-phi-3-mini:int4 is pocket-phi-3-mini in int4."""
    name, colon, tail = (wanted or "").rpartition(":")
    everywhere = {p for r in catalog.load().routes.values() for p in r.precisions}
    if not colon or tail not in everywhere:
        return wanted, route.precisions[0]
    if tail not in route.precisions:
        raise Unsupported(f"The route {route.name} has no {tail}. It has: {', '.join(route.precisions)}.")
    return name, tail


def _target(route: Route, name: str, source: Source, folder: Path, precision: str) -> Target:
    shown = name if precision == route.precisions[0] else f"{name}:{precision}"
    return Target(model=shown, source=source, folder=folder, precision=precision)


def _from_hub(name: str, mode: Mode, precision: str) -> Target | None:
    """owner/repository or owner/repository@commit of Hugging Face, which must have been downloaded; None for others.

    A name without a commit is whatever was downloaded last; with one it stays the same for ever. Raises BadInput or
    NotInstalled.
    """
    repository, at, commit = name.partition("@")
    if Path(name).expanduser().exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", repository) or name.startswith("."):
        return None
    if at and not re.fullmatch("[0-9a-f]{40}", commit):
        raise BadInput(f"The commit after @ must have 40 digits of 0-9 and a-f, not {commit!r:.60}.")
    folder = downloaded(repository, commit or None)
    if mode == "offline":
        if folder is None:
            return None  # it may as well be a folder's name with a slip of the pen
        raise BadInput(f"{name} is not a pocket model, and mode 'offline' uses only those.")
    if folder is None:
        revision = f" --revision {commit}" if commit else ""
        raise NotInstalled(f"{name} is not on this machine. Download it with `hf download {repository}{revision}`.")
    return Target(model=name, source="live", folder=folder, precision=precision)


def _own_folder(route: Route, name: str, precision: str) -> Target:
    """A model folder of the learner's, or a GGUF file. Raises UnknownModel or BadModel."""
    folder = Path(name).expanduser()
    if not _holds_model(folder):
        raise UnknownModel(f"There is no model {name!r}. {suggest(name, _names(route))}")
    if folder.is_dir():
        weights.check_links(folder)
    elif route.name != "llama.cpp":
        raise Unsupported(f"{name} is a GGUF file, which the route {route.name} cannot read. Use the route llama.cpp.")
    found = [folder] if folder.is_file() else [file for pattern in WEIGHTS for file in folder.glob(pattern)]
    files = [file for file in found if file.is_file()]  # a link may lead nowhere
    weights.check_fetched(files)
    weight = sum(file.stat().st_size for file in files)
    return _target(route, folder.resolve().name, "pocket" if weight < POCKET_BYTES else "live", folder, precision)


def _names(route: Route) -> list[str]:
    return [m.name for m in catalog.load().models.values() if m.kind == "pocket" or route.name in m.ids]


def downloaded(name: str, commit: str | None = None) -> Path | None:
    """The folder (or GGUF file) of `owner/repository[/folder]` in Hugging Face's cache, if it is there.

    `commit`: of that commit; without one, of the branch main as it was downloaded last.
    """
    owner, repository, *below = name.split("/")
    hub = os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME") or "~/.cache/huggingface", "hub")
    cached = Path(hub).expanduser() / f"models--{owner}--{repository}"
    try:
        revision = commit or (cached / "refs" / "main").read_text().strip()
    except OSError:
        return None
    folder = cached.joinpath("snapshots", revision, *below)
    return folder if _holds_model(folder) and _has_weights(folder) else None


def _has_weights(path: Path) -> bool:
    """Whether the weights came along: a download that was broken off may have left only the small files."""
    return path.is_file() or any(file.exists() for pattern in WEIGHTS for file in path.glob(pattern))


def _holds_model(path: Path) -> bool:
    """Whether a folder has a model in it; a GGUF file is one."""
    if path.is_file():
        return path.suffix == ".gguf"
    return any(next(path.glob(config), None) for config in CONFIGS)


def _how_to_download(row: Model, route: str) -> str:
    size = f" (about {2 * row.parameters / 1e9:.1f} GB)" if route == "transformers" else ""
    return (
        f"{row.title} is not on this machine. Download it{size} with `python -m utils fetch {row.name} --for {route}`, "
        "or use mode 'auto' to be answered by its pocket stand-in."
    )
