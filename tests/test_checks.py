"""The checks: stubs are told what to do, right answers pass, wrong ones get the right words, and nothing crashes."""

import json
import math
import re
from pathlib import Path

import pytest
from azure.ai.inference.models import AssistantMessage, SystemMessage, UserMessage

from utils import progress
from utils.checks import Verdict, check, exercise, find, reset
from utils.core import Completion
from utils.exercises.cloud import CONVERSATION
from utils.exercises.family import PROMPT

LESSONS = Path(__file__).parent.parent / "lessons"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLM_CACHE", str(tmp_path / "cache"))


def said(text, tokens=5, finish_reason="length"):
    """An answer as `complete` returns it."""
    return Completion("test", "test-model", "pocket", text, (0.1,), tokens, 9, finish_reason)


TALK = [{"role": role, "content": text} for role, text in CONVERSATION]
AZURE = {"system": SystemMessage, "user": UserMessage, "assistant": AssistantMessage}
STATUS = {400: "mend", 401: "mend", 404: "mend", 410: "move", 429: "wait", 503: "wait"}
RIGHT = {
    "start.forty_two": [said("17 + 25 = 42."), said("42"), said("The total is 42 francs, not 43.")],
    "start.five_tokens": [said("A small model is a"), said("", tokens=5)],
    "language.surprise": [1.75, 7 / 4],
    "language.memory": [1.9105, 1.91],
    "learning.unique": [
        ["The soup was great!", "Cold beds.", "A lovely view."],
        ("The soup was great!", "Cold beds.", "A lovely view."),
    ],
    "learning.untrained": [math.log(5120), 8.54],
    "learning.work": [7.5657e22, 7.6e22],
    "choosing.month": [13.5],
    "choosing.claims": [
        ["unknown", "wrong", "unknown", "wrong", "right"],
        ("Unknown", "Wrong ", "UNKNOWN", "wrong", "right"),
        dict(zip("abcde", ["unknown", "wrong", "unknown", "wrong", "right"], strict=True)),
    ],
    "family.attention": [37_748_736, 37.7e6],
    "family.template": [PROMPT],
    "family.cache": [51.54, 48.0, 51.5],
    "cloud.conversation": [
        TALK,
        [AZURE[role](content=text) for role, text in CONVERSATION],
    ],
    "cloud.tokens": [4700, 4700.0],
    "cloud.statuses": [
        STATUS,
        {"400": "Mend", "401": "mend ", "404": "MEND", "410": "move", "429": "wait", "503": "wait", "500": "wait"},
    ],
}
WRONG = {
    "start.forty_two": [
        (said("17 + 25 = 41."), "41 and not 42"),
        (said("It is 142."), "142 and not 42"),
        (said("Breakfast is at seven."), "without any number"),
        (said("  "), "is empty"),
        ("42", "only text"),
        (42, "of type int"),
        (print, "not called"),
    ],
    "start.five_tokens": [
        (said("A long answer.", tokens=23, finish_reason="stop"), "by itself, after 23 tokens"),
        (said("A", tokens=1), "after 1 tokens, not after 5"),
        (said("A small model is a lang", tokens=6), "after 6 tokens, not after 5"),
        (said("A small model is a", tokens=None), "does not count tokens"),
        ("A small model is a", "only text"),
        (5, "of type int"),
    ],
    "language.surprise": [
        (-1.75, "turn the sign around"),
        (7, "of all four tokens together"),
        (1.213, "natural logarithm"),
        (3.36, "This is the perplexity"),
        (0.34375, "the mean of the probabilities"),
        (1.5406, "the logarithm of the mean"),
        (0.3, "0.3 bits is not it"),
        ("1.75", "expects a number, and this is of type str"),
    ],
    "language.memory": [
        (15.28, "These are gigabits"),
        (1_910_539_776, "These are bytes"),
        (7.64, "with 16 bits for each weight"),
        (3.82, "with 8 bits"),
        (1.779, "in GiB"),
        (3, "3 GB is not it"),
        (True, "of type bool"),
    ],
    "learning.unique": [
        ({"The soup was great!", "Cold beds.", "A lovely view."}, "A set has no order"),
        (["The soup was great!", "the soup was great! ", "Cold beds.", "A lovely view."], "still say the same"),
        (["the soup was great!", "cold beds.", "a lovely view."], "is none of the entries"),
        (["A lovely view.", "Cold beds.", "The soup was great!"], "in another order"),
        (["The  soup was great!", "Cold beds.", "A lovely view."], "keep the first"),
        (["The soup was great!", "Cold beds."], "2 entries are left"),
        ("The soup was great!", "of type str"),
    ],
    "learning.untrained": [
        (12.32, "This is in bits"),
        (-8.54, "turn the sign around"),
        (3.709, "base 10"),
        (1 / 5120, "not yet a loss"),
        (7.5, "7.5 nats is not it"),
        (None, "of type NoneType"),
    ],
    "learning.work": [
        (2.522e22, "reading only"),
        (1.261e22, "one operation for each"),
        (7.566e19, "factor of a thousand"),
        (6 * 3_821_079_552, "Both count"),
        (1e22, "1e+22 operations is not it"),
        ("7.6e22", "of type str"),
    ],
    "choosing.month": [
        (0.45, "for one day"),
        (6, "what the model reads"),
        (7.5, "what the model writes"),
        (31.5, "have changed places"),
        (13_500_000, "for a million tokens"),
        (20, "20 dollars is not it"),
        (["13.5"], "of type list"),
    ],
    "choosing.claims": [
        (["wrong", "wrong", "unknown", "wrong", "right"], "Claim 1 is not 'wrong'. OpenAI has never published"),
        (["unknown", "right", "unknown", "wrong", "right"], "Claim 2 is not 'right'. Some are"),
        (["unknown", "wrong", "right", "wrong", "right"], "Claim 3 is not 'right'. Nobody has shown"),
        (["unknown", "wrong", "unknown", "unknown", "right"], "Claim 4 is not 'unknown'. They are decoder-only"),
        (["unknown", "wrong", "unknown", "wrong", "wrong"], "Claim 5 is not 'wrong'. In TriviaQA"),
        (["unknown", "wrong"], "There are 5 claims, and this list has 2 words"),
        (["maybe"] * 5, "'maybe' is none of"),
        ("unknown", "of type str"),
    ],
    "family.attention": [
        (28_311_552, "Missing is the matrix"),
        (9_437_184, "one matrix"),
        (1_207_959_552, "of all layers"),
        (1_179_648, "what one head has"),
        (75_497_472, "the layer's MLP"),
        (12_288, "3,072 rows of 3,072"),
        (37.75, "These are millions"),
        (5, "5 is not it"),
        ("37748736", "of type str"),
    ],
    "family.template": [
        (PROMPT.replace("<|assistant|>\n", ""), "ends before the answer can begin"),
        (PROMPT.replace("warden.<|end|>", "warden."), "Each turn ends with"),
        (PROMPT.replace("\n", ""), "writes a new line after each role"),
        (PROMPT.partition("<|end|>\n")[2], "The system prompt is missing"),
        ("When is breakfast?", "The special tokens are missing"),
        (PROMPT.replace("warden", "cook"), "up to 'You are the ', and then"),
        ("[INST] When is breakfast? [/INST]", "another family's"),
        ([{"role": "user", "content": "When is breakfast?"}], "a list of messages"),
        (3, "of type int"),
    ],
    "family.cache": [
        (25.77, "half of it"),
        (12.88, "32 KV heads, not 8"),
        (1.61, "of one layer, or of 4,096 tokens"),
        (50.33, "A KiB has 1,024 bytes"),
        (51_539_607_552, "These are bytes"),
        (7, "7 GB is not it"),
        (None, "of type NoneType"),
    ],
    "cloud.conversation": [
        ("And dinner?", "of type str"),
        (["And dinner?"], "has a role and a content"),
        ([{"role": "bot", "content": "Hi"}], "no role 'bot'"),
        (TALK[1:], "The system prompt is missing"),
        ([*TALK[1:], TALK[0]], "comes first"),
        ([TALK[0], TALK[1], TALK[3]], "own answer is missing"),
        (TALK[:3], "the guest's"),
        ([TALK[0], TALK[1], TALK[2], TALK[2], TALK[3]], "here are 5"),
        ([TALK[0], TALK[2], TALK[1], TALK[3]], "Message 2 is by the user, not by the assistant"),
        ([*TALK[:3], {"role": "user", "content": "And lunch?"}], "Message 4 should say 'And dinner?'"),
    ],
    "cloud.tokens": [
        (200, "the questions alone"),
        (1000, "the whole chat"),
        (4500, "own question is missing"),
        (5500, "written, not read"),
        (800, "that are written"),
        (920, "the last request alone"),
        (4800, "is not it"),
        ("4700", "of type str"),
    ],
    "cloud.statuses": [
        ("mend", "of type str"),
        ({400: "mend"}, "There is no word for 401"),
        (STATUS | {410: "repair"}, "'repair' is none of"),
        (STATUS | {429: "mend"}, "429 is not 'mend'. Nothing is wrong with the request"),
        (STATUS | {410: "wait"}, "gone for good"),
        (STATUS | {503: "mend"}, "too busy"),
    ],
}


@pytest.mark.parametrize(("one", "answer"), [(one, answer) for one, answers in RIGHT.items() for answer in answers])
def test_a_right_answer_passes_and_is_remembered(one, answer):
    verdict = check(one, answer)
    assert verdict and verdict.status == "passed" and verdict.hint == ""
    assert progress.load(one)["passed"] is True


@pytest.mark.parametrize(
    ("one", "answer", "words"), [(one, answer, words) for one, pairs in WRONG.items() for answer, words in pairs]
)
def test_a_wrong_answer_hears_what_is_off_and_the_first_hint(one, answer, words):
    verdict = check(one, answer)
    assert not verdict and verdict.status == "not yet"
    assert words in verdict.message and verdict.hint.startswith("Hint 1 of 3: ")


@pytest.mark.parametrize("one", WRONG)
def test_hints_come_one_by_one_and_the_last_stays(one):
    hints = [check(one, 3).hint for _ in range(4)]
    told = find(one).hints
    assert hints == [f"Hint {n} of 3: {told[n - 1]}" for n in (1, 2, 3, 3)]


@pytest.mark.parametrize("one", WRONG)
def test_a_right_answer_starts_the_hints_over(one):
    check(one, 3), check(one, 3), check(one, RIGHT[one][0])
    assert check(one, 3).hint.startswith("Hint 1")
    assert progress.load(one)["passed"] is True  # passed once is passed


@pytest.mark.parametrize("one", RIGHT)
@pytest.mark.parametrize("stub", [..., [...], (1, ...)])
def test_an_untouched_stub_is_told_what_to_do_and_costs_no_try(one, stub):
    verdict = check(one, stub)
    assert not verdict and verdict.status == "to do" and "where the ... stands" in verdict.message
    assert progress.load(one) == {}


class Hostile:
    """An answer that fails at whatever is done with it."""

    @property
    def __class__(self):
        raise RuntimeError("no")

    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = None


@pytest.mark.parametrize("one", RIGHT)
@pytest.mark.parametrize("answer", [None, 0, float("nan"), b"42", [], {}, {"text": "42"}, object, "\ud800"])
def test_no_answer_whatever_makes_a_check_raise(one, answer):
    assert check(one, answer).status == "not yet"


@pytest.mark.parametrize("one", RIGHT)
def test_an_answer_that_fails_at_every_touch_is_not_what_was_asked_for(one):
    assert "could not be read (RuntimeError)" in check(one, Hostile()).message


@pytest.mark.parametrize("text", [None, 42, ["42"]])
def test_a_completion_with_something_else_for_text_does_not_raise(text):
    assert check("start.forty_two", said(text)).status == "not yet"


@pytest.mark.parametrize("unknown", ["start.nothing", "nowhere.x", "start", "", "os.path", "../x.y", None, 3])
def test_an_exercise_that_does_not_exist_is_named(unknown):
    with pytest.raises(LookupError, match="no exercise called"):
        check(unknown, 42)


def test_what_a_verdict_shows_is_text():
    planted = '<img src=x onerror="alert(1)">'
    html = Verdict("a.b", "not yet", planted, planted)._repr_html_()
    assert "<img" not in html and html.count("&lt;img") == 2
    assert repr(Verdict("a.b", "passed", "Yes.")) == "✓ a.b: passed. Yes."


def test_reset_forgets_one_topic_and_no_other():
    check("start.forty_two", 1)
    progress.save("startle.other", {"passed": True})
    assert reset("start") == "1 saved result forgotten."
    assert progress.keys() == ["startle.other"]
    assert reset() == "1 saved result forgotten." and progress.keys() == []


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"tries": "many"}', '{"tries": -4}', '{"tries": null}'])
def test_damaged_progress_counts_as_none(damaged):
    progress.save("start.forty_two", {})
    (progress.folder() / "start.forty_two.json").write_text(damaged)
    assert check("start.forty_two", 1).hint.startswith("Hint 1")


def test_a_disk_that_cannot_be_written_does_not_stop_the_lesson(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SLM_CACHE", str(tmp_path / "file" / "below"))
    assert progress.save("a.b", {}) is False
    assert check("start.forty_two", RIGHT["start.forty_two"][0])


def test_a_save_that_fails_half_way_leaves_the_old_record_and_no_litter(monkeypatch):
    progress.save("a.b", {"tries": 1})

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dump", full)
    assert progress.save("a.b", {"tries": 2}) is False
    assert progress.load("a.b") == {"tries": 1}
    assert [path.name for path in progress.folder().iterdir()] == ["a.b.json"]


@pytest.mark.parametrize("key", ["../a", "a/b", "A.b", "", ".", "a..b", "a\x00"])
def test_a_key_is_a_plain_file_name(key):
    with pytest.raises(ValueError, match="not a key"):
        progress.save(key, {})


@pytest.mark.parametrize(("one", "hints"), [("nodot", ("x",)), ("a.b", ()), ("a.b", ("1", "2", "3", "4"))])
def test_an_exercise_of_the_wrong_form_is_refused(one, hints):
    with pytest.raises(ValueError, match="one to three hints"):
        exercise(one, praise="", hints=hints)


def checked_in(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return re.findall(r'\bcheck\("([a-z0-9_.]+)"', code)


@pytest.mark.parametrize("notebook", sorted(LESSONS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_lesson_has_exercises_and_every_exercise_is_tested_here(notebook):
    exercises = checked_in(notebook)
    assert len(exercises) >= 2
    for one in exercises:
        assert find(one).id == one
        assert RIGHT[one] and len(WRONG[one]) >= 3


def cells_of(notebook):
    """The notebook's cells as (id, kind, tags, source, what it shows), with no source where a learner fills it in. In a
    solution what is no notebook lies one folder up."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"]).replace("](../", "](")
        fills_in = cell["cell_type"] == "code" and "check(" in source
        shown = ["".join(output.get("data", {}).get("text/plain", "")) for output in cell.get("outputs", [])]
        yield cell["id"], cell["cell_type"], cell["metadata"].get("tags"), None if fills_in else source, shown


@pytest.mark.parametrize("notebook", sorted(LESSONS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_solution_is_its_lesson_with_the_exercises_solved(notebook):
    lesson, solution = list(cells_of(notebook)), list(cells_of(LESSONS / "solutions" / notebook.name))
    assert [cell[:4] for cell in lesson] == [cell[:4] for cell in solution]
    for stub, solved in zip(lesson, solution, strict=True):
        if stub[3] is None:
            assert ": to do. " in stub[4][-1], f"{stub[0]} is no untouched stub"
            assert ": passed. " in solved[4][-1], f"{stub[0]} is not solved"


def test_every_solution_has_a_lesson():
    names = {path.name for path in LESSONS.glob("*.ipynb")}
    assert names and {path.name for path in (LESSONS / "solutions").glob("*.ipynb")} == names
