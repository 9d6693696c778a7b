"""A blind vote that is fair: nothing tells the names before it, and only whole answers take part."""

import pytest

from utils.errors import NotRunning
from utils.widgets import Compare
from utils.widgets.contest import Vote


@pytest.fixture
def three(place):
    comparison = Compare(["onnx/one", "onnx/two", "onnx/three"], opened=place)
    comparison.ballot.blind.value = True
    yield comparison
    comparison.close()


def offered(comparison):
    return [choice.description for choice in comparison.ballot._choices.children if hasattr(choice, "on_click")]


def named(comparison):
    return sum("on onnx" in column.head.value for column in comparison.columns)


def test_an_answer_that_failed_says_so_and_has_no_vote(three, place):
    place.says["two"] = ["Half", NotRunning("two is not running.")]
    three.run()
    (broken,) = (column for column in three.columns if column.said["model"] == "two")
    letter = "ABC"[three.columns.index(broken)]
    assert "No whole answer." in broken.facts.value and broken.facts.layout.display == ""
    assert "two is not running" not in broken.facts.value
    assert len(offered(three)) == 3 and f"{letter} is best" not in offered(three)
    three.ballot._choices.children[-1].click()
    assert len(three.ballot.votes) == 1 and "onnx/two" not in (three.ballot.votes[0].one, three.ballot.votes[0].other)
    assert "two is not running" in broken.facts.value and named(three) == 3


def test_names_are_text_in_the_ratings(three):
    three.ballot.votes = [Vote("onnx/<b>", "onnx/two", 1.0)]
    three.ballot.show()
    assert "onnx/&lt;b&gt;</td>" in three.ballot._standing.value and "<b>" not in three.ballot._standing.value


def test_without_two_answers_there_is_no_vote(three, place):
    place.says |= {"two": [NotRunning("No.")], "three": [NotRunning("No.")]}
    three.run()
    assert offered(three) == [] and "No vote" in three.ballot._choices.children[0].value and named(three) == 3


def test_after_stop_there_is_no_vote(three, place, soon):
    three.run()
    place.gate.clear()
    three.run_button.click()
    assert soon(lambda: three.job is not None and three._running.busy)
    three.stop()
    three.job.join(2)
    place.gate.set()
    assert offered(three) == []
    assert all(column.route.layout.display == "" and "Stopped." in column.facts.value for column in three.columns)


def test_nothing_tells_the_names_before_the_vote(three):
    three.ballot.blind.value = False
    three.run()
    three.ballot.blind.value = True
    three.run()
    assert three.history.disabled and three.keeping.load.disabled and three.memory_button.disabled
    assert named(three) == 0 and three.chart.value == ""
    three.ballot._choices.children[0].click()
    assert not three.history.disabled and named(three) == 3


def test_whoever_looked_has_no_vote(three):
    three.run()
    three.ballot.blind.value = False
    assert named(three) == 3 and offered(three) == [] and three.ballot.votes == []
    three.ballot.blind.value = True
    assert offered(three) == []


def test_blind_begins_with_a_question(three, place, soon):
    """Whoever ticks it while answers come has seen the names."""
    three.ballot.blind.value = False
    place.gate.clear()
    three.run_button.click()
    assert soon(lambda: "ask one" in place.log)
    three.ballot.blind.value = True
    place.gate.set()
    three.job.join(5)
    assert offered(three) == [] and named(three) == 3
