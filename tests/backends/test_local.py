import time

import pytest

from utils.backends.local import Text, chunks, room, turns
from utils.core import Chunk, Options
from utils.errors import BadInput, TooLong, Unsupported


class Tiny:
    name, model, context, closed, sees = "onnx", "tiny", 1024, False, False


WORDS = {1: "The", 2: " hut", 3: " is", 4: " open", 5: ".", 6: "ok\nUser", 7: ":"}
END = 0


def text(stop=()):
    return Text(WORDS.get, lambda ids: "".join(WORDS[i] for i in ids), stop)


def said(ids, stop=()):
    return list(chunks(iter(ids), text(stop), {END}, prompt_tokens=9))


def test_each_token_is_a_chunk_and_the_last_chunk_says_why_it_ended():
    assert said([1, 2, END]) == [
        Chunk("The", 1),
        Chunk(" hut", 2),
        Chunk("", 3, prompt_tokens=9, finish_reason="stop"),
    ]
    assert said([1])[-1] == Chunk("", 1, prompt_tokens=9, finish_reason="length")
    assert said([]) == [Chunk("", 0, prompt_tokens=9, finish_reason="length")]


@pytest.mark.parametrize(
    ("ids", "stop", "want", "reason"),
    [
        ([1, 2, 3, 4, 5, END], (" is",), "The hut", "stop"),
        ([1, 2, 3, 4, 5, END], ("hut is",), "The ", "stop"),
        ([1, 2, 3, 4, 5, END], ("is closed",), "The hut is open.", "stop"),
        ([1, 2, 3], ("is closed",), "The hut is", "length"),
        ([1, 2, 6, 7, 5, END], ("\nUser:", "zz"), "The hutok", "stop"),
        ([1, 2, 6, 5, END], ("\nUser:", "\nUses"), "The hutok\nUser.", "stop"),
        ([1, 2, 3, END], ("T",), "", "stop"),
        ([1, 2, 3, 4, END], (" open", " is"), "The hut", "stop"),
    ],
)
def test_the_answer_ends_before_the_first_stop_text(ids, stop, want, reason):
    got = said(ids, stop)
    assert "".join(chunk.text for chunk in got) == want
    assert got[-1].finish_reason == reason


def test_a_long_stop_text_costs_no_more_than_a_short_one():
    began = time.process_time()
    got = said([1, 2, 3, 4, 5] * 20, ("The hut is open." * 100_000,))
    assert "".join(chunk.text for chunk in got) == "The hut is open." * 20
    assert time.process_time() - began < 1  # every beginning of it, for every token, took minutes


def test_tokens_that_complete_no_character_wait():
    """A mountain of four bytes in three tokens; the decoder is silent until it is whole."""
    pieces = {1: "", 2: None, 3: "\U0001f3d4", 4: "!"}
    whole = {(1,): "\ufffd", (1, 2): "\ufffd", (1, 2, 3): "\U0001f3d4", (1, 2, 3, 4): "\U0001f3d4!"}
    mountain = Text(pieces.get, lambda ids: whole[tuple(ids)], ())
    assert list(chunks(iter([1, 2, 3, 4]), mountain, {END}, 1)) == [
        Chunk("\U0001f3d4", 3),
        Chunk("!", 4),
        Chunk("", 4, prompt_tokens=1, finish_reason="length"),
    ]


def test_what_a_decoder_loses_after_broken_bytes_is_brought_back():
    """As ONNX Runtime GenAI's stream does: half a character, then a word that it swallows, then the next."""
    pieces = {1: "", 2: "", 3: "lo"}
    whole = {(1,): "\ufffd", (1, 2): "\ufffdhel", (1, 2, 3): "\ufffdhello"}
    assert "".join(
        c.text for c in chunks(iter([1, 2, 3]), Text(pieces.get, lambda ids: whole[tuple(ids)], ()), {END}, 1)
    ) == ("\ufffdhello")


def test_broken_bytes_at_the_end_are_shown_as_such():
    broken = Text({1: "a", 2: ""}.get, lambda ids: "a\ufffd" if len(ids) == 2 else "a", ())
    assert "".join(c.text for c in chunks(iter([1, 2]), broken, {END}, 1)) == "a\ufffd"


def test_messages_become_plain_text():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert turns(Tiny, [{"role": "user", "content": parts}]) == [{"role": "user", "content": "ab"}]
    with pytest.raises(Unsupported, match=r"^tiny on the route onnx cannot look at pictures\. Send text only\.$"):
        turns(Tiny, [{"role": "user", "content": [*parts, {"type": "image", "image": b""}]}])
    with pytest.raises(BadInput):
        turns(Tiny, [{"role": "user", "content": ""}])


def test_room_for_the_answer():
    assert room(Tiny, [0] * 10, Options(max_tokens=50)) == 50
    assert room(Tiny, [0] * 1000, Options(max_tokens=50)) == 24
    with pytest.raises(TooLong) as caught:
        room(Tiny, [0] * 1200, Options())
    said = "The prompt is 1,200 tokens long, but tiny can hold 1,024, its answer included. Shorten the prompt."
    assert str(caught.value) == said


def test_a_hopelessly_long_prompt_is_not_even_cut_into_tokens():
    with pytest.raises(TooLong, match=r"10,000,000 characters long, but tiny can hold 1,024 tokens"):
        turns(Tiny, [{"role": "user", "content": "x" * 10_000_000}])
    assert turns(Tiny, [{"role": "user", "content": "x" * 100_000}])
