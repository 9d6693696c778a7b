"""What every notebook keeps to, beyond running: each rule is shown a notebook that breaks it, then all of ours."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LESSONS = Path(__file__).parents[2] / "lessons"
NOTEBOOKS = sorted([*LESSONS.glob("*.ipynb"), *LESSONS.glob("solutions/*.ipynb")])
NBVAL_TAGS = {"nbval-skip", "nbval-ignore-output", "nbval-check-output", "nbval-raises-exception", "raises-exception"}
TAGS = NBVAL_TAGS | {"live", "hide-input"}
LINES, WIDTH, BYTES = 20, 105, 500_000
SECRETS = re.compile(
    r"ghp_\w{20}|github_pat_\w{20}|nvapi-[\w-]{20}|\bhf_[A-Za-z0-9]{30}|\bsk-[\w-]{20}"
    r"|(?<![\w/+=])[0-9a-f]{32}(?![\w/+=])"
)
PATHS = re.compile(r"/home/\w|/Users/\w|[A-Z]:\\+Users|/root\b|/tmp/|/work/|/var/folders|\.pyenv|site-packages")
INSTALLS = re.compile(r"^\s*!|^\s*%(pip|conda)\b|\bpip3? install", re.M)  # and no shell: it differs by system
HEADINGS = ("Quiz", "Recap", "Run it on the real thing", "Further reading")
Notebook = dict[str, Any]
Rule = Callable[[Notebook], list[str]]  # what breaks the rule: [] is good


def code(notebook: Notebook) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def tags(cell: dict[str, Any]) -> list[str]:
    return list(cell["metadata"].get("tags", []))


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def texts(notebook: Notebook) -> list[str]:
    """Everything that a reader sees: sources and decoded outputs, without pictures."""
    found = [source(cell) for cell in notebook["cells"]]
    for output in (output for cell in code(notebook) for output in cell["outputs"]):
        found += ["".join(output.get("text", "")), *output.get("traceback", [])]
        shown = [value for kind, value in output.get("data", {}).items() if not kind.startswith("image/png")]
        found += ["".join(value) if isinstance(value, list) else str(value) for value in shown]
    return found


def first_cell_tells(notebook: Notebook) -> list[str]:
    wanted = (r"\A# \d\d · \S", r"\*\*You will be able to\*\*\n- ", r"\*\*Time:\*\* \d+ minutes", r"\*\*Needs:\*\* \S")
    text = source(notebook["cells"][0])
    return [pattern for pattern in wanted if not re.search(pattern, text)]


def imports_then_the_one_dial(notebook: Notebook) -> list[str]:
    first, second, *others = map(source, code(notebook))
    lines = [line for line in first.splitlines() if line and not line.startswith((" ", ")", "import ", "from "))]
    dial = [] if re.fullmatch(r'route = "[\w.-]+".*', second) else [second]
    return lines + dial + [text for text in others if re.search(r"^route = ", text, re.M)]


def every_cell_was_run_in_order(notebook: Notebook) -> list[str]:
    """nbval never compares a cell that was not run, so a stripped notebook would pass it."""
    run = [cell for cell in code(notebook) if "nbval-skip" not in tags(cell)]
    return [source(cell) for number, cell in enumerate(run, 1) if cell["execution_count"] != number]


def nothing_failed_or_warned(notebook: Notebook) -> list[str]:
    outputs = [output for cell in code(notebook) if "raises-exception" not in tags(cell) for output in cell["outputs"]]
    return [str(output) for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]


def tags_are_spelt_right(notebook: Notebook) -> list[str]:
    """nbval ignores a tag that it does not know, and listens to one of its own only."""
    each = [tags(cell) for cell in notebook["cells"]]
    return [str(some) for some in each if set(some) - TAGS or len(NBVAL_TAGS.intersection(some)) > 1]


def only_live_cells_are_skipped(notebook: Notebook) -> list[str]:
    cells = code(notebook)
    live = ["no live cell"] if not any("live" in tags(cell) for cell in cells) else []
    return live + [source(cell) for cell in cells if ("live" in tags(cell)) != ("nbval-skip" in tags(cell))]


def cells_are_short(notebook: Notebook) -> list[str]:
    return [text for text in map(source, code(notebook)) if len(text.splitlines()) > LINES]


def lines_fit_the_page(notebook: Notebook) -> list[str]:
    """On a page of 1280 pixels, beside JupyterLab's file browser."""
    open_cells = [cell for cell in code(notebook) if not cell["metadata"].get("jupyter", {}).get("source_hidden")]
    return [line for cell in open_cells for line in source(cell).splitlines() if len(line) > WIDTH]


def nothing_is_installed(notebook: Notebook) -> list[str]:
    return [text for text in map(source, code(notebook)) if re.search(INSTALLS, text)]


def no_key_lies_in_it(notebook: Notebook) -> list[str]:
    return [found.group()[:8] for text in texts(notebook) if (found := SECRETS.search(text))]


def no_machine_is_named(notebook: Notebook) -> list[str]:
    return [text for text in texts(notebook) if PATHS.search(text) or f"{Path.home()}/" in text]


def any_jupyter_can_run_it(notebook: Notebook) -> list[str]:
    kernel = notebook["metadata"]["kernelspec"]["name"]
    return [kernel] * (kernel != "python3") + ["saved widget states"] * ("widgets" in notebook["metadata"])


def it_has_exercises_and_an_end(notebook: Notebook) -> list[str]:
    words = [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    lines = [line for cell in words for line in source(cell).splitlines()]
    checks = [line for text in map(source, code(notebook)) for line in text.splitlines() if line.startswith("check(")]
    few = [f"{len(checks)} exercises"] if len(checks) < 2 else []
    return few + [title for title in HEADINGS if f"## {title}" not in lines]


def minutes_are_counted(notebook: Notebook) -> list[str]:
    """As lessons/README.md says: for one who is new to it, and reads everything."""
    prose = "\n".join(source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    cells = list(map(source, code(notebook)))
    asked = sum(text.count("Question(") for text in cells)
    exercises = sum(line.startswith("check(") for text in cells for line in text.splitlines())
    lines = sum(len(text.splitlines()) for text in cells)
    counted = len(re.findall(r"[A-Za-z']+", prose)) / 150 + lines / 12 + len(cells) / 2 + 4 * exercises + asked
    said = re.search(r"\*\*Time:\*\* (\d+) minutes", prose)
    good = said and 0.8 * counted - 5 <= int(said[1]) <= 1.2 * counted + 5
    return [] if good else [f"{counted:.0f} minutes counted"]


def it_is_small(notebook: Notebook) -> list[str]:
    size = len(json.dumps(notebook))
    return [f"{size} bytes"] * (size > BYTES)


def cell(text: str, kind: str = "code", *, tag: str = "", count: int | None = 1, out: Any = None) -> dict[str, Any]:
    """A cell to plant in a notebook."""
    made: dict[str, Any] = {"cell_type": kind, "metadata": {"tags": [tag] if tag else []}, "source": [text]}
    return made | ({"execution_count": count, "outputs": [out] if out else []} if kind == "code" else {})


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": [text]}


KEY_STARTS = ("ghp_", "github_pat_", "nvapi-", "hf_", "sk-")
HTML = {"output_type": "display_data", "data": {"text/html": ["<b>/home/", "ada</b>"]}, "metadata": {}}
# each rule, and cells of which each one, added to a good notebook, breaks it
RULES: dict[Rule, list[dict[str, Any]]] = {
    imports_then_the_one_dial: [cell('route = "onnx"')],
    every_cell_was_run_in_order: [cell("1", count=None), cell("1", count=2)],
    nothing_failed_or_warned: [cell("1", out=stream("careful", "stderr"))],
    tags_are_spelt_right: [cell("1", tag="nbval_skip"), cell("1", "markdown", tag="nbval-ignore-outputs")],
    only_live_cells_are_skipped: [cell("1", tag="nbval-skip"), cell("1", tag="live")],
    cells_are_short: [cell("1\n" * 21)],
    lines_fit_the_page: [cell("x = 1  # " + "long " * 20)],
    nothing_is_installed: [cell("!pip install x"), cell("%pip install x"), cell("# pip install x")],
    no_key_lies_in_it: [
        *(cell("x", out=stream(f"key: {head}{'a1B2' * 9}")) for head in KEY_STARTS),
        cell(f"key = '{'0f' * 16}'", "markdown"),
    ],
    no_machine_is_named: [cell("open('/home/ada/x')"), cell("x", out=HTML), cell("C:\\Users\\ada", "markdown")],
    it_is_small: [cell("x" * BYTES, "markdown")],
}  # fmt: skip
WHOLE = (first_cell_tells, any_jupyter_can_run_it, it_has_exercises_and_an_end, minutes_are_counted)
GOOD: Notebook = {
    "metadata": {"kernelspec": {"name": "python3"}},
    "cells": [
        cell("# 07 · Bread\n\n**You will be able to**\n- bake,\n\n**Time:** 10 minutes. **Needs:** 00", "markdown"),
        cell("import math\nfrom utils import (\n    connect,\n)", count=1),
        cell('route = "onnx"', count=2),
        cell("check('a')\ncheck('b')", count=3, out=stream("commit 0123abc in ../lessons")),
        *(cell(f"## {heading}", "markdown") for heading in HEADINGS),
        {**cell("live()", count=None), "metadata": {"tags": ["live", "nbval-skip"]}},
    ],
}


def name(value: object) -> str:
    return value.relative_to(LESSONS).as_posix() if isinstance(value, Path) else getattr(value, "__name__", "")


@pytest.mark.parametrize("rule", [*RULES, *WHOLE], ids=name)
def test_a_good_notebook_passes(rule: Rule) -> None:
    assert rule(GOOD) == []


@pytest.mark.parametrize(("rule", "planted"), [(rule, bad) for rule, cells in RULES.items() for bad in cells], ids=name)
def test_a_planted_fault_is_found(rule: Rule, planted: dict[str, Any]) -> None:
    assert rule({**GOOD, "cells": [*GOOD["cells"], planted]})


def test_a_notebook_without_its_parts_is_found() -> None:
    assert first_cell_tells({**GOOD, "cells": GOOD["cells"][1:]})
    assert it_has_exercises_and_an_end({**GOOD, "cells": GOOD["cells"][:-2]})
    assert minutes_are_counted({**GOOD, "cells": [cell(GOOD["cells"][0]["source"][0].replace("10", "45"), "markdown")]})
    assert any_jupyter_can_run_it({**GOOD, "metadata": {"kernelspec": {"name": "my-venv"}}})


@pytest.mark.parametrize("rule", [*RULES, *WHOLE], ids=name)
@pytest.mark.parametrize("file", NOTEBOOKS, ids=name)
def test_ours_keep_the_rule(file: Path, rule: Rule) -> None:
    assert rule(json.loads(file.read_text(encoding="utf-8"))) == []


def test_each_lesson_has_a_solution_that_passes_its_checks() -> None:
    assert [path.name for path in LESSONS.glob("*.ipynb")], "there are no lessons"
    for lesson in LESSONS.glob("*.ipynb"):
        solution = json.loads((LESSONS / "solutions" / lesson.name).read_text(encoding="utf-8"))
        checks = [cell for cell in code(solution) if re.search(r"^check\(", source(cell), re.M)]
        assert checks and all("✓" in json.dumps(cell["outputs"], ensure_ascii=False) for cell in checks), lesson.name
    assert {path.name for path in LESSONS.glob("solutions/*.ipynb")} == {path.name for path in LESSONS.glob("*.ipynb")}


def test_lessons_carry_the_number_of_their_file() -> None:
    for file in NOTEBOOKS:
        title = source(json.loads(file.read_text(encoding="utf-8"))["cells"][0])
        assert title.startswith(f"# {file.name[:2]} · "), file.name
