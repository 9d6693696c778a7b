"""The cells for the real thing, under its settings: weights in their places, servers at their addresses; nothing there
at all; and services that say no. What answers here is a pocket model with a real one's name."""

import json
import shutil
import symtable
from pathlib import Path

import nbformat
import ollama
import pytest
from loopback import KEY, KEYS, VARIABLES, WIRES, FaultServer, error
from nbclient import NotebookClient

from utils import catalog, pocket, server
from utils.pocket import export

LESSONS = Path(__file__).parents[2] / "lessons"
NOTEBOOKS = sorted(LESSONS.glob("*.ipynb"))
FORMS = {"onnx": "onnx-int4", "llama.cpp": "gguf-q4_0"}  # other routes read a model's own folder


def is_live(cell):
    return "live" in cell.metadata.get("tags", [])


def live_cells(file):
    return [cell.source for cell in nbformat.read(file, as_version=4).cells if is_live(cell)]


def names(source):
    """Those of the notebook that a cell reads, and those that it makes."""
    tables = [symtable.symtable(source, "cell", "exec")]
    for table in tables:
        tables += table.get_children()
    own = set(tables[0].get_symbols())
    reads = {one.get_name() for table in tables for one in table.get_symbols() if one in own or one.is_global()}
    return reads, {one.get_name() for one in own if one.is_assigned() or one.is_imported()}


def needed(file):
    """The live cells, and before each whatever it builds on."""
    taken = []
    cells = [cell for cell in nbformat.read(file, as_version=4).cells if cell.cell_type == "code"]
    wanted = set()
    for cell in reversed(cells):
        reads, made = names(cell.source)
        if is_live(cell) or made & wanted:
            taken.insert(0, cell)
            wanted = (wanted | reads) - made
    return taken


ASKING = [
    file for file in NOTEBOOKS if any(f'"{route}"' in cell.source for cell in needed(file) for route in VARIABLES)
]


def run(file, change=lambda source: source):
    """What the live cells print. Any error is one of this test."""
    cells = needed(file)
    sources = [change(cell.source) if is_live(cell) else cell.source for cell in cells]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, timeout=180, resources={"metadata": {"path": str(LESSONS)}}).execute()
    done = [cell for was, cell in zip(cells, notebook.cells, strict=True) if is_live(was)]
    return json.dumps([cell.outputs for cell in done], ensure_ascii=False)


@pytest.fixture(autouse=True)
def settings(monkeypatch, tmp_path):
    """Keys, but nothing else of the real thing."""
    monkeypatch.setenv("SLM_MODE", "offline")  # for the cells before; the live ones say what they want
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for route in VARIABLES:
        monkeypatch.setenv(KEYS[route], KEY)
        monkeypatch.setenv(VARIABLES[route], "http://127.0.0.1:9/v1" if route == "nim" else "http://127.0.0.1:9")


@pytest.fixture
def everything(monkeypatch, tmp_path):
    """The real models' names on a server, and weights where a download would leave them."""
    served = server.start()
    client = ollama.Client(served.url)
    for model in catalog.load().models.values():
        for route, known in model.ids.items() if model.stand_in else ():
            if route in VARIABLES:
                client.copy(model.stand_in, known)
            else:
                put(tmp_path, route, known, pocket.folder(model.stand_in))
    for route, variable in VARIABLES.items():
        monkeypatch.setenv(variable, served.url + ("/v1" if route == "nim" else ""))
    yield
    served.stop()


def put(cache, route, known, folder):
    owner, repository, *inside = known.split("/", 2)
    snapshot = cache / f"models--{owner}--{repository}" / "snapshots" / "abc"
    made = export.made(folder, FORMS[route]) if route in FORMS else folder
    place = snapshot.joinpath(*inside)
    if place.suffix == ".gguf":
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(next(made.glob("*.gguf")), place)
    elif not place.exists():
        shutil.copytree(made, place)
    (snapshot.parents[1] / "refs").mkdir(exist_ok=True)
    (snapshot.parents[1] / "refs" / "main").write_text("abc")


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_with_the_real_thing_there_it_answers(file, everything):
    """It may say that a text is too long: what answers here reads less than the real one."""
    assert "print(problem)" in "".join(live_cells(file))
    answers = "if type(problem).__name__ != 'TooLong': raise"
    said = run(file, lambda source: source.replace("print(problem)", answers))
    assert len(said) > 40, said


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_with_nothing_there_it_says_what_to_do(file):
    said = run(file)
    assert any(words in said for words in ("Download it", "does not answer at", "needs")), said


@pytest.mark.parametrize("status", [401, 404, 410, 429])
@pytest.mark.parametrize("file", ASKING, ids=lambda file: file.stem)
def test_a_service_that_says_no_is_a_sentence(file, status, monkeypatch):
    refusing(monkeypatch, lambda wire: error(wire, status, "No.", retry_after=0))
    said = run(file)
    assert "Traceback" not in said and KEY not in said and said.count(". ") + said.count(".\\n") > 0, said


@pytest.mark.parametrize("file", ASKING, ids=lambda file: file.stem)
def test_a_silent_service_ends_in_a_sentence(file, monkeypatch):
    monkeypatch.setenv("SLM_TIMEOUT", "1")
    refusing(monkeypatch, lambda wire: lambda connection: connection.recv(1))
    assert "within" in run(file)


def refusing(monkeypatch, act):
    """Every service does `act`, in its own wire format."""
    for wire in WIRES:
        url = FaultServer([act(wire)]).url
        if wire.client is None:
            monkeypatch.setenv(VARIABLES[wire.route], url + ("/v1" if wire.route == "nim" else ""))
