"""The map: README.md, the line under each title and the lessons themselves say the same."""

import json
import re
import runpy
from pathlib import Path

import pytest

LESSONS = Path(__file__).parents[2] / "lessons"
README = (LESSONS / "README.md").read_text(encoding="utf-8")
ROWS = {row[0]: row for row in re.findall(r"^\| (\d\d) \| (.+?) \| (\d+) \| (.+?) \| (.+?) \|$", README, re.M)}
NOTEBOOKS = sorted(LESSONS.glob("*.ipynb"))
REFRESH = runpy.run_path(str(LESSONS / "refresh.py"))


def cells(file: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]]


def test_there_are_twenty_one() -> None:
    assert list(ROWS) == [f"{number:02}" for number in range(21)]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_lesson_that_exists_is_listed_as_it_is(file: Path) -> None:
    title = cells(file)[0]
    _, name, minutes, before, state = ROWS[file.name[:2]]
    assert name == f"[{re.search(r'# .. · (.+)', title)[1]}]({file.name})" and state == "**ready**"
    assert f"**Time:** {minutes} minutes. **Needs:**" in title
    assert all(number in title for number in re.findall(r"\d\d", before))


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_it_says_where_you_are(file: Path) -> None:
    assert cells(file)[1] == REFRESH["here"](file.stem, README)


def test_the_way_shows_links_to_what_exists_only() -> None:
    readme = "### Part 1: ideas\n| 00 | [Begin](00_a.ipynb) | 1 |\n| 01 | [On](01_b.ipynb) | 1 |\n| 02 | End | 1 |\n"
    way = REFRESH["here"]("01_b", readme)
    assert way.startswith("*Part 1: ideas.* [00 Begin](00_a.ipynb) → **01 On (you are here)** → 02 End · ")


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_the_last_words_lead_on(file: Path) -> None:
    following = f"{int(file.name[:2]) + 1:02}"
    name = ROWS[following][1]
    title, link = (re.fullmatch(r"\[(.+)\]\((.+)\)", name) or re.fullmatch(r"(.+)()", name)).groups()
    short = title.partition(" (")[0]
    wanted = f"**Next:** [{following} · {short}]({link})" if link else f"**Next:** {following} · {short} (planned)"
    assert cells(file)[-1].rstrip().endswith(wanted)
