"""Bring a lesson's solution in step with the lesson, run both offline, and save their outputs.

    python lessons/refresh.py                    every lesson
    python lessons/refresh.py 00_start_here      one of them

A solution is its lesson with other exercise cells: cells that call `check(...)`, paired by cell id. Write those in
`lessons/solutions/`, everything else in `lessons/`. The map under the title ("you are here") is drawn from README.md.
What only this run knows is not saved: times, widget states, models of widgets. So the notebooks change only where what
they say changes.
"""

from __future__ import annotations

import copy
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

LESSONS = Path(__file__).parent
VIEW = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def is_exercise(cell: Any) -> bool:
    """Whether a cell is one that the learner fills in."""
    return cell.cell_type == "code" and "check(" in cell.source


def here(name: str, readme: str) -> str:
    """Where lesson `name` stands among those of its part, with links to those that exist, as `readme` lists them."""
    for part in re.split(r"^### ", readme, flags=re.M)[1:]:
        rows = re.findall(r"^\| (\d\d) \| (?:\[([^]]+)\]\(([^)]+)\)|([^|]+?)) \|", part, re.M)
        if name[:2] not in [number for number, *_ in rows]:
            continue
        stops = [_stop(name, *row) for row in rows]
        return f"*{part.splitlines()[0]}.* {' → '.join(stops)} · [all lessons](README.md) · [glossary](glossary.md)"
    raise SystemExit(f"README.md does not list lesson {name[:2]}. Add it, then run this again.")


def _stop(name: str, number: str, title: str, file: str, planned: str) -> str:
    if number == name[:2]:
        return f"**{number} {title or planned} (you are here)**"
    return f"[{number} {title}]({file})" if file else f"{number} {planned}"


def mapped(lesson: Any, name: str) -> None:
    """Write the map into the second cell of `lesson`."""
    text = here(name, (LESSONS / "README.md").read_text(encoding="utf-8"))
    if lesson.cells[1].id != "map":
        lesson.cells.insert(1, nbformat.v4.new_markdown_cell(text, id="map"))
    lesson.cells[1].source = text


def solved(lesson: Any, solution: Any) -> Any:
    """`lesson` with the exercise cells of `solution`. Raises SystemExit where one is missing."""
    answers = {cell.id: cell.source for cell in solution.cells if is_exercise(cell)}
    notebook = copy.deepcopy(lesson)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":  # what is not a notebook lies one folder up
            cell.source = re.sub(r"\]\((?=(README|glossary|images/)[^)]*\))", "](../", cell.source)
    for cell in filter(is_exercise, notebook.cells):
        if cell.id not in answers:
            raise SystemExit(f"The solution has no exercise cell with the id {cell.id!r}. Add it, then run this again.")
        cell.source = answers[cell.id]
    return notebook


def run(notebook: Any, folder: Path) -> Any:
    """Run every cell in `folder`, and drop what belongs to this run only."""
    client = NotebookClient(
        notebook, timeout=180, kernel_name="python3", resources={"metadata": {"path": str(folder)}},
        record_timing=False, store_widget_state=False, coalesce_streams=True, skip_cells_with_tag="live",
    )  # fmt: skip
    client.execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(VIEW, None)  # a page opened later could not find that widget
    return notebook


def refresh(name: str) -> None:
    """Run lesson `name` and its solution, and save both."""
    paths = [LESSONS / f"{name}.ipynb", LESSONS / "solutions" / f"{name}.ipynb"]
    lesson, solution = (nbformat.read(path, as_version=4) for path in paths)
    mapped(lesson, name)
    for notebook, path in zip([lesson, solved(lesson, solution)], paths, strict=True):
        nbformat.write(run(notebook, path.parent), path)
        print(f"{path.relative_to(LESSONS.parent)}: run and saved.")


if __name__ == "__main__":
    names = sys.argv[1:] or sorted(path.stem for path in LESSONS.glob("*.ipynb"))
    with tempfile.TemporaryDirectory() as cache:  # neither your progress nor your exports come into it
        os.environ.update(SLM_MODE="offline", SLM_CACHE=cache, OMP_NUM_THREADS="1")
        for name in names:
            refresh(name)
