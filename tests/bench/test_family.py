"""The family's table: figures of this run and of the records, between the marks of the README and nowhere else."""

import json

import pytest

from utils import pocket
from utils.bench import family


def test_one_model_on_one_route_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(family, "RUNS", 2)
    names, routes = ["pocket-phi-3-mini", "pocket-phi-3.5-vision"], ["mlx", "not installed"]
    figures = family.measure(names, routes)
    assert set(figures) == {("pocket-phi-3-mini", "mlx")}, "mlx has no models that see"
    measured = figures["pocket-phi-3-mini", "mlx"]
    assert len(measured["speeds"]) == 2 and measured["megabytes"] > 50 and "tokens/s" in capsys.readouterr().out


def linked(name: str) -> str:
    return f"[{name}](../data/pocket/{name}/README.md)"


def test_the_scores_are_those_of_the_records():
    table = family.scores_table()
    head, _, *rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    assert head == [linked(name) for name in pocket.NAMES]
    by_name = {row[0]: row[1:] for row in rows}
    record = json.loads((pocket.home("pocket-phi-3-mini") / "training.json").read_text(encoding="utf-8"))
    assert by_name["field"][0] == f"{record['scores']['field']:.1%}"
    assert by_name["parameters"][0] == "3.9 M" and by_name["in the repository"][0] == "7.9 MB"


def test_writing_leaves_the_rest_of_the_readme_alone(tmp_path, monkeypatch):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{family.HEAD}old\n{family.TAIL}after\n", encoding="utf-8")
    monkeypatch.setattr(family, "README", readme)
    family.write({("pocket-phi-3-mini", "onnx"): {"speeds": [900.0, 1100.0, 1000.0], "megabytes": 150.0}})
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{family.HEAD}") and text.endswith(f"{family.TAIL}after\n")
    assert "| pocket-phi-3-mini | onnx | 1,000 | 900 to 1,100 | 150 |" in text and "old" not in text


def test_two_routes_that_agree_differ_by_nothing_much(monkeypatch):
    monkeypatch.setattr(family, "TASKS", ("field",))
    near = family.agreement("pocket-phi-3-mini", "onnx")
    assert near["prompts"] == near["same"] == 10 and near["tokens"] > 50
    assert 0 <= near["mean_difference"] <= near["largest_difference"] < 1e-3


@pytest.mark.parametrize("name", pocket.NAMES)
def test_the_readmes_table_has_the_scores_of_the_records(name):
    """The table was made after the last training."""
    record = json.loads((pocket.home(name) / "training.json").read_text(encoding="utf-8"))
    made = family.README.read_text(encoding="utf-8").split(family.HEAD)[1].split(family.TAIL)[0]
    head, _, *rows = [line.strip("| ").split(" | ") for line in made.split("\n\n")[0].splitlines()]
    column = head.index(linked(name)) + 1
    found = {row[0]: row[column] for row in rows if len(row) > column}
    assert all(found[task] == f"{score:.1%}" for task, score in record["scores"].items())
