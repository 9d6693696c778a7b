"""The course's command, run for real in copies of it: a small repository, a small package index, real pip."""

import ast
import json
import os
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from utils import packages
from utils.packages import SetupError, Unreachable

REPO = Path(__file__).parent.parent
SHOW = "import json, os, sys; print(json.dumps([sys.argv[1:], sys.prefix, os.environ.get('JUPYTER_CONFIG_PATH')]))\n"
EXIT = "import os, sys; print(__name__, *sys.argv); sys.exit(int(os.environ.get('FAKE_{}', 0)))\n"
WHEELS = {
    "torch": {"torch/__init__.py": ""},
    "jupyterlab": {"jupyterlab/__main__.py": SHOW},
    "tools": {f"{name}/__main__.py": EXIT.format(name.upper()) for name in ("ruff", "mypy", "pytest")},
    "newer": {"newer/__init__.py": ""},
    "npu": {"npu/__init__.py": ""},
}
VERSION = "2.13.0"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tiny wheels, for pip's --find-links."""
    folder = tmp_path_factory.mktemp("index")
    for name, files in WHEELS.items():
        info = f"{name}-{VERSION}.dist-info"
        head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {VERSION}\n"
        tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        content = {**files, f"{info}/METADATA": head, f"{info}/WHEEL": tag}
        with zipfile.ZipFile(folder / f"{name}-{VERSION}-py3-none-any.whl", "w") as wheel:
            for path, text in content.items():
                wheel.writestr(path, text)
            wheel.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in [*content, f"{info}/RECORD"]))
    return folder


def make_repo(folder: Path) -> Path:
    (folder / "utils").mkdir(parents=True)
    for name in ("__main__.py", "bootstrap.py", "packages.py"):
        (folder / "utils" / name).write_bytes((REPO / "utils" / name).read_bytes())
    (folder / "utils" / "__init__.py").touch()
    (folder / "utils" / "cli.py").write_text(
        f"def main(argv):\n    {SHOW.replace('sys.argv[1:]', 'argv')}    return 7\n"
    )
    (folder / "requirements.txt").write_text(f"torch=={VERSION}  # a reason\njupyterlab>=1\n")
    (folder / "pyproject.toml").write_text(
        '[project]\noptional-dependencies = { test = ["tools>=1"], qnn = ["npu>=1"] }\n'
    )
    return folder


def surroundings(**more: str | Path) -> dict[str, str]:
    """An environment that tries to lead pip astray, and no index unless `more` names one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "JUPYTER_"))}
    odd = {"PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0", "PIP_USER": "1", "VIRTUAL_ENV": "/none", "HOME": ""}
    return {**kept, **odd, **{name: str(value) for name, value in more.items()}}


def local(index: Path) -> dict[str, str]:
    return surroundings(PIP_NO_INDEX="1", PIP_FIND_LINKS=index)


def start(repo: Path, environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "utils", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=repo, env=environment, text=True, start_new_session=True, **pipes)


def run(repo: Path, environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    process = start(repo, environment, *arguments)
    out, error = process.communicate(timeout=300)
    return process.returncode, out, error


@pytest.fixture(scope="module")
def ready(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in a folder with a space, set up by two commands at the same time."""
    repo = make_repo(tmp_path_factory.mktemp("a learner") / "pocket phi")
    (repo / ".venv").mkdir()  # an empty folder is nobody's
    both = [start(repo, local(index), "setup"), start(repo, local(index), "setup")]
    results = [(*process.communicate(timeout=300), process.returncode) for process in both]
    assert [(error, status) for _, error, status in results] == [("", 0)] * 2
    said = "".join(out for out, _, _ in results)
    assert said.count("Everything is set up.") == 1  # the second waited, and found nothing to do
    assert said.index("to download") < said.index("Everything is set up.")
    return repo


def test_the_second_time_pip_is_not_needed(ready: Path) -> None:
    pip = next((ready / ".venv").glob("**/site-packages/pip"))
    pip.rename(pip.with_name("hidden"))
    try:
        assert run(ready, surroundings(), "setup") == (0, "", "")
    finally:
        pip.with_name("hidden").rename(pip)


def test_setup_adds_what_is_named(ready: Path, index: Path) -> None:
    inside = next((ready / ".venv").glob("**/site-packages"))
    status, _, error = run(ready, local(index), "setup", "abacus")
    assert (status, error) == (1, "There is nothing called 'abacus' to add. There are: test, qnn.\n")
    assert not (inside / "npu").exists()
    assert run(ready, local(index), "setup", "qnn") == (0, "Added: qnn.\n", "")
    assert (inside / "npu").exists()


def test_commands_run_in_the_venv(ready: Path) -> None:
    status, out, _ = run(ready, surroundings(), "ask", "What is an SLM?", "--route", "onnx")
    arguments, prefix, _ = json.loads(out)
    assert (status, arguments) == (7, ["ask", "What is an SLM?", "--route", "onnx"])
    assert Path(prefix) == ready / ".venv"


def test_lab_opens_the_first_lesson(ready: Path) -> None:
    status, out, _ = run(ready, surroundings(), "lab", "--no-browser", "--port", "9999", "--ip=0.0.0.0", "--debug")
    arguments, prefix, config = json.loads(out)
    assert status == 0 and Path(prefix) == ready / ".venv"
    assert {"--no-browser", "--port=9999", "--ip=0.0.0.0", "--debug"} < set(arguments)
    assert f"--ServerApp.root_dir={ready}" in arguments
    assert "--LabApp.default_url=/lab/tree/lessons/00_start_here.ipynb" in arguments
    assert config == str(ready / "utils" / "data" / "jupyter")


def test_lab_refuses_a_wrong_port_before_it_sets_up(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    status, _, error = run(repo, surroundings(), "lab", "--port", "many")
    assert status == 2 and "--port" in error and not (repo / ".venv").exists()


@pytest.mark.parametrize("failing", ["", "RUFF", "MYPY", "PYTEST"])
def test_test_ends_with_pytest_and_fails_when_anything_does(ready: Path, index: Path, failing: str) -> None:
    status, out, _ = run(ready, {**local(index), f"FAKE_{failing}": "1"}, "test", "-k", "some words")
    assert bool(status) == bool(failing)
    last = out.splitlines()[-1]
    assert "pytest" in last and last.endswith("-k some words")


def test_an_update_that_cannot_be_fetched_leaves_all_as_it_was(ready: Path, index: Path) -> None:
    requirements = (ready / "requirements.txt").read_text()
    (ready / "requirements.txt").write_text(requirements + "newer>=1\n")
    try:
        status, _, error = run(ready, surroundings(PIP_INDEX_URL="http://127.0.0.1:9/simple"), "setup")
        assert status == 1 and error.startswith("The package registry could not be reached.")
        assert run(ready, local(index), "setup")[0] == 0
        assert next((ready / ".venv").glob("**/site-packages/newer")).is_dir()
    finally:
        (ready / "requirements.txt").write_text(requirements)


def test_a_foreign_venv_is_left_alone(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    (repo / ".venv").mkdir()
    (repo / ".venv" / "thesis.txt").write_text("mine")
    status, out, error = run(repo, surroundings(), "setup")
    assert (status, out) == (1, "") and "was not made by this course" in error
    assert [path.name for path in (repo / ".venv").iterdir()] == ["thesis.txt"]


@pytest.fixture
def silent_index() -> Iterator[str]:
    """A registry that takes the call and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/simple"


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to a console, not to a process")
def test_stopped_half_way_it_goes_on_the_next_time(tmp_path: Path, index: Path, silent_index: str) -> None:
    repo = make_repo(tmp_path / "repo")
    process = start(repo, surroundings(PIP_INDEX_URL=silent_index), "setup")
    assert process.stdout and "Asking the package registry" in process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in error and "starts again" in error
    status, out, error = run(repo, local(index), "ask")
    assert (status, error) == (7, "") and "was not finished" in out


def test_without_a_network_it_says_so(tmp_path: Path, index: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    status, _, error = run(repo, surroundings(PIP_INDEX_URL="http://127.0.0.1:9/simple"), "setup")
    assert status == 1
    assert error.startswith("The package registry could not be reached.") and error.count("\n") == 1
    (repo / ".venv" / "pocket-phi.json").write_text("")  # the power went while this was being written
    (repo / ".venv" / "half").mkdir()
    assert run(repo, local(index), "setup")[0] == 0
    assert not (repo / ".venv" / "half").exists()


@pytest.mark.parametrize(("arguments", "status"), [(["dance"], 2), ([], 0), (["--help"], 0)])
def test_the_commands_are_listed(tmp_path: Path, arguments: list[str], status: int) -> None:
    repo = make_repo(tmp_path / "repo")
    got, out, error = run(repo, surroundings(), *arguments)
    text = error if status else out
    assert got == status and all(word in text for word in ("lab", "setup", "test", "ask", "doctor"))
    assert not (repo / ".venv").exists()


def test_where_the_course_is_installed_already_no_venv_is_made(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    for name, origin in (("pocket_phi", repo.as_uri()), ("torch", ""), ("jupyterlab", "")):
        info = tmp_path / "site" / f"{name}-{VERSION}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {VERSION}\n")
        (info / "direct_url.json").write_text(json.dumps({"url": origin}))
    environment = surroundings(PYTHONPATH=tmp_path / "site")
    status, out, _ = run(repo, environment, "ask")
    assert status == 7 and json.loads(out)[1] == sys.prefix
    status, _, error = run(repo, environment, "test")
    assert status == 1 and "tools" in error and "-m utils setup test" in error
    assert not (repo / ".venv").exists()


def test_an_old_python_is_told_so() -> None:
    code = "import runpy, sys; sys.version_info = (3, 9, 2); runpy.run_module('utils', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Pocket Phi needs Python 3.11 or newer; this is Python 3.9.")
    for name in ("__init__.py", "__main__.py"):
        ast.parse((REPO / "utils" / name).read_text(encoding="utf-8"), feature_version=(3, 7))


def test_a_full_disk_is_noticed_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.shutil, "disk_usage", lambda path: SimpleNamespace(free=50_000_000))
    with pytest.raises(SetupError, match=r"only 50 MB free"):
        packages._announce("cpu", update=False, tests=False)


@pytest.mark.parametrize(
    ("log", "kind", "says"),
    [
        ("WARNING: Retrying ... NewConnectionError(...)\nERROR: No matching distribution", Unreachable, "registry"),
        ("ReadTimeoutError: HTTPSConnectionPool(host='x', port=443): Read timed out.", Unreachable, "registry"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left", SetupError, "disk is full"),
        ("noise\nERROR: Failed building wheel for onnx", SetupError, "Failed building wheel for onnx"),
        ("", SetupError, "no reason given"),
    ],
)
def test_what_pip_says_becomes_plain(log: str, kind: type[SetupError], says: str) -> None:
    error = packages._explain(log)
    assert type(error) is kind and says in str(error) and "\n" not in str(error)
