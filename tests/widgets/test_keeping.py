"""Files of runs: nothing that is wrong with one may take the widget or an older file along."""

import json

import pytest


@pytest.fixture
def saved(comparison, tmp_path):
    """A run, its file, and a way to load that file after a change."""
    comparison.run()
    file = comparison.keeping.file
    file.value = str(tmp_path / "runs.json")
    comparison.keeping.save.click()

    def loaded(change):
        content = json.loads((tmp_path / "runs.json").read_text())
        change(content["runs"][0])
        (tmp_path / "runs.json").write_text(json.dumps(content))
        comparison.keeping.load.click()
        return comparison.keeping.said.value

    return loaded


CHANGES = {
    "six columns": lambda run: run.update(columns=run["columns"] * 3),
    "no column": lambda run: run.update(columns=[]),
    "no options": lambda run: run.pop("options"),
    "impossible options": lambda run: run["options"].update(max_tokens=-1),
    "no order": lambda run: run.pop("together"),
    "an order that is a text": lambda run: run.update(together="fair"),
    "no mode": lambda run: run.pop("mode"),
    "a mode that nobody knows": lambda run: run.update(mode="ofline"),
    "a model that is no text": lambda run: run["columns"][0].update(model=7),
    "a speed that is a text": lambda run: run["columns"][0].update(tokens_per_s="<b>"),
    "a prompt that is no text": lambda run: run.update(prompt=None),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_file_that_cannot_be_shown_is_refused(comparison, saved, change):
    before = comparison.runs
    assert "no file that Compare saved" in saved(change)
    assert comparison.runs is before and len(comparison.columns) == 2


def test_options_that_a_file_leaves_out_are_the_usual_ones(comparison, saved):
    assert "Loaded" in saved(lambda run: run.update(options={}))
    assert comparison.asking.tokens.value == 128 and list(comparison.table()["max_tokens"]) == [128, 128]
    assert comparison.runs[0]["options"]["stop"] == []


def test_a_route_that_nobody_knows_is_refused(comparison, saved):
    before = comparison.runs
    assert "There is no route &#x27;openvino2&#x27;." in saved(
        lambda run: run["columns"][0].update(place="openvino2/x")
    )
    assert comparison.runs is before


def test_a_route_that_is_not_installed_here_can_be_looked_at(comparison, saved, monkeypatch):
    monkeypatch.setattr("utils.widgets.picking.routes", lambda: ["onnx"])
    assert "Loaded" in saved(lambda run: run["columns"][0].update(place="mlx/x"))
    assert comparison.columns[0].place == "mlx/x"


@pytest.mark.parametrize("columns", [1, 4])
def test_a_run_brings_its_columns_along(comparison, saved, columns):
    assert "Loaded" in saved(lambda run: run.update(columns=(run["columns"] * 2)[:columns]))
    assert len(comparison.columns) == len(comparison._row.children) == columns


def test_nothing_is_loaded_while_it_answers(comparison, saved, place, soon):
    place.gate.clear()
    comparison.run_button.click()
    assert comparison.keeping.load.disabled and comparison.history.disabled
    place.gate.set()
    comparison.job.join(5)
    assert not comparison.keeping.load.disabled


def test_half_a_character_is_saved_and_comes_back(comparison, place, saved, tmp_path):
    place.says["one"] = ["\ud800 小"]
    comparison.run()
    comparison.keeping.save.click()
    assert "Saved" in comparison.keeping.said.value
    comparison.keeping.load.click()
    assert comparison.runs[1]["columns"][0]["text"] == "\ud800 小"
    comparison.keeping.table.click()
    assert "Saved" in comparison.keeping.said.value and "小" in (tmp_path / "runs.csv").read_text(encoding="utf-8")


def test_a_file_stays_whole_when_the_next_cannot_be_written(comparison, saved, tmp_path, monkeypatch):
    before = (tmp_path / "runs.json").read_text()
    comparison.run()

    def full(path, text, **settings):
        path.write_bytes(text.encode()[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    comparison.keeping.save.click()
    assert "No space left" in comparison.keeping.said.value
    assert (tmp_path / "runs.json").read_text() == before and len(list(tmp_path.iterdir())) == 1


def test_a_file_without_a_name_is_said(comparison):
    for pressed in (comparison.keeping.save, comparison.keeping.load, comparison.keeping.table):
        comparison.keeping.file.value, comparison.keeping.said.value = " ", ""
        pressed.click()
        assert "Write the name of a file first." in comparison.keeping.said.value
