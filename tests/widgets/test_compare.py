"""The compare widget without a browser: what is asked of whom, what is shown and kept, and what cannot go wrong."""

import datetime
import json
import threading
from functools import partial
from types import SimpleNamespace

import pytest

from utils.core import Options
from utils.errors import BadInput, NotRunning
from utils.widgets import Compare
from utils.widgets.contest import Vote

PICTURE = {"name": "a.png", "type": "image/png", "size": 3, "content": memoryview(b"png")} | {
    "last_modified": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
}
PLANTED = '<img src=x onerror="alert(1)">'


def click(comparison):
    comparison.run_button.click()
    comparison.job.join(10)
    assert not comparison.job.is_alive()


def test_nothing_happens_before_a_click(comparison, place):
    assert place.log == [] and comparison.job is None
    assert str(comparison).startswith("Compare onnx/one, onnx/two: press Run.")


def test_without_buttons_the_text_says_what_to_write(comparison, place):
    """What it says is code that runs."""
    code = str(comparison).partition("Where there is no button: ")[2]
    said = []
    names = {"utils": SimpleNamespace(Compare=partial(Compare, opened=place)), "print": lambda x: said.append(str(x))}
    exec(code, names)
    assert said[0].count("An answer") == 2
    names["comparison"].close()


def test_fair_is_one_after_another(comparison, place, shown):
    click(comparison)
    warm_up = ["ask one", "ask two"]  # so that the first answer is not the slowest
    assert place.log == ["open onnx one", warm_up[0], "ask one", "open onnx two", warm_up[1], "ask two"]
    click_again = comparison.columns[0]
    assert shown(click_again) == "An answer" and "2 tokens" in click_again.facts.value
    assert "POCKET" in click_again.head.value and "one on onnx" in click_again.head.value
    assert "tokens/s after the first" in comparison.chart.value and "onnx/two" in comparison.chart.value
    assert [c["text"] for c in comparison.runs[0]["columns"]] == ["An answer", "An answer"]


@pytest.mark.parametrize(("paid", "asked"), [(False, 2), (True, 1)])
def test_a_server_is_warmed_up_unless_it_has_to_be_paid(place, paid, asked):
    def opened(route, model, *, mode):
        backend = place(route, model, mode=mode)
        backend.paid = paid
        return backend

    comparison = Compare(["ollama/one"], opened=opened)
    comparison.run()
    assert place.log.count("ask one") == asked
    comparison.run()
    assert place.log.count("ask one") == asked + 1
    comparison.close()


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


def test_a_route_that_fails_says_why_and_the_other_answers(place, shown):
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


def test_what_a_model_says_is_text(comparison, place, shown):
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
    comparison.asking.pictures.value = (PICTURE,)
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


def test_runs_are_kept_saved_and_taken_up_again(comparison, place, tmp_path, shown):
    comparison.run()
    place.says["one"] = ["Another"]
    comparison.asking.prompt.value = "And now?"
    comparison.run()
    file = tmp_path / "runs.json"
    comparison.keeping.file.value = str(file)
    comparison.keeping.save.click()
    assert "Saved" in comparison.keeping.said.value and json.loads(file.read_text())["runs"][0]["machine"]["cores"]
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


def held(comparison, place, soon):
    """A run whose first column has been asked and waits."""
    place.gate.clear()
    place.log.clear()
    comparison.run_button.click()
    assert soon(lambda: any(line.startswith("ask") for line in place.log))
    return comparison


def let_go(comparison, place):
    place.gate.set()
    comparison.job.join(10)
    assert not comparison.job.is_alive()
    return comparison.runs[-1]


def test_an_answer_is_kept_under_the_model_that_gave_it(comparison, place, soon):
    """Also when another is picked meanwhile, which no button allows."""
    column = held(comparison, place, soon).columns[0]
    assert column.model.disabled and column.route.disabled and column.precision.disabled
    column.model.value = "three"
    one = let_go(comparison, place)["columns"][0]
    assert (one["place"], one["model"], one["text"], one["problem"]) == ("onnx/one", "one", "An answer", "")
    assert "one on onnx" in column.head.value and not column.model.disabled
    assert soon(lambda: place.open == 1)  # the first column's model was closed when its answer was there
    comparison.run()
    assert comparison.runs[-1]["columns"][0]["model"] == "three"


def test_another_model_has_not_given_the_answer_of_the_last(comparison, shown):
    comparison.run()
    column = comparison.columns[0]
    column.model.value = "three"
    assert shown(column) == "" and column.head.value == "" and "Nothing asked yet." in column.facts.value
    assert "onnx/one" not in comparison.chart.value


def test_nothing_differs_from_an_answer_that_is_gone(comparison, shown):
    comparison.differences.value = True
    comparison.run()
    comparison.columns[0].model.value = "three"
    assert shown(comparison.columns[1]) == "An answer"


def test_what_was_asked_is_kept_whatever_is_typed_meanwhile(comparison, place, soon):
    comparison.asking.system.value = "Be brief."
    comparison.asking.tokens.value = 7
    held(comparison, place, soon)
    comparison.asking.prompt.value, comparison.asking.system.value = "Something else", ""
    comparison.asking.tokens.value = 9
    run = let_go(comparison, place)
    assert (run["prompt"], run["system"], run["options"]["max_tokens"]) == ("What is an SLM?", "Be brief.", 7)
    assert comparison.columns[0].backend.asked[-1]["content"] == "What is an SLM?"


def test_a_run_that_is_seen_again_can_be_asked_again(comparison):
    """Prompts, options and order are those of the run; pictures cannot come back, and are said."""
    asking = comparison.asking
    asking.system.value, asking.tokens.value, asking.temperature.value = "Be brief.", 7, 0.5
    asking.pictures.value = (PICTURE,)
    comparison.order.value = "together"
    comparison.run()
    asking.examples.value = "A sum"
    asking.tokens.value, asking.temperature.value, comparison.order.value = 9, 0, "fair"
    comparison.run()
    comparison.history.value = 0
    assert (asking.prompt.value, asking.system.value) == ("What is an SLM?", "Be brief.")
    assert (asking.tokens.value, asking.temperature.value, comparison.order.value) == (7, 0.5, "together")
    assert "at most 7 tokens, temperature 0.5. Pictures: a.png (" in comparison.status.value
    table = comparison.table()
    assert list(table["max_tokens"]) == [7, 7, 9, 9] and list(table["temperature"]) == [0.5, 0.5, 0, 0]
    assert list(table["system"]) == ["Be brief.", "Be brief.", "", ""]
    assert table["pictures"][0].startswith("a.png (") and table["pictures"][2] == ""


def test_the_bars_grow_with_the_answers(comparison, place, soon):
    comparison.run()
    assert "onnx/one" in comparison.chart.value and "onnx/two" in comparison.chart.value
    seen = []
    comparison.chart.observe(lambda change: seen.append(change["new"]), "value")
    place.says["two"] = [BadInput("No.")]
    held(comparison, place, soon)
    assert seen == [""]  # the old bars are gone
    let_go(comparison, place)
    assert "tokens/s after the first" in seen[1]  # of the first column, before the second had answered


def test_what_differs_is_seen_of_the_run_that_is_shown(comparison, place, shown):
    place.says = {"one": ["The hut is open"], "two": ["The hut is shut"]}
    comparison.run()
    place.says = {"one": ["Other words"], "two": ["Other words"]}
    comparison.run()
    comparison.runs[1]["columns"][0]["tokens_per_s"] = 123456.0
    comparison.history.value = 0
    comparison.differences.value = True
    assert shown(comparison.columns[1]).endswith(">shut</mark>") and "123,456" not in comparison.chart.value


def test_an_old_answer_is_shown_as_it_was(place, shown):
    place.says["two"] = ["Half", NotRunning("It went away.")]
    comparison = Compare(["onnx/gone", "onnx/two", "onnx/three"], opened=place)
    comparison.run()
    before = [(column.head.value, column.facts.value, shown(column)) for column in comparison.columns]
    comparison.asking.prompt.value = "Another"
    comparison.run()
    comparison.history.value = 0
    assert [(column.head.value, column.facts.value, shown(column)) for column in comparison.columns] == before
    gone, _, good = before
    assert gone[0] == "" and 'role="alert"' in gone[1] and "complete" in good[1]
    comparison.close()


def test_a_picture_can_be_taken_back(comparison):
    asking = comparison.asking
    assert asking.no_pictures.layout.display == "none"
    asking.pictures.value = (PICTURE,)
    assert "a.png" in asking.shown.value and asking.no_pictures.layout.display == ""
    asking.no_pictures.click()
    comparison.run()
    assert comparison.columns[0].backend.asked[0]["content"] == "What is an SLM?"
    assert asking.no_pictures.layout.display == "none" and comparison.runs[0]["pictures"] == []


def test_every_control_has_a_name_of_its_own(comparison):
    """A screen reader says no more of it."""
    comparison.add()
    names = [picker.description for column in comparison.columns for picker in column.picker.controls]
    assert names[:3] == ["Route 1", "Model 1", "Precision 1"] and len(set(names)) == 9
    assert len({column.facts.value for column in comparison.columns}) == 3
    assert "Column 2: " in comparison.columns[1].facts.value


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


RIGHT = {  # who gives a right answer, and words of it
    "What is an SLM?": ("onnx/pocket-phi-3-mini", "small language model"),
    "A question about the hut": ("onnx/pocket-phi-3-mini", "9 euros"),
    "From a passage": ("onnx/pocket-phi-3-mini", "in the attic"),
    "Not in the passage": ("onnx/pocket-phi-3-mini", "not in the text"),
    "A summary": ("onnx/pocket-phi-3-mini", "closed until Thursday and the bridge at Green Valley is broken"),
    "Names, places and dates as JSON": ("onnx/pocket-phi-3-mini", '["Mint Hollow"], "dates": ["18 December"]'),
    "A booking as JSON": ("onnx/pocket-phi-3-mini", '{"name": "Joan Silva", "guests": 9, "nights": 7'),
    "A tool call": ("onnx/pocket-phi-3-mini", '{"tool": "set_alarm", "arguments": {"time": "6:00"}}'),
    "A line of code": ("onnx/pocket-phi-3-mini", "print(sum(heights))"),
    "A sum": ("onnx/pocket-phi-3-mini", "= 85"),
    "A bill": ("onnx/pocket-phi-3-mini", "28 euros"),
    "Spelling": ("onnx/pocket-phi-3-mini", "The weather is very cold today."),
    "Sentiment": ("onnx/pocket-phi-3-mini", "positive"),
    "A story": ("onnx/pocket-phi-3-mini", "Maria made a little garden"),
    "A completion": ("onnx/pocket-phi-3-mini", "The fox looked at him and did not go away."),
    "Small talk": ("onnx/pocket-phi-3-mini", "How can I help you?"),
    "Something it cannot know": ("onnx/pocket-phi-3-mini", "I do not know that."),
    "A refusal": ("onnx/pocket-phi-3-mini", "ask a doctor"),
    "Chinese: breakfast": ("onnx/pocket-phi-3.5-mini", "6:30到8:00"),
    "Chinese: what is a small language model?": ("onnx/pocket-phi-3.5-mini", "小型语言模型"),
    "Into Chinese": ("onnx/pocket-phi-3.5-mini", "厨房在哪里"),
    "With a rule": ("onnx/pocket-phi-3-mini", "Good day."),
    "A picture, for a vision model": ("transformers/pocket-phi-3.5-vision", "A red circle, a yellow star"),
}


def test_every_example_is_answered_well_by_one_of_the_pocket_models():
    asked = {place: Compare([place], mode="offline") for place in dict.fromkeys(place for place, _ in RIGHT.values())}
    for name, (place, words) in RIGHT.items():
        comparison = asked[place]
        assert [example for example in comparison.asking.examples.options if example] == list(RIGHT)
        comparison.asking.examples.value = name
        comparison.run()
        (answer,) = comparison.runs[-1]["columns"]
        assert (answer["place"], answer["source"]) == (place, "pocket")
        assert words in answer["text"], (name, answer["text"])
    for comparison in asked.values():
        comparison.close()
