"""The course's one command, `python -m utils ...`: makes sure that the packages are there, then starts what was asked.

Standard library only. It knows how to start JupyterLab and the tests; all other commands belong to `utils.cli`.
An old Python must be able to read this file down to the line where it is turned away.
"""

import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        "Pocket Phi needs Python 3.11 or newer; this is Python {}.{}. "
        "Use a newer one, for example: python3.12 -m utils lab".format(*sys.version_info)
    )

import subprocess
from pathlib import Path

from utils import bootstrap
from utils.packages import REPO, SetupError

FIRST_LESSON = "lessons/00_start_here.ipynb"
COMMANDS = {
    "lab": "set up, then open the first lesson in JupyterLab",
    "setup": "set up only; `setup NAME` adds an optional runtime: llama-cpp, mlx, openvino, qnn",
    "test": "set up with the test tools, then check everything; what follows goes to pytest",
    "ask": "put one question to a model",
    "doctor": "say what runs on this machine",
    "fetch": "download a real model",
    "serve": "offer the pocket models to OpenAI's, Azure's and Ollama's clients",
    "rehearse": "measure how fast a real model would be here, without downloading it",
    "catalog": "compare the catalogue with what the services offer today",
    "bench": "measure speed",
    "pocket": "train and evaluate the pocket models",
}
CHECKS = (("ruff", "check", "."), ("mypy", "--strict", "utils"))


def main(arguments: list[str]) -> int:
    """Run one command and give back its exit status."""
    command, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if command in ("help", "-h", "--help"):
        print(usage())
        return 0
    if command not in COMMANDS:
        print(f"There is no command {command!r}.\n\n{usage()}", file=sys.stderr)
        return 2
    lab_options = parse_lab(rest) if command == "lab" else []  # a typing error shows before the set-up, not after it
    try:
        if command == "setup" and rest:
            bootstrap.add(rest)
            return 0
        python = bootstrap.ensure(tests=command == "test")
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The same command starts again; what pip has fetched, it keeps.", file=sys.stderr)
        return 130
    if command == "lab":
        return become([str(python), "-m", "jupyterlab", *lab_options], lab_environment())
    if command == "test":
        return test(python, rest)
    return 0 if command == "setup" else run(python, arguments)


def usage() -> str:
    """The commands, a line each."""
    lines = [f"  {name:<8}{text}" for name, text in COMMANDS.items()]
    return "\n".join(["usage: python -m utils COMMAND [OPTIONS]", "", *lines])


def parse_lab(arguments: list[str]) -> list[str]:
    """JupyterLab's arguments: ours, and what the learner gave. Exits on --help or a wrong one."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m utils lab", description=COMMANDS["lab"])
    parser.add_argument("--no-browser", action="store_true", help="print the address; open no browser")
    parser.add_argument("--port", type=int, metavar="N", help="listen on this port (default: 8888, else the next)")
    parser.add_argument("--ip", metavar="ADDRESS", help="listen on this address (default: this machine only)")
    known, others = parser.parse_known_args(arguments)
    given = [f"--{name}={value}" for name, value in (("port", known.port), ("ip", known.ip)) if value is not None]
    given += ["--no-browser"] * known.no_browser + others
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        given.append("--allow-root")  # the learner in a container has no other user to be
    return [f"--ServerApp.root_dir={REPO}", f"--LabApp.default_url=/lab/tree/{FIRST_LESSON}", *given]


def lab_environment() -> dict[str, str]:
    """For JupyterLab and its kernels: our packages first, no news, no telemetry, and words for skipped cells."""
    ours = str(REPO / "utils" / "data" / "jupyter")
    environment = bootstrap.environment()
    environment["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, [ours, environment.get("JUPYTER_CONFIG_PATH")]))
    environment.setdefault("PYTHONSTARTUP", str(REPO / "utils" / "notebook.py"))
    return environment | {"JUPYTER_PREFER_ENV_PATH": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}


def test(python: Path, pytest_arguments: list[str]) -> int:
    """Check style and types, then run every test and lesson. pytest speaks last."""
    environment = bootstrap.environment()
    run_module = [str(python), "-m"]
    failed = [check[0] for check in CHECKS if subprocess.call([*run_module, *check], cwd=REPO, env=environment)]
    environment["POCKET_FAILED_CHECKS"] = ", ".join(failed)  # conftest.py repeats them where they are not overlooked
    workers = ["-n", "2", "--dist", "loadfile", "--max-worker-restart", "0"]  # after a restart, pytest-xdist hangs
    command = [*run_module, "pytest", *workers, *pytest_arguments]
    return subprocess.call(command, cwd=REPO, env=environment) or len(failed)


def run(python: Path, arguments: list[str]) -> int:
    """Hand a command to `utils.cli`, in the Python that has the packages."""
    if python != Path(sys.executable) and not bootstrap.inside_venv():
        return become([str(python), "-m", "utils", *arguments], bootstrap.environment())
    from utils import cli

    return cli.main(arguments)


def become(command: list[str], environment: dict[str, str]) -> int:
    """Turn this process into another one, so that Ctrl-C and signals reach it. Windows cannot: there we wait for it."""
    sys.stdout.flush()
    if os.name != "nt":
        os.execve(command[0], command, environment)
    with subprocess.Popen(command, env=environment) as child:
        try:
            return child.wait()
        except KeyboardInterrupt:  # the child got it too, and decides what it means
            return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
