"""The diagrams: drawn by the code beside them, shown by a lesson, and described for those who do not see them."""

import json
import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest

LESSONS = Path(__file__).parents[2] / "lessons"
IMAGES = LESSONS / "images"
DRAW = runpy.run_path(str(IMAGES / "draw.py"))
SHOWN = re.compile(r"!\[([^]]*)\]\(images/([^)]+)\)")


def shown() -> list[tuple[str, str]]:
    """(description, file) of every picture in a lesson's markdown."""
    found = []
    for file in LESSONS.glob("*.ipynb"):
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        found += [
            pair for cell in cells if cell["cell_type"] == "markdown" for pair in SHOWN.findall("".join(cell["source"]))
        ]
    return found


def test_the_files_are_what_the_code_draws(tmp_path: Path) -> None:
    DRAW["draw"](tmp_path)
    drawn = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert drawn == {file.name: file.read_bytes() for file in IMAGES.glob("*.svg")}


def test_every_diagram_is_shown_and_described() -> None:
    assert {name for _, name in shown() if name.endswith(".svg")} == {f"{name}.svg" for name in DRAW["PICTURES"]}
    assert all(len(words) > 40 for words, _ in shown())


@pytest.mark.parametrize("name", DRAW["PICTURES"])
def test_text_fits_its_box(name: str) -> None:
    """By a generous width of a letter; and each picture has a title."""
    root = ElementTree.fromstring(DRAW["PICTURES"][name]())
    space = "{http://www.w3.org/2000/svg}"
    assert root.findtext(f"{space}title")
    boxes = [rect for rect in root.iter(f"{space}rect") if rect.get("fill") != "none"]
    texts = [text for text in root.iter(f"{space}text") if text.get("fill") == DRAW["PAPER"]]
    assert len(boxes) == len(texts) > 3
    for box, text in zip(boxes, texts, strict=True):
        assert max(len(span.text or "") for span in text) * 7.6 <= float(box.get("width", 0)), text[0].text
