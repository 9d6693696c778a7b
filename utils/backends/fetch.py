"""Real weights onto this machine: from Hugging Face for the runtimes in this process, through Ollama for its route.

It says how large a download is and whether there is room before it begins. What was fetched before an interruption is
kept; a file is checked against its published hash and only then used.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from utils import catalog
from utils.backends.address import plain
from utils.backends.probe import direct
from utils.backends.target import suggest
from utils.catalog import Route
from utils.errors import BackendError, BadInput, BadModel, KeyProblem, NotRunning, UnknownModel

SPARE = 1_000_000_000  # bytes to leave free on the disk
FILES = [
    "*.safetensors",
    "*.json",
    "*.jinja",
    "*.txt",
    "*.model",
    "openvino_*.xml",
    "openvino_*.bin",
]  # what runs; a repository may hold older forms as well
LARGE = 10_000_000  # bytes; a smaller file is not worth resuming
PIECE = 1_000_000  # bytes lost at most when a connection breaks off; the hub's ten may be all that it ever brings
GB = 1e9


def fetch(name: str, route: str, say: Callable[[str], object]) -> None:
    """Downloads the model `name` for `route`, telling `say` how large it is first. Raises BackendError."""
    row = catalog.load().routes.get(route)
    if row is None:
        raise BadInput(f"There is no route {route!r}. {suggest(route, list(catalog.load().routes))}")
    known = _id(name, row)
    if not row.hosted or route == "ollama":
        _tell_memory(name, say)
    if route == "ollama":
        from utils.backends.pull import pull  # here: it needs Ollama's client

        pull(name, row, known, say)
    elif row.hosted:
        raise BadInput(f"{row.title} runs its models itself: there is nothing to download. Set {row.key_variable}.")
    else:
        _download(known, say)


def _id(name: str, route: Route) -> str:
    models = catalog.load().models
    row = models.get(name)
    if row is not None and row.kind == "pocket":
        raise BadInput(f"{name} is part of this repository: there is nothing to download.")
    if row is None or route.name not in row.ids:
        names = [model.name for model in models.values() if route.name in model.ids]
        raise UnknownModel(f"The route {route.name} has no {name}. {suggest(name, names)}")
    return row.ids[route.name]


def _tell_memory(name: str, say: Callable[[str], object]) -> None:
    """A model that is larger than the memory runs very slowly or not at all: better known before gigabytes come."""
    import psutil

    need, free = catalog.load().models[name].needs_gb(), psutil.virtual_memory().available / GB
    if need is not None and need > free:
        say(f"Note: {name} needs about {need:.1f} GB of memory in 4 bits, and {free:.1f} GB are free.")


def _download(known: str, say: Callable[[str], object]) -> None:
    prepare()
    from huggingface_hub import constants, snapshot_download

    repo, inside = parts(known)
    wanted = [inside if inside.endswith(".gguf") else f"{inside}/*"] if inside else FILES
    try:
        plan = snapshot_download(repo, allow_patterns=wanted, dry_run=True)
        size = sum(file.file_size or 0 for file in plan)
        missing = sum(file.file_size or 0 for file in plan if file.will_download)
        if not plan:
            raise UnknownModel(f"{repo} has no file like {wanted[0]} any more. Look at its page.")
        say(f"{known}: {size / GB:.1f} GB, {missing / GB:.1f} GB of it still to download from {constants.ENDPOINT}")
        _check_room(Path(constants.HF_HUB_CACHE), missing, say)
        for file in plan:
            if file.will_download and (file.file_size or 0) > LARGE:
                _download_large(repo, file.filename, file.commit_hash, Path(file.local_path))
        folder = Path(snapshot_download(repo, allow_patterns=wanted, max_workers=2))
        _check_small(Path(file.local_path) for file in plan)
    except BackendError:
        raise
    except Exception as error:
        raise explained(error, repo, constants.ENDPOINT) from None
    say(f"Ready in {folder / inside}")


def prepare() -> None:
    """Sets what the hub's library looks for in the environment. Raises KeyProblem."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if token := catalog.variable("HF_TOKEN"):  # it may stand in .env
        os.environ["HF_TOKEN"] = plain(token, "HF_TOKEN")
    direct(os.environ.get("HF_ENDPOINT", ""))


def parts(known: str) -> tuple[str, str]:
    """Hugging Face's repository of a catalogue's id, and the folder or file in it ('' for all of it)."""
    owner, repository, *below = known.split("/")
    return f"{owner}/{repository}", "/".join(below)


def _check_room(cache: Path, missing: int, say: Callable[[str], object]) -> None:
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    say(f"{free / GB:.1f} GB are free for {cache}")
    if missing + SPARE > free:
        raise BadInput(
            f"The download needs {missing / GB:.1f} GB, but only {free / GB:.1f} GB are free. Make room, or set "
            "HF_HOME to a folder on another disk."
        )


def _download_large(repo: str, name: str, commit: str, pointer: Path) -> None:
    """Puts one file where the hub's own library looks first; that library itself no longer resumes (since 2.0).

    Raises BadModel, with nothing left behind, when the file is not what its SHA-256 says.
    """
    from filelock import FileLock
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented there, but not marked

    constants.DOWNLOAD_CHUNK_SIZE = PIECE
    url = hf_hub_url(repo, name, revision=commit)
    facts = get_hf_file_metadata(url)
    if not facts.etag or not re.fullmatch("[0-9a-f]{64}", facts.etag):
        return  # not a large file in the hub's sense: it is known by its content nowhere
    blobs = next(folder for folder in pointer.parents if folder.name == "snapshots").with_name("blobs")
    blobs.mkdir(parents=True, exist_ok=True)
    part = blobs / f"{facts.etag}.part"
    with FileLock(f"{part}.lock"):
        if (blobs / facts.etag).exists():
            return
        with part.open("ab") as file:
            http_get(
                url,
                file,
                resume_size=part.stat().st_size,
                headers=build_hf_headers(),
                expected_size=facts.size,
                displayed_filename=name.rpartition("/")[2],
            )
        with part.open("rb") as data:
            whole = hashlib.file_digest(data, "sha256").hexdigest() == facts.etag
        if not whole:
            part.unlink()
            raise BadModel(f"Damaged on the way and deleted again: {name}. Run the same command once more.")
        part.replace(blobs / facts.etag)


def _check_small(pointers: Iterable[Path]) -> None:
    """The hub's library trusts what comes, so all are looked at each time: one run may have been broken off.

    Raises BadModel, with none of the damaged files left behind.
    """
    damaged = [pointer for pointer in pointers if _is_damaged(pointer)]
    for pointer in damaged:
        pointer.resolve().unlink(missing_ok=True)  # two names may lead to the same file
        pointer.unlink()
    if damaged:
        names = ", ".join(sorted(pointer.name for pointer in damaged))
        raise BadModel(f"Damaged on the way and deleted again: {names}. Run the same command once more.")


def _is_damaged(pointer: Path) -> bool:
    """The hub's cache names each file by its hash: git's, or SHA-256 for a large one, which was checked already.

    Windows may have a plain copy there, without that name.
    """
    blob = pointer.resolve()
    if blob == pointer.absolute() or blob.stat().st_size > LARGE or not re.fullmatch("[0-9a-f]{40,64}", blob.name):
        return False
    data = blob.read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False)
    return blob.name not in (git.hexdigest(), hashlib.sha256(data).hexdigest())


def explained(error: Exception, repo: str, endpoint: str) -> BackendError:
    """Our error for one of the hub's."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

    if isinstance(error.__cause__, HfHubHTTPError | OfflineModeIsEnabled):
        error = error.__cause__  # the library only adds that the cache does not have it either
    if isinstance(error, OfflineModeIsEnabled):
        return BadInput("HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) is set, which forbids downloads. Unset it.")
    if isinstance(error, OSError) and error.errno == 28:
        return BadInput("The disk is full. Make room, then run the same command: it goes on where it stopped.")
    if isinstance(error, RepositoryNotFoundError):
        return UnknownModel(f"{endpoint} has no {repo}, or not for you. If it is private, set HF_TOKEN.")
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            page = catalog.load().keys["HF_TOKEN"].source
            return KeyProblem(f"{endpoint} refused the key for {repo}: check HF_TOKEN, or make a new one at {page}.")
        return NotRunning(f"{endpoint} refused {repo} (status {status}). Try again later; what came is kept.")
    if isinstance(error, OSError) or "onnect" in type(error).__name__:
        return NotRunning(f"{endpoint} cannot be reached. Connect to the network, or set HF_ENDPOINT to a mirror.")
    return BackendError(f"The download of {repo} failed: {str(error)[:200]}. What came is kept; try again.")
