"""Numbers typed into a lesson agree with the facts and the catalogue: whoever changes one must change the other."""

import json
import re
from pathlib import Path

import pytest

from utils import catalog, facts

LESSONS = Path(__file__).parents[2] / "lessons"
NOTEBOOKS = sorted([*LESSONS.glob("*.ipynb"), *LESSONS.glob("solutions/*.ipynb")])
SIZES = {"": 1.0, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
NUMBER = r"(?P<number>\d[\d,_]*(?:\.\d+)?) ?(?P<size>thousand|million|billion|trillion)?"
LARGE = re.compile(r"(?<![\w.,])\d{1,3}(?:[,_]\d{3}){2,}(?![\w.])|(?<![\w.])\d{7,}(?![\w.])")
Known = dict[tuple[str, str], list[float]]  # (how it is said, of what) -> values


def known() -> Known:
    """What may be said: of the facts, and of the catalogue's models."""
    found: Known = {}
    for one in facts.load():
        for said in one.said:
            found.setdefault((said, one.subject), []).append(one.value)
    for model in catalog.load().models.values():
        title = model.title.removesuffix("-instruct")
        for subject in {title, re.sub(r"-(4k|8k|128k)$", "", title)}:
            for said in ("{} parameters", "all {} parameters"):
                found.setdefault((said, subject), []).append(model.parameters)
            for said in ("context of {} tokens", "a context of {}"):
                found.setdefault((said, subject), []).append(model.context)
    return found


def contradictions(text: str) -> list[str]:
    """Sentences that say of a known subject a number that is none of what is known of it."""
    rows, wrong = known(), []
    subjects = sorted({subject for _, subject in rows}, key=len, reverse=True)
    names = re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, subjects))})(?![\w-]|\.\d)")
    for sentence in re.split(r"(?<=[.:!?;])\s+|\n\n|\n(?=[-|#])", text):
        named = set(names.findall(sentence))
        for said in {said for said, subject in rows if subject in named}:
            allowed = [value for subject in named for value in rows.get((said, subject), [])]
            pattern = re.escape(said).replace(r"\{\}", NUMBER)
            typed = [match for match in re.finditer(pattern, sentence) if not any(map(agrees(match), allowed))]
            wrong += [f"{match.group()} ({sentence.strip()[:90]})" for match in typed]
    return wrong


def agrees(match: re.Match[str]):
    """Whether a value, rounded as the typed number is, is that number."""
    digits = match["number"].replace(",", "").replace("_", "")
    size = SIZES[match["size"] or ""]
    decimals = len(digits.partition(".")[2])
    return lambda value: abs(value / size - float(digits)) <= 0.5 * 10**-decimals + 1e-9


def strangers(text: str) -> list[str]:
    """Whole numbers of seven digits and more that no fact and no row of the catalogue has."""
    values = {one.value for one in facts.load()}
    values |= {n for m in catalog.load().models.values() for n in (m.parameters, m.context, m.kv_bytes)}
    return [found for found in LARGE.findall(text) if int(re.sub("[,_]", "", found)) not in values]


def sources(file: Path, kind: str) -> str:
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == kind)


@pytest.mark.parametrize(
    "text",
    [
        "Phi-3-mini has 3,821,079,553 parameters.",
        "Phi-3-mini has 3.9 billion parameters.",
        "Phi-3-mini was trained on 4.8 trillion tokens.",
        "GPT-3.5 reached an MMLU of 86.4.",
        "Its sibling Phi-3-medium has 14.1 billion parameters, and Phi-3-mini is smaller.",
        "Phi-3.5-mini has a context of 4096 tokens.",
    ],
)
def test_a_contradiction_is_found(text: str) -> None:
    assert contradictions(text)


@pytest.mark.parametrize(
    "text",
    [
        "Phi-3-mini has 3,821,079,552 parameters.",
        "Phi-3-mini has 3.8 billion parameters, Phi-3-medium has 14 billion parameters.",
        "Phi-3-mini was trained on 3.3 trillion tokens. A library has 4.8 trillion tokens.",
        "GPT-3.5 reached an MMLU of 71.4 in one table and an MMLU of 70.0 in the other.",
        "Phi-3.5-mini has a context of 131,072 tokens, and Phi-3-mini-4k a context of 4096 tokens.",
        "My own model has 5 million parameters.",
    ],
)
def test_what_agrees_or_is_about_something_else_passes(text: str) -> None:
    assert contradictions(text) == []


def test_a_large_number_that_nobody_knows_is_found() -> None:
    assert strangers("3_821_079_552 and 41,873,153,344 and 2026-11-21 and 1e9 and 0.1234567") == []
    assert strangers("parameters = 3_821_079_550") == ["3_821_079_550"]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.relative_to(LESSONS).as_posix())
def test_ours_agree(file: Path) -> None:
    prose, code = sources(file, "markdown"), sources(file, "code")
    assert contradictions(prose) + contradictions(code) + strangers(prose + code) == []
