"""A real JupyterLab in a real chromium, for the browser tests and for the README's picture.

The notebooks are copies in a temporary folder: JupyterLab saves what it runs, and the repository's stay as they are.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from playwright.sync_api import Page, sync_playwright

REPO = Path(__file__).parents[2]
LESSONS = REPO / "lessons"
TOKEN = "only-for-this-test"
QUIET = [  # chromium's own errands stay off, so that every request seen is one of ours
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-default-apps", "--disable-domain-reliability", "--disable-sync", "--no-first-run", "--no-pings",
    "--metrics-recording-only",
]  # fmt: skip
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # every cell is on the page, also below the fold
}


def chromium() -> str | None:
    """The path of a chromium or Chrome on this machine, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def lab(home: Path) -> Iterator[str]:
    """JupyterLab on a free loopback port, at home in `home`: its address without a page. The lessons lie in `work`."""
    shutil.copytree(LESSONS, home / "work", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    for name, values in SETTINGS.items():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    port = _free_port()
    log = home / "lab.log"
    with log.open("w") as file, subprocess.Popen(_command(home, port), env=_env(home), stderr=file) as server:
        try:
            _wait(f"http://127.0.0.1:{port}", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(20)


@contextmanager
def page(address: str, notebook: str, *, dark: bool = False) -> Iterator[Page]:
    """`notebook` (a path below `work`) opened in a browser of its own, as wide as a laptop."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=QUIET)
        try:
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            tab.set_default_timeout(120_000)  # a busy machine is slow, not broken
            tab.goto(f"{address}/lab/tree/{notebook}?token={TOKEN}&reset")
            tab.wait_for_selector(".jp-Notebook .jp-Cell")
            idle(tab)
            if dark:
                menu(tab, "Settings", "Theme", "JupyterLab Dark")
            yield tab
        finally:
            browser.close()


def write_notebook(file: Path, sources: list[str]) -> None:
    """A notebook with these code cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, file)


def idle(tab: Page, *, timeout_s: float = 180) -> None:
    """Wait until the status bar says that the kernel is connected and has nothing to do."""
    tab.get_by_text("| Idle").wait_for(timeout=1000 * timeout_s)


def menu(tab: Page, *names: str) -> None:
    """Choose from JupyterLab's menu bar, as a person does."""
    tab.locator(".lm-MenuBar-itemLabel", has_text=names[0]).first.click()
    for name in names[1:]:
        item = tab.locator(".lm-Menu-itemLabel").get_by_text(name, exact=True)
        item.hover()
        last = item
    last.click()


def run_all(tab: Page, *, timeout_s: float = 300) -> None:
    """Restart the kernel, run every cell, and wait until all have run.

    Raises RuntimeError when a cell failed, after which no other runs, and TimeoutError with what still waits."""
    menu(tab, "Kernel", "Restart Kernel and Run All Cells…")
    tab.get_by_role("button", name="Confirm Kernel Restart").click()
    tab.wait_for_timeout(500)
    end = time.monotonic() + timeout_s
    while waiting := [text for text in prompts(tab) if not text.strip("[]:").isdigit()]:
        if not any("*" in text for text in waiting) and (trouble := errors(tab)):
            raise RuntimeError(trouble[0])
        if time.monotonic() > end:
            raise TimeoutError(f"{len(waiting)} cells have not finished after {timeout_s} s: {waiting}")
        tab.wait_for_timeout(200)
    idle(tab)
    tab.wait_for_timeout(500)  # the last outputs are drawn


def prompts(tab: Page) -> list[str]:
    """What stands in front of each code cell whose code is not folded away: [1]:, [*]: or [ ]:."""
    return [text.strip() for text in tab.locator(".jp-CodeCell .jp-InputPrompt").all_text_contents() if text.strip()]


def errors(tab: Page) -> list[str]:
    """Tracebacks and whatever cells wrote to stderr."""
    kinds = ("application/vnd.jupyter.error", "application/vnd.jupyter.stderr")
    return [text for kind in kinds for text in tab.locator(f'[data-mime-type="{kind}"]').all_inner_texts()]


def run_heard(tab: Page) -> list[str]:
    """Run every cell, without an error; returns the addresses that the page asks for, then and later on."""
    asked: list[str] = []
    tab.on("request", lambda sent: asked.append(sent.url))
    run_all(tab)
    assert errors(tab) == []
    return asked


def shots(base: Path) -> Path:
    """Where pictures of the pages are kept: in the folder that SLM_SCREENSHOTS names, else below `base`."""
    folder = Path(os.environ.get("SLM_SCREENSHOTS") or base / "screenshots").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def themes(tab: Page, file: Path, look: Callable[[], object] = lambda: None) -> None:
    """The whole notebook as two PNGs, in light and dark, with the theme's name at the end of the file's; `look` is
    called in each."""
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        menu(tab, "Settings", "Theme", theme)
        tab.wait_for_timeout(1000)
        picture(tab, file.with_name(f"{file.name}, {theme}.png"))
        look()


def picture(tab: Page, file: Path) -> None:
    """The whole notebook from top to bottom as one PNG."""
    tab.locator(".jp-WindowedPanel-outer").evaluate("it => it.scrollTo(0, 0)")
    bottom = tab.locator(".jp-Notebook .jp-Cell").last.evaluate("it => it.getBoundingClientRect().bottom")
    tab.set_viewport_size({"width": 1280, "height": int(bottom) + 60})
    tab.wait_for_timeout(700)
    tab.screenshot(path=file)
    tab.set_viewport_size({"width": 1280, "height": 900})


def _command(home: Path, port: int) -> list[str]:
    options = {
        "ServerApp.ip": "127.0.0.1", "ServerApp.port": port, "ServerApp.port_retries": 0,
        "IdentityProvider.token": TOKEN, "ServerApp.open_browser": False, "ServerApp.root_dir": home / "work",
        "LabApp.user_settings_dir": home / "settings", "LabApp.workspaces_dir": home / "workspaces",
    }  # fmt: skip
    root = ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    return [sys.executable, "-m", "jupyterlab", *root, *(f"--{name}={value}" for name, value in options.items())]


def _env(home: Path) -> dict[str, str]:
    paths = os.pathsep.join(filter(None, [str(REPO), os.environ.get("PYTHONPATH")]))
    folders = {name: str(home / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    cache = {"SLM_CACHE": os.environ.get("SLM_CACHE") or str(home / "cache")}
    return {**os.environ, **folders, **cache, "PYTHONPATH": paths, "SLM_MODE": "offline", "OMP_NUM_THREADS": "1"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(address: str, server: subprocess.Popen[bytes], log: Path, *, timeout_s: float = 180) -> None:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/api?token={TOKEN}", timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start within {timeout_s} s:\n{log.read_text()[-2000:]}")
