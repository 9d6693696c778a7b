import html
import math
import re

import pytest

from utils.core import BackendError, BadInput, Chunk, Completion, Interrupted, Options, as_messages, complete, warm_up


class Clock:
    """Time that passes only when told to."""

    now = 0.0

    def __call__(self):
        return self.now


class Fake:
    """A backend as a learner would write it: yields the chunks it was given, each after some seconds."""

    name, model, source = "fake", "fake-1", "pocket"

    def __init__(self, clock, *steps, at_call=0.0):
        self.clock, self.steps, self.at_call, self.closed, self.seen = clock, steps, at_call, False, None

    def stream(self, messages, options):
        self.seen = messages, options
        self.clock.now += self.at_call
        return self._chunks()

    def _chunks(self):
        try:
            for seconds, chunk in self.steps:
                self.clock.now += seconds
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk
        finally:
            self.closed = True

    def close(self):
        pass


def test_complete_collects_text_counts_and_times():
    clock = Clock()
    end = Chunk("", 3, prompt_tokens=7, finish_reason="stop")
    backend = Fake(clock, (1.0, Chunk("Hello", 1)), (0.5, Chunk(" hut", 2)), (0.5, end))
    answer = complete(backend, "Hi", clock=clock)
    assert backend.seen == ([{"role": "user", "content": "Hi"}], Options())
    assert answer == Completion("fake", "fake-1", "pocket", "Hello hut", (1.0, 1.5, 2.0), 3, 7, "stop")
    assert (answer.first_token_s, answer.total_s, answer.tokens_per_s) == (1.0, 2.0, 2.0)


def test_time_spent_on_the_text_is_not_charged_to_the_model():
    clock = Clock()
    backend = Fake(clock, (1.0, Chunk("a", 1)), (1.0, Chunk("b", 2)), (1.0, Chunk("c", 3)))

    def slow_reader(text):
        clock.now += 100

    answer = complete(backend, "Hi", on_text=slow_reader, clock=clock)
    assert answer.arrivals == (1.0, 2.0, 3.0)
    assert answer.tokens_per_s == 1.0


def test_work_done_when_stream_is_called_is_charged():
    clock = Clock()
    assert complete(Fake(clock, (1.0, Chunk("a")), at_call=2.0), "Hi", clock=clock).first_token_s == 3.0


def test_empty_first_chunks_are_no_first_token():
    clock = Clock()
    backend = Fake(clock, (1.0, Chunk("")), (1.0, Chunk("")), (1.0, Chunk("a", 1)), (2.0, Chunk("b", 2)))
    answer = complete(backend, "Hi", clock=clock)
    assert answer.arrivals == (3.0, 5.0)
    assert answer.tokens_per_s == 0.5


def test_chunks_are_not_tokens():
    """Ten tokens in three chunks; the four of the first chunk came with it and took no decoding time after it."""
    clock = Clock()
    backend = Fake(clock, (1.0, Chunk("a", 4)), (1.0, Chunk("b", 7)), (1.0, Chunk("c", 10)))
    assert complete(backend, "Hi", clock=clock).tokens_per_s == 3.0


def test_unknown_counts_stay_unknown():
    clock = Clock()
    answer = complete(Fake(clock, (1.0, Chunk("a b c")), (1.0, Chunk(" d"))), "Hi", clock=clock)
    assert answer.tokens is None and answer.prompt_tokens is None and answer.finish_reason is None
    assert math.isnan(answer.tokens_per_s)
    assert answer.total_s == 2.0


@pytest.mark.parametrize("steps", [[], [(1.0, Chunk("", 1, finish_reason="stop"))]], ids=["nothing", "end token only"])
def test_an_answer_without_text_has_no_times(steps):
    clock = Clock()
    answer = complete(Fake(clock, *steps), "Hi", clock=clock)
    assert answer.text == "" and math.isnan(answer.first_token_s) and math.isnan(answer.total_s)
    assert math.isnan(answer.tokens_per_s)


def test_one_token_has_no_decode_speed():
    clock = Clock()
    steps = (1.0, Chunk("a", 1)), (1.0, Chunk("", 1, finish_reason="length"))
    assert math.isnan(complete(Fake(clock, *steps), "Hi", clock=clock).tokens_per_s)


def test_an_error_in_mid_stream_carries_the_text_so_far():
    clock = Clock()
    backend = Fake(clock, (1.0, Chunk("Half an")), (1.0, Chunk(" answer")), (1.0, Interrupted("The line broke.")))
    with pytest.raises(Interrupted, match=r"The line broke\.") as caught:
        complete(backend, "Hi", clock=clock)
    assert caught.value.partial == "Half an answer"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_stream_is_closed_when_the_reader_fails(error):
    clock = Clock()
    backend = Fake(clock, (1.0, Chunk("a")), (1.0, Chunk("b")))

    def reader(text):
        raise error

    with pytest.raises(error) as caught:
        complete(backend, "Hi", on_text=reader, clock=clock)
    assert caught.traceback  # as in a notebook, which keeps the last one, and with it what hangs on its frames
    assert backend.closed


def test_a_warm_up_is_short_and_leaves_the_words_to_the_first_question():
    backend = Fake(Clock(), (1.0, Chunk("Half an")), (1.0, Interrupted("The line broke.")))
    heard = []
    warm_up(backend, heard.append)
    assert backend.seen == ([{"role": "user", "content": "Hello"}], Options(max_tokens=8)) and heard == ["Half an"]


def test_what_has_to_be_paid_is_not_warmed_up():
    backend = Fake(Clock(), (1.0, Chunk("a")))
    backend.paid = True
    warm_up(backend)
    assert backend.seen is None


@pytest.mark.parametrize("kind", [iter, list])
def test_a_backend_may_return_any_iterable(kind):
    clock = Clock()
    backend = Fake(clock)
    backend.stream = lambda messages, options: kind([Chunk("a"), Chunk("b")])
    assert complete(backend, "Hi", clock=clock).text == "ab"


def answer(text, **changes):
    facts = {"backend": "onnx", "model": "pocket-phi-3-mini", "source": "pocket", "tokens": 5, "prompt_tokens": 3}
    return Completion(**{**facts, "text": text, "arrivals": (0.1, 0.2), "finish_reason": "stop", **changes})


def test_a_completion_says_who_answered_and_never_how_long_it_took():
    """Times change from run to run, and a notebook's committed outputs must not."""
    for shown in (repr(answer("Hello")), answer("Hello")._repr_markdown_()):
        assert "POCKET" in shown and "pocket-phi-3-mini" in shown and "onnx" in shown and "Hello" in shown
        assert "0.1" not in shown
    assert repr(answer("Hello")) == repr(answer("Hello", arrivals=(7.0, 8.0)))
    assert "LIVE" in answer("Hello", source="live")._repr_markdown_()
    assert "RECORDED" in answer("Hello", source="recorded")._repr_markdown_()


@pytest.mark.parametrize(
    ("reason", "said"), [("length", "cut off"), (None, "incomplete"), ("content_filter", "content&#95;filter")]
)
def test_a_completion_says_when_it_is_not_whole(reason, said):
    assert said in answer("Hello", finish_reason=reason)._repr_markdown_()
    assert said not in answer("Hello")._repr_markdown_()


@pytest.mark.parametrize(
    "text",
    [
        "<img src=x onerror=alert(1)>",
        "</pre><script>alert(1)</script>",
        "[click](javascript:alert(1)) ![p](https://example.com/p.png)",
        "$\\href{javascript:alert(1)}{x}$ \\(y\\) `code` **bold** _it_ @@0@@",
        "a\n\n# no heading\n\n- no list",
    ],
)
def test_model_text_is_shown_as_text(text):
    shown = answer(text)._repr_markdown_()
    found = re.fullmatch(
        r'`POCKET` \*\*pocket-phi-3-mini\*\* on onnx · 5 tokens\n\n<pre style="[^"<>]*">(.*)</pre>', shown, re.S
    )
    assert found
    assert not re.search(r"[<>$\\`@*_\[\]]", found[1])
    assert html.unescape(found[1]) == text


def test_names_are_escaped_too():
    assert "<b>" not in answer("x", model="<b>m</b>", backend="<b>r</b>")._repr_markdown_()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_tokens": 0}, "max_tokens is 0, but it must be a whole number, 1 or more."),
        ({"max_tokens": -1}, "max_tokens is -1, but it must be a whole number, 1 or more."),
        ({"max_tokens": 1.5}, "max_tokens is 1.5, but it must be a whole number, 1 or more."),
        ({"max_tokens": True}, "max_tokens is True, but it must be a whole number, 1 or more."),
        ({"temperature": math.nan}, "temperature is nan, but it must be a number from 0 to 100."),
        ({"temperature": math.inf}, "temperature is inf, but it must be a number from 0 to 100."),
        ({"temperature": -0.1}, "temperature is -0.1, but it must be a number from 0 to 100."),
        ({"temperature": "hot"}, "temperature is 'hot', but it must be a number from 0 to 100."),
        ({"top_p": 0}, "top_p is 0, but it must be a number above 0 and at most 1."),
        ({"top_p": 1.01}, "top_p is 1.01, but it must be a number above 0 and at most 1."),
        ({"top_p": math.nan}, "top_p is nan, but it must be a number above 0 and at most 1."),
        ({"seed": -1}, "seed is -1, but it must be a whole number from 0 to 2147483647."),
        ({"stop": "x"}, "stop is 'x', but it must be a tuple of texts, none of them empty."),
        ({"stop": ("",)}, "stop is ('',), but it must be a tuple of texts, none of them empty."),
        ({"schema": "{}"}, "schema is '{}', but it must be a dict or None."),
    ],
)
def test_options_out_of_range_are_refused_in_words(wrong, said):
    with pytest.raises(BadInput) as caught:
        Options(**wrong)
    assert str(caught.value) == said
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, BackendError)


@pytest.mark.parametrize(
    "wrong", [{"schema": {"enum": {1}}}, {"schema": {"const": math.nan}}, {"stop": ("\ud800",)}, {"schema": {(1,): 2}}]
)
def test_what_no_server_could_be_sent_is_refused(wrong):
    with pytest.raises(BadInput, match=rf"^{next(iter(wrong))} cannot be written as JSON: "):
        Options(**wrong)


def test_options_take_numpy_numbers_and_lists():
    import numpy as np

    options = Options(max_tokens=np.int64(5), temperature=np.float32(0.5), stop=["a", "b"])
    assert options.max_tokens == 5 and options.stop == ("a", "b") and not options.greedy
    numbers = Options(max_tokens=np.int64(5), temperature=np.float32(0.5), top_p=np.float16(0.5), seed=np.uint8(3))
    values = (numbers.max_tokens, numbers.temperature, numbers.top_p, numbers.seed)
    assert [type(value) for value in values] == [int, float, float, int]  # what every library takes
    assert Options().greedy and Options(temperature=1e-30).greedy


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("", "The prompt is empty. Write a question, such as 'What is an SLM?'."),
        (" \n\t", "The prompt is empty. Write a question, such as 'What is an SLM?'."),
        ([], "The prompt is empty. Write a question, such as 'What is an SLM?'."),
        (None, "A prompt is a text or a list of messages, not None."),
        ({"role": "user", "content": "x"}, "A prompt is a text or a list of messages, not {'role'"),
        ("a\0b", "The prompt holds a NUL character (\\x00), which no tokenizer can read. Remove it."),
        ("a\ud800b", "The prompt holds half a character (lone surrogate U+D800). Remove it."),
        ([{"role": "system", "content": "Be brief."}], "The prompt is empty. Write a question, such as"),
        (
            [{"role": "robot", "content": "x"}],
            "A message is a dict with a role (system, user, assistant) and a content",
        ),
        ([{"role": "user"}], "A message is a dict with a role"),
        (["hi"], "A message is a dict with a role"),
        ([{"role": "user", "content": 5}], "A message's content is text or a list of text and image parts, not 5."),
        ([{"role": "user", "content": [{"type": "sound"}]}], "A message's content is text or a list of text and image"),
        ([{"role": "user", "content": [{"type": "text", "text": " "}]}], "The prompt is empty."),
    ],
)
def test_prompts_that_no_model_could_read_are_refused_in_words(prompt, said):
    clock = Clock()
    backend = Fake(clock, (1.0, Chunk("a")))
    with pytest.raises(BadInput) as caught:
        complete(backend, prompt, clock=clock)
    assert str(caught.value).startswith(said)
    assert backend.seen is None


@pytest.mark.parametrize("text", ["x" * 10_000_000, "שלום \u202e abc", "🏔️", "a\u2028b", "a\r\nb", "'\"<&>"])
def test_odd_but_valid_prompts_pass(text):
    assert as_messages(text) == [{"role": "user", "content": text}]


def test_a_picture_alone_is_a_prompt():
    messages = [{"role": "user", "content": [{"type": "image", "image": b"..."}]}]
    assert as_messages(messages) == messages
