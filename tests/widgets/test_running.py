"""Stop, interrupts and second questions: one job at a time, ended at once, and nothing left behind."""

import _thread
import threading

import pytest

from utils.errors import BadInput
from utils.widgets import Compare


def begun(comparison, place, soon, line="ask one"):
    comparison.run_button.click()
    assert soon(lambda: line in place.log)


@pytest.fixture
def warm(comparison, place):
    """Both models are loaded and have answered."""
    comparison.run()
    place.log.clear()
    return comparison


def test_stop_waits_for_no_model(warm, place, soon, shown):
    """It reads a long prompt, or a server is silent."""
    place.gate.clear()
    begun(warm, place, soon)
    warm.stop_button.click()
    warm.job.join(1)
    assert not warm.job.is_alive() and "Stopped." in warm.status.value and not warm.run_button.disabled
    one, two = warm.columns
    assert "Stopped." in one.facts.value and "Stopped." in two.facts.value and place.log == ["ask one"]
    place.gate.set()
    assert not soon(lambda: shown(one), within_s=0.3)  # what still comes is not shown
    assert warm.runs[-1]["columns"][0]["text"] == "" and place.open == 2


def test_stop_is_said_at_once(warm, place, soon):
    said = []
    place.gate.clear()
    begun(warm, place, soon)
    warm.status.observe(lambda change: said.append(change["new"]), "value")
    warm.stop_button.click()
    assert "Stopping ..." in said[0]
    place.gate.set()


def test_stop_waits_for_no_loading(comparison, place, soon):
    place.door.clear()
    comparison.run_button.click()
    assert soon(lambda: "Loading" in comparison.columns[0].facts.value)
    comparison.stop_button.click()
    comparison.job.join(1)
    assert not comparison.job.is_alive() and "Stopped." in comparison.columns[0].facts.value
    place.door.set()
    assert soon(lambda: place.open == 1)
    comparison.run()  # what was loaded is used, and warmed up before it counts
    assert place.log == ["open onnx one", "ask one", "ask one", "open onnx two", "ask two", "ask two"]


def test_the_next_question_waits_for_the_stopped_answer(warm, place, soon):
    """Else that would take time from what is measured, and two would use one model."""
    place.gate.clear()
    begun(warm, place, soon)
    warm.stop()
    warm.job.join(1)
    warm._started = float("-inf")
    warm.run_button.click()
    assert soon(lambda: "Waiting until the model is done" in warm.status.value)
    assert place.log == ["ask one"]
    place.gate.set()
    warm.job.join(5)
    assert place.log == ["ask one", "ask one", "ask two"] and "Done." in warm.status.value


def test_waiting_can_be_stopped_too(warm, place, soon):
    place.gate.clear()
    for _ in range(2):
        warm._started = float("-inf")
        warm.run_button.click()
        assert soon(lambda: "ask one" in place.log)
        warm.stop()
        warm.job.join(1)
        assert not warm.job.is_alive()
    assert place.log == ["ask one"]
    place.gate.set()


def test_a_closed_widget_frees_its_models_when_their_answers_end(place, soon):
    comparison = Compare(["onnx/one"], opened=place)
    comparison.run()
    place.gate.clear()
    comparison.run_button.click()
    comparison.close()
    place.gate.set()
    assert soon(lambda: place.open == 0)


def test_run_does_not_start_a_second_job(warm, place, soon):
    place.gate.clear()
    begun(warm, place, soon)
    for asks in (warm.run, lambda: warm.load("none.json")):
        with pytest.raises(BadInput, match="Press Stop, or wait"):
            asks()
    assert place.log == ["ask one"]
    place.gate.set()


def test_an_interrupt_stops_a_run(warm, place, soon, shown):
    place.gate.clear()
    late = threading.Timer(0.3, _thread.interrupt_main)  # a real signal could end more than this test
    late.start()
    with pytest.raises(KeyboardInterrupt):
        warm.run()
        late.join()  # wherever the interrupt comes, it comes here
    place.gate.set()
    assert "Stopped." in warm.status.value and not warm.run_button.disabled
    assert not soon(lambda: any(map(shown, warm.columns)), within_s=0.3)
