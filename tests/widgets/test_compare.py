"""The compare widget without a browser: what is asked of whom, what is shown and kept, and what cannot go wrong."""

import datetime
import json
import threading

import pytest

from utils.core import Chunk, Options
from utils.errors import BadInput, NotRunning
from utils.widgets import Compare
from utils.widgets.contest import Vote

PLANTED = '<img src=x onerror="alert(1)">'


class Place:
    """A backend for each place that is opened. `says` maps a model to pieces; `gate` holds all of them back."""

    source = "pocket"

    def __init__(self):
        self.says, self.log, self.open = {}, [], 0
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, route, model, *, mode=None):
        if model == "gone":
            raise NotRunning("It is not running. Start it with: go")
        self.log.append(f"open {route} {model}")
        self.open += 1
        return One(self, route, model or "usual")


class One:
    source = "pocket"

    def __init__(self, place, route, model):
        self.place, self.name, self.model = place, route, model

    def stream(self, messages, options):
        self.place.log.append(f"ask {self.model}")
        self.asked, self.options = messages, options
        pieces = self.place.says.get(self.model, ["An ", "answer"])
        for count, piece in enumerate(pieces, 1):
            assert self.place.gate.wait(10)
            if isinstance(piece, Exception):
                raise piece
            yield Chunk(piece, tokens=count, finish_reason="stop" if count == len(pieces) else None)

    def close(self):
        self.place.open -= 1


@pytest.fixture
def place():
    return Place()


@pytest.fixture
def comparison(place):
    made = Compare(["onnx/one", "onnx/two"], opened=place)
    yield made
    made.close()
    assert place.open == 0


def click(comparison):
    comparison.run_button.click()
    comparison.job.join(10)
    assert not comparison.job.is_alive()


def shown(column):
    return "".join(piece.value for piece in column.view.box.children[1:])


def test_nothing_happens_before_a_click(comparison, place):
    assert place.log == [] and comparison.job is None
    assert str(comparison) == "Compare onnx/one, onnx/two. Run this cell to ask them something."


def test_fair_is_one_after_another(comparison, place):
    click(comparison)
    warm_up = ["ask one", "ask two"]  # so that the first answer is not the slowest
    assert place.log == ["open onnx one", warm_up[0], "ask one", "open onnx two", warm_up[1], "ask two"]
    click_again = comparison.columns[0]
    assert shown(click_again) == "An answer" and "2 tokens" in click_again.facts.value
    assert "POCKET" in click_again.head.value and "one on onnx" in click_again.head.value
    assert "tokens/s after the first" in comparison.chart.value and "onnx/two" in comparison.chart.value
    assert [c["text"] for c in comparison.runs[0]["columns"]] == ["An answer", "An answer"]


def test_together_is_all_at_once(comparison, place):
    comparison.order.value = "together"
    place.gate.clear()
    comparison.run_button.click()
    for _ in range(100):
        if {"ask one", "ask two"} <= set(place.log):
            break
        threading.Event().wait(0.02)
    assert {"ask one", "ask two"} <= set(place.log)
    place.gate.set()
    comparison.job.join(10)
    assert "All at once: no column" in comparison.status.value


def test_a_double_click_asks_once(comparison, place):
    place.gate.clear()
    comparison.run_button.click()
    comparison.run_button.click()
    comparison.start()
    place.gate.set()
    comparison.job.join(10)
    assert place.log.count("ask one") == 2 and len(comparison.runs) == 1  # with the warm-up


def test_stop_keeps_what_is_written_and_asks_no_more(comparison, place):
    place.says["one"] = ["so far", " and", " more"]
    comparison.run()
    place.log.clear()
    place.gate.clear()
    comparison.run_button.click()
    comparison.stop_button.click()
    place.gate.set()
    comparison.job.join(10)
    one, two = comparison.runs[1]["columns"]
    assert one["problem"] == two["problem"] == "Stopped." and one["text"] in ("", "so far") and two["text"] == ""
    assert "ask two" not in place.log and "Stopped." in comparison.status.value
    assert not comparison.run_button.disabled and comparison.stop_button.disabled


def test_a_route_that_fails_says_why_and_the_other_answers(place):
    place.says["two"] = ["Half", NotRunning("It went away. Start it again.")]
    comparison = Compare(["onnx/gone", "onnx/two", "onnx/three"], opened=place)
    comparison.run()
    gone, broken, good = comparison.columns
    assert "Start it with: go" in gone.facts.value and 'role="alert"' in gone.facts.value
    assert shown(broken) == "Half" and "It went away" in broken.facts.value
    assert shown(good) == "An answer" and comparison.runs[0]["columns"][0]["source"] is None
    table = str(comparison)
    assert "It is not running." in table and "An answer" in table
    comparison.close()


def test_what_a_model_says_is_text(comparison, place):
    place.says = {"one": [PLANTED], "two": [f"{PLANTED} too"]}
    comparison.differences.value = True
    click(comparison)
    for column in comparison.columns:
        assert "<img" not in shown(column) and "&lt;img" in shown(column)
    assert "<mark" in shown(comparison.columns[1]) and "too</mark>" in shown(comparison.columns[1])


def test_the_boxes_are_what_is_asked(comparison):
    comparison.asking.examples.value = "With a rule"
    comparison.asking.tokens.value = 7
    comparison.asking.temperature.value = 0.5
    comparison.run()
    backend = comparison.columns[0].backend
    assert backend.asked == [
        {"role": "system", "content": "Start every answer with: Good day."},
        {"role": "user", "content": "What is an SLM?"},
    ]
    assert backend.options == Options(max_tokens=7, temperature=0.5)


def test_a_picture_goes_along(comparison):
    file = {"name": "a.png", "type": "image/png", "size": 3, "content": memoryview(b"png")}
    comparison.asking.pictures.value = ({**file, "last_modified": datetime.datetime.now()},)
    comparison.run()
    content = comparison.columns[0].backend.asked[0]["content"]
    assert content == [{"type": "image", "image": b"png"}, {"type": "text", "text": "What is an SLM?"}]


def test_an_empty_prompt_is_said_and_nothing_is_asked(comparison, place):
    comparison.asking.prompt.value = "  "
    comparison.run_button.click()
    assert "The prompt is empty" in comparison.status.value and place.log == []


def test_picking_another_model_lets_go_of_the_first(comparison, place):
    click(comparison)
    comparison.columns[0].model.value = "three"
    assert place.open == 1
    comparison.run()
    assert "ask three" in place.log and comparison.columns[0].place == "onnx/three"
    comparison.columns[0].precision.value = "int4"
    assert comparison.columns[0].place == "onnx/three:int4"
    comparison.columns[0].model.value = "usual"
    assert comparison.columns[0].place == "onnx/pocket-phi-3-mini:int4"


@pytest.mark.parametrize(
    "name", ["onnx", "onnx/one:int4", "ollama/phi3:mini", "nim/microsoft/phi-4", "llama.cpp/x:q4_0"]
)
def test_a_column_is_what_its_name_says(place, name):
    comparison = Compare([name], opened=place)
    assert comparison.columns[0].place == name
    comparison.close()


def test_one_to_four_columns(comparison):
    for _ in range(5):
        comparison.add()
    assert len(comparison.columns) == 4 and comparison.more.disabled
    for _ in range(5):
        comparison.remove()
    assert len(comparison.columns) == 1 and comparison.fewer.disabled
    for wrong in ([], ["onnx"] * 5, "onnx"):
        with pytest.raises(BadInput, match="a list of one to 4 routes"):
            Compare(wrong)


def test_runs_are_kept_saved_and_taken_up_again(comparison, place, tmp_path):
    comparison.run()
    place.says["one"] = ["Another"]
    comparison.asking.prompt.value = "And now?"
    comparison.run()
    file = tmp_path / "runs.json"
    comparison.keeping.file.value = str(file)
    comparison.keeping.save.click()
    assert "Saved" in comparison.keeping.said.value and json.loads(file.read_text())["machine"]["cores"]
    again = Compare(["llama.cpp"], opened=place)
    again.load(file)
    assert again.runs == comparison.runs and shown(again.columns[0]) == "Another"
    assert [column.place for column in again.columns] == ["onnx/one", "onnx/two"]
    again.history.value = 0
    assert shown(again.columns[0]) == "An answer" and again.asking.prompt.value == "What is an SLM?"
    comparison.keeping.table.click()
    assert len((tmp_path / "runs.csv").read_text(encoding="utf-8").splitlines()) == 5
    assert list(again.table()["text"]) == ["An answer", "An answer", "Another", "An answer"]


@pytest.mark.parametrize("text", ["", "[]", '{"runs": [{}], "votes": []}', '{"runs": [], "votes": [{"one": 1}]}'])
def test_another_file_is_refused_and_nothing_is_lost(comparison, tmp_path, text):
    comparison.run()
    file = tmp_path / "other.json"
    file.write_text(text)
    comparison.keeping.file.value = str(file)
    comparison.keeping.load.click()
    assert "no file that Compare saved" in comparison.keeping.said.value and len(comparison.runs) == 1


def test_a_blind_vote_hides_names_until_it_is_given(comparison):
    comparison.ballot.blind.value = True
    comparison.run()
    first, second = comparison.columns
    assert "on onnx" not in first.head.value and "Answer A" in first.head.value and comparison.chart.value == ""
    assert first.route.layout.display == first.facts.layout.display == "none"
    buttons = comparison.ballot._choices.children
    assert [button.description for button in buttons] == ["A is best", "B is best", "A tie"]
    buttons[1].click()
    assert comparison.ballot.votes == [Vote(first.place, second.place, 0.0)]
    assert "on onnx" in first.head.value and "onnx/two" in comparison.ballot._standing.value
    assert first.route.layout.display == "" and "tokens/s" in comparison.chart.value


def test_a_blind_vote_mixes_the_columns(place):
    """Else the second would soon be known."""
    orders = set()
    for seed in range(8):
        comparison = Compare(["onnx/one", "onnx/two"], opened=place)
        comparison.ballot._dice.seed(seed)
        comparison.ballot.blind.value = True
        comparison.run()
        orders.add(tuple(column.place for column in comparison.columns))
        comparison.close()
    assert orders == {("onnx/one", "onnx/two"), ("onnx/two", "onnx/one")}


RIGHT = {  # words of a right answer, and the model that gives it
    "What is an SLM?": ("pocket-phi-3-mini", "small language model"),
    "A question about the hut": ("pocket-phi-3-mini", "9 euros"),
    "A sum": ("pocket-phi-3-mini", "= 85"),
    "A bill": ("pocket-phi-3-mini", "28 euros"),
    "Spelling": ("pocket-phi-3-mini", "The weather is very cold today."),
    "Sentiment": ("pocket-phi-3-mini", "positive"),
    "A story": ("pocket-phi-3-mini", "Maria made a little garden"),
    "Something it cannot know": ("pocket-phi-3-mini", "I do not know that."),
    "A refusal": ("pocket-phi-3-mini", "ask a doctor"),
    "Chinese: breakfast": ("pocket-phi-3.5-mini", "6:30到8:00"),
    "Chinese: what is a small language model?": ("pocket-phi-3.5-mini", "小型语言模型"),
    "Into Chinese": ("pocket-phi-3.5-mini", "厨房在哪里"),
    "With a rule": ("pocket-phi-3-mini", "Good day."),
}


def test_every_example_is_answered_well_by_one_of_the_pocket_models():
    comparison = Compare(["onnx/pocket-phi-3-mini", "onnx/pocket-phi-3.5-mini"], mode="offline")
    examples = [name for name in comparison.asking.examples.options if name]
    assert set(examples) == set(RIGHT)
    for name in examples:
        comparison.asking.examples.value = name
        comparison.run()
        model, words = RIGHT[name]
        (text,) = (one["text"] for one in comparison.runs[-1]["columns"] if one["model"] == model)
        assert words in text, (name, text)
    comparison.close()
