"""The chat widget without a browser: what a click does, what it shows, and what cannot go wrong."""

import pytest

from utils.core import BackendError, Options
from utils.widgets import Chat

PLANTED = '<img src=x onerror="alert(1)">'


class Clock:
    def __init__(self, step=0.0):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


def ask(chat, prompt="Hello?"):
    chat.prompt.value = prompt
    chat.send_button.click()
    assert chat.job is not None
    chat.job.join(10)
    assert not chat.job.is_alive()
    return chat


def parts(box):
    """Everything in a box, and in the boxes within."""
    for part in getattr(box, "children", ()):
        yield part
        yield from parts(part)


def conversation(backend, *questions, **settings):
    clock = Clock()
    chat = Chat(backend, clock=clock, **settings)
    for question in questions:
        clock.now += 60
        ask(chat, question)
    return chat


def test_nothing_starts_before_a_click(scripted):
    backend = scripted(["Hi"])
    chat = Chat(backend, prompt="Hello?")
    chat.prompt.value = "Another"
    assert backend.calls == [] and chat.job is None


def test_the_answer_arrives_with_its_prompt_and_options(scripted, shown):
    backend = scripted(["One ", "two"])
    chat = ask(Chat(backend, Options(max_tokens=7)), "Count")
    assert backend.calls == [([{"role": "user", "content": "Count"}], Options(max_tokens=7))]
    assert chat.answer == "One two" == shown(chat)
    assert "Done: 2 tokens." in chat.status.value


def test_the_badge_says_who_answers(scripted):
    chat = Chat(scripted([]))
    head = chat.box.children[0].value
    assert "POCKET" in head and "test-model" in head
    assert str(chat) == "Chat with test-model on scripted (POCKET). Run this cell to ask it something."


def test_enter_sends(scripted):
    backend = scripted(["Hi"])
    chat = Chat(backend, prompt="Hello?")
    chat.prompt._handle_custom_msg({"event": "submit"}, [])
    chat.job.join(10)
    assert len(backend.calls) == 1


def test_a_double_click_asks_once_even_when_the_first_answer_is_already_there(scripted):
    backend = scripted(["Hi"])
    clock = Clock()
    chat = ask(Chat(backend, clock=clock))
    chat.send_button.click()
    assert len(backend.calls) == 1
    clock.now += 1
    ask(chat)
    assert len(backend.calls) == 2


def test_a_click_while_it_answers_changes_nothing(scripted):
    backend = scripted(["Hi"])
    backend.gate.clear()
    clock = Clock()
    chat = Chat(backend, prompt="Hello?", clock=clock)
    chat.send_button.click()
    clock.now += 60
    job = chat.job
    chat.send_button.click()
    assert chat.send_button.disabled and not chat.stop_button.disabled and chat.job is job
    backend.gate.set()
    job.join(10)
    assert len(backend.calls) == 1 and not chat.send_button.disabled and chat.stop_button.disabled


def test_stop_keeps_what_is_written_and_frees_the_stream(scripted):
    backend = scripted(["One ", "two ", "three"])
    backend.gate.clear()
    chat = Chat(backend, prompt="Count")
    chat.send_button.click()
    chat.stop_button.click()
    backend.gate.set()
    chat.job.join(10)
    assert chat.answer == "One " and "Stopped." in chat.status.value and backend.open_streams == 0


def test_an_empty_prompt_is_answered_in_words(scripted):
    backend = scripted(["Hi"])
    chat = Chat(backend, prompt="   ")
    chat.send_button.click()
    assert backend.calls == [] and "Write a question first." in chat.status.value


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (BackendError("Ollama is not running. Start it with: ollama serve"), "Start it with: ollama serve"),
        (RuntimeError("secret detail"), "unexpected RuntimeError"),
    ],
)
def test_an_error_is_said_in_words_and_the_widget_goes_on(scripted, raised, said, shown):
    backend = scripted(["Half ", raised])
    clock = Clock()
    chat = ask(Chat(backend, clock=clock))
    assert said in chat.status.value and "secret detail" not in chat.status.value
    assert "Half " in shown(chat) and not chat.send_button.disabled
    backend.pieces, clock.now = ["Whole"], 60
    assert ask(chat).answer == "Whole"


@pytest.mark.parametrize("wild", [PLANTED, "</pre><script>1</script>", "a\x00b", "\ud800 alone", "שלום & <b>"])
def test_model_text_is_never_markup(scripted, wild, shown):
    chat = ask(Chat(scripted([wild])))
    assert chat.answer == wild
    assert "<" not in shown(chat) and ">" not in shown(chat)
    shown(chat).encode("utf-8")  # the browser's connection carries it
    chat.prompt.value, chat._started = wild if wild.isprintable() else "x", float("-inf")
    chat.send()
    chat.job.join(10)
    told = "".join(part.value for part in parts(chat._before) if hasattr(part, "value"))
    assert "<script" not in told and "<img" not in told and told.count("<pre") == 1


def test_redraws_are_at_most_twenty_a_second(scripted, shown):
    chat = Chat(scripted(["x"] * 2000), clock=Clock(step=0.0005))  # 2,000 pieces, a clock reading or so for each
    drawn, flush = [], chat.view.flush
    chat.view.flush = lambda: (drawn.append(1), flush())
    ask(chat)
    assert chat.answer == shown(chat) == "x" * 2000
    assert 2 < len(drawn) <= 20 * chat._clock.now + 2


def test_closing_stops_the_answer_and_leaves_the_backend(scripted):
    backend = scripted(["One ", "two"])
    backend.gate.clear()
    chat = Chat(backend, prompt="Count")
    chat.send_button.click()
    chat.close()
    backend.gate.set()
    chat.job.join(10)
    assert chat.answer == "One "


def test_a_notebook_sees_the_widget_and_its_text(scripted):
    chat = Chat(scripted([]))
    bundle = chat._repr_mimebundle_()
    assert bundle["text/plain"] == str(chat)
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == chat.box.model_id


def test_an_answer_without_an_end_is_called_incomplete(scripted, shown):
    chat = Chat(scripted(["Half an"], reason=None))
    chat.prompt.value = "Hello"
    chat.send_button.click()
    chat.job.join(10)
    assert "incomplete" in chat.status.value and "Half an" in shown(chat)


def test_the_model_reads_what_was_said_before(scripted):
    backend = scripted(["Yes"])
    chat = conversation(backend, "One?", "Two?")
    assert [m["content"] for m in backend.calls[1][0]] == ["One?", "Yes", "Two?"]
    assert chat.turns == [("One?", "Yes", True)]
    chat.remember.value = False
    chat._clock.now += 60
    ask(chat, "Three?")
    assert [m["content"] for m in backend.calls[2][0]] == ["Three?"]


def test_retry_asks_the_last_question_again_with_other_dice(scripted):
    backend = scripted(["Yes"])
    chat = conversation(backend, "One?", "Two?")
    chat.retry_button.click()
    chat.job.join(10)
    assert [m["content"] for m in backend.calls[2][0]] == ["One?", "Yes", "Two?"]
    assert backend.calls[2][1].seed == backend.calls[1][1].seed + 1 and chat.turns == [("One?", "Yes", True)]


def test_a_question_can_be_changed(scripted):
    backend = scripted(["Yes"])
    chat = conversation(backend, "One?", "Two?", "Three?")
    buttons = [part for part in parts(chat._before) if getattr(part, "description", "") == "Edit"]
    buttons[1].click()
    assert chat.prompt.value == "Two?" and chat.turns == [("One?", "Yes", True)] and chat.answer == ""
    chat._clock.now += 60
    ask(chat, "Two, then?")
    assert [m["content"] for m in backend.calls[3][0]] == ["One?", "Yes", "Two, then?"]


def test_clear_begins_anew(scripted):
    backend = scripted(["Yes"])
    chat = conversation(backend, "One?", "Two?")
    chat.clear_button.click()
    assert chat.turns == [] and chat.answer == "" and chat.clear_button.disabled and chat.retry_button.disabled
    chat._clock.now += 60
    ask(chat, "Three?")
    assert len(backend.calls[2][0]) == 1


def test_nothing_is_forgotten_or_changed_while_it_answers(scripted):
    backend = scripted(["Yes"])
    chat = conversation(backend, "One?")
    backend.gate.clear()
    chat._clock.now += 60
    chat.prompt.value = "Two?"
    chat.send()
    chat.clear()
    chat.edit(0)
    chat.retry()
    assert chat.turns == [("One?", "Yes", True)] and len(backend.calls) == 2
    backend.gate.set()
    chat.job.join(10)


def test_a_failed_answer_is_not_read_again(scripted):
    backend = scripted([BackendError("It is not running.")])
    chat = conversation(backend, "One?")
    backend.pieces = ["Yes"]
    chat._clock.now += 60
    ask(chat, "Two?")
    assert [m["content"] for m in backend.calls[1][0]] == ["Two?"]


def test_half_an_answer_that_failed_is_shown_and_not_read_again(scripted):
    backend = scripted(["Half ", BackendError("It went away.")])
    chat = conversation(backend, "One?")
    backend.pieces = ["Yes"]
    for question in ("Two?", "Three?"):
        chat._clock.now += 60
        ask(chat, question)
    assert [m["content"] for m in backend.calls[2][0]] == ["Two?", "Yes", "Three?"]
    assert chat.turns[0] == ("One?", "Half ", False)


def test_only_the_failed_answer_itself_is_not_read_again(scripted):
    """Not one that came when it was asked again, nor the first of a new conversation."""
    backend = scripted(["Half ", BackendError("It went away.")])
    chat = conversation(backend, "One?")
    backend.pieces = ["Yes"]
    chat.retry()
    chat.job.join(10)
    chat._clock.now += 60
    ask(chat, "Two?")
    assert [m["content"] for m in backend.calls[2][0]] == ["One?", "Yes", "Two?"]
    backend.pieces = ["Half ", BackendError("It went away.")]
    chat.clear()
    chat._clock.now += 60
    ask(chat, "Three?")
    chat.clear()
    backend.pieces = ["Yes"]
    for question in ("Four?", "Five?"):
        chat._clock.now += 60
        ask(chat, question)
    assert [m["content"] for m in backend.calls[-1][0]] == ["Four?", "Yes", "Five?"]


@pytest.mark.parametrize(("temperature", "said"), [(0.0, True), (0.7, False)])
def test_retry_says_why_the_answer_is_the_same(scripted, temperature, said):
    chat = conversation(scripted(["Yes"]), "One?")
    chat.options = Options(temperature=temperature)
    assert "The same answer" not in chat.status.value
    chat.retry()
    chat.job.join(10)
    assert ("The same answer: at temperature 0" in chat.status.value) == said


def test_stop_is_said_at_once(scripted):
    backend = scripted(["One ", "two"])
    backend.gate.clear()
    chat = Chat(backend, prompt="Count")
    chat.send()
    chat.stop()
    assert "Stopping ..." in chat.status.value
    backend.gate.set()
    chat.job.join(10)
    assert "Stopped." in chat.status.value
