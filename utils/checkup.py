"""What runs on this machine, and what would be needed for more.

Looks, and changes nothing; imports no large library. Keys are reported as set or not, never shown.
"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from utils import catalog, pocket, services
from utils.backends.target import downloaded
from utils.errors import BackendError
from utils.findings import Finding as Finding  # for those who ask the doctor
from utils.findings import Findings
from utils.pocket import export, weights

SETUP = "Run `python -m utils setup`."
PACKAGES = {
    "torch": "2.13",
    "transformers": "5.24",
    "onnxruntime-genai": "0.18",
    "jupyterlab": "4.6",
    "ipywidgets": "8.1",
}
GB = 1e9
ACCELERATORS = Path("/dev/accel")  # where Linux shows NPUs


def doctor() -> Findings:
    """All findings, what the lessons need first. Takes under three seconds, whatever does not answer."""
    with ThreadPoolExecutor(2) as pool:  # whom one has to wait for; the rest is looked at meanwhile
        servers, gpu = pool.submit(services.servers, SETUP), pool.submit(_gpu)
        processor, memory = _measured("Processor", _processor), _measured("Memory", _memory)
        needed = [_python(), processor, *_packages(), memory, _disk(), *_pocket(), *_exports()]
        runtimes, fit = [*_runtimes(), *_providers()], _measured("Real models that fit", _fit)
        optional = [*runtimes, gpu.result(), _real_weights(), fit, *servers.result(), *_keys()]
    return Findings([*needed, *optional])


def _python() -> Finding:
    return Finding("Python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _measured(name: str, look: Callable[[Any], Finding]) -> Finding:
    """What psutil tells, which is not there before the set-up."""
    try:
        import psutil
    except ImportError:
        return Finding(name, "warn", "unknown", SETUP)
    return look(psutil)


def _processor(psutil: Any) -> Finding:
    return Finding("Processor", "ok", f"{psutil.cpu_count(False) or '?'} cores, {psutil.cpu_count()} threads")


def _packages() -> Iterator[Finding]:
    for name, floor in PACKAGES.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "missing", "not installed", SETUP)
            continue
        old = _numbers(version) < _numbers(floor)
        yield Finding(name, "missing" if old else "ok", f"{version}, {floor} needed" if old else version, SETUP * old)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("+")[0].split(".")[:2] if part.isdigit())


def _memory(psutil: Any) -> Finding:
    memory = psutil.virtual_memory()
    detail = f"{memory.available / GB:.1f} GB free of {memory.total / GB:.1f} GB"
    if memory.available < GB:
        return Finding("Memory", "warn", detail, "Close other programs: training lessons need about 1 GB.")
    return Finding("Memory", "ok", detail)


def _disk() -> Finding:
    folder = catalog.cache_folder()
    there = next(f for f in (folder, *folder.parents) if f.exists())
    free = shutil.disk_usage(there).free
    detail = f"{free / GB:.1f} GB free for the cache folder"
    if free < GB / 2:
        return Finding("Disk", "warn", detail, "Free some space, or set SLM_CACHE to a folder on another disk.")
    return Finding("Disk", "ok", detail)


def _pocket() -> Iterator[Finding]:
    sizes = []  # of those that are whole, which share a row
    for name in pocket.NAMES:
        try:
            sizes.append(sum(f.stat().st_size for f in weights.check(pocket.home(name))))
        except BackendError as error:
            yield Finding(name, "missing", *str(error).partition(". ")[::2])  # what is wrong; what to do
    if sizes:
        yield Finding("Pocket models", "ok", f"{len(sizes)}, weights whole, {sum(sizes) / 1e6:.1f} MB")


def _exports() -> Iterator[Finding]:
    done = []
    for name in pocket.NAMES:
        with suppress(BackendError, ImportError):  # said above
            done.append(export.cached(pocket.folder(name), "onnx-fp32"))
    if done:
        yield Finding("Pocket models as ONNX", "ok", f"{sum(done)} of {len(done)} made; each is made when first asked")


def _runtimes() -> Iterator[Finding]:
    for route in catalog.load().routes.values():
        if route.hosted:
            continue
        try:
            versions = [importlib.metadata.version(name.partition("[")[0]) for name in route.packages.values()]
            yield Finding(route.title, "ok", f"{versions[0]}, for the route {route.name}", state="works")
        except importlib.metadata.PackageNotFoundError:
            fix = f"Optional: `python -m utils setup {route.extra}` adds the route {route.name}."
            yield Finding(route.title, "warn", "not installed", fix if route.extra else SETUP, "missing package")


def _providers() -> Iterator[Finding]:
    for row in catalog.load().providers.values():
        if find_spec(row.module) is not None:
            yield Finding(row.title, "ok", f"installed; ONNX_PROVIDER={row.name} uses it for the route onnx")
        else:
            fix = f"Optional, for {row.machines}: `python -m utils setup {row.extra}`, else `{row.build}`."
            yield Finding(row.title, "warn", "not installed", fix)


def _gpu() -> Finding:
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return Finding("GPU", "ok", "Apple silicon")
    command = shutil.which("nvidia-smi")
    if command:
        try:
            query = [command, "--query-gpu=name,memory.total", "--format=csv,noheader"]
            found = subprocess.run(query, capture_output=True, text=True, timeout=2, check=True).stdout.strip()
            return Finding("GPU", "ok", found.replace("\n", "; "))
        except (OSError, subprocess.SubprocessError):
            return Finding("GPU", "warn", "NVIDIA's driver does not answer", "Not needed: the lessons run without it.")
    if any(ACCELERATORS.glob("accel*")):
        return Finding("GPU", "ok", "none, but an NPU: with OPENVINO_DEVICE=NPU the route openvino uses it")
    return Finding("GPU", "ok", "none, and none is needed")


def _real_weights() -> Finding:
    found = {m.name for m in catalog.load().models.values() for name in _hugging_face(m) if downloaded(name)}
    if found:
        return Finding("Real Phi weights", "ok", ", ".join(sorted(found)))
    command = f"python -m utils fetch {catalog.load().routes['onnx'].live} --for onnx"
    return Finding("Real Phi weights", "warn", "none on this machine", f"Optional: `{command}` gets some.")


def _hugging_face(model: catalog.Model) -> list[str]:
    routes = catalog.load().routes
    return [name for route, name in model.ids.items() if not routes[route].hosted]


def _fit(psutil: Any) -> Finding:
    """Which real models this machine's memory can hold, 4-bit weights and the KV cache of a short talk together."""
    free = psutil.virtual_memory().available / GB
    models = [(model, need) for model in catalog.load().models.values() if (need := model.needs_gb())]
    sizes = [(f"{model.name} ({'about ' * model.estimated}{need:.1f} GB)", need) for model, need in models]
    fits = [size for size, need in sizes if need < free]
    large = [size for size, need in sizes if need >= free]
    detail = f"{', '.join(fits) or 'none'}{'; too large: ' + ', '.join(large) if large else ''}"
    fix = "" if fits else "Optional. Close other programs to make room; the pocket models need none of it."
    return Finding("Real models that fit", "ok" if fits else "warn", detail, fix)


def _keys() -> Iterator[Finding]:
    for key in catalog.load().keys.values():
        if catalog.variable(key.name):
            yield Finding(key.name, "ok", "set")
        else:
            yield Finding(key.name, "warn", "not set", f"Optional: opens {key.opens}.")
