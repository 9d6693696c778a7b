"""A learner runs cells again, from another folder, and pushes every slider to its ends: no lesson breaks."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

LESSONS = Path(__file__).parents[2] / "lessons"
NOTEBOOKS = sorted(LESSONS.glob("*.ipynb"))
SHORTER = {  # what takes long takes it twice here, and is not what this is about
    "Training(nano.pretrain,": "Training(partial(nano.pretrain, steps=3),",
    "Training(partial(nano.tune, base),": "Training(partial(nano.tune, base, steps=3),",
    "steps=40, seconds=10": "steps=2",
    "steps=80, seconds=10": "steps=2",
    "train(net, steps=250": "train(net, steps=20",
    "tokens=64, runs=7": "tokens=8, runs=2",
}
EXTREMES = """
from utils.widgets import Calculator as _Calculator
for _one in [_value for _value in list(globals().values()) if isinstance(_value, _Calculator)]:
    for _name, _control in _one.controls.items():
        _before = _control.value
        _ends = [_end[1] if isinstance(_end, tuple) else _end for _end in getattr(_control, "options", ())]
        for _end in _ends or [getattr(_control, "min", True), getattr(_control, "max", False)]:
            _one.set(**{_name: _end})
            assert "cannot be worked out" not in _one.view.value, (_name, _end, _one.view.value)
        _one.set(**{_name: _before})
"""


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_every_cell_runs_twice(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLM_MODE", "offline")
    notebook = nbformat.read(file, as_version=4)
    cells = [
        cell for cell in notebook.cells if cell.cell_type == "code" and "live" not in cell.metadata.get("tags", [])
    ]
    sources = [cell.source for cell in cells for _ in range(2)]
    for old, new in SHORTER.items():
        sources = [source.replace(old, new) for source in sources]
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in [*sources, EXTREMES]]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert not [output for cell in notebook.cells for output in cell.outputs if output.output_type == "error"]


def test_what_is_shortened_is_there() -> None:
    text = "".join(cell.source for file in NOTEBOOKS for cell in nbformat.read(file, as_version=4).cells)
    assert [old for old in SHORTER if old not in text] == []
