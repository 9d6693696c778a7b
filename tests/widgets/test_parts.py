"""What the compare widget is made of: growing text, differences, ratings."""

import random
from unicodedata import east_asian_width

from utils.widgets.bars import bars
from utils.widgets.contest import START, Vote, points, ratings
from utils.widgets.difference import marked
from utils.widgets.growing import BLOCK, Growing
from utils.widgets.kept import answer, milliseconds
from utils.widgets.panel import plain_table


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def values(growing):
    return [piece.value for piece in growing.box.children[1:]]


def test_text_is_drawn_twenty_times_a_second():
    clock = Clock()
    growing = Growing(clock)
    drawn = []
    for count in range(1000):
        clock.now = count / 1000
        growing.add("x")
        if not drawn or drawn[-1] != values(growing):
            drawn.append(values(growing))
    assert 15 <= len(drawn) <= 25
    growing.flush()
    assert "".join(values(growing)) == "x" * 1000


def test_what_stands_there_is_not_sent_again():
    """Bytes grow with the answer, not with its square: each redraw sends one block at most."""

    def sent(length):
        growing, total, before = Growing(Clock()), 0, []
        for _ in range(length):
            growing.add("y" * 10)
            growing.flush()
            total += sum(
                len(new) for new, old in zip(values(growing), [*before, None, None], strict=False) if new != old
            )
            before = values(growing)
        return total / length

    assert sent(1000) < 1.2 * sent(200) < 2 * BLOCK


def test_pieces_of_a_character_entity_are_not_torn():
    growing = Growing(Clock())
    growing.add("<&>" * BLOCK)
    growing.flush()
    assert "".join(values(growing)) == "&lt;&amp;&gt;" * BLOCK


def test_marks_come_and_go():
    growing = Growing(Clock())
    growing.add("a long answer " * 100)
    growing.flush()
    before = values(growing)
    growing.mark("<mark>a</mark>")
    assert values(growing) == ["<mark>a</mark>"]
    growing.flush()
    assert values(growing) == before


def test_differences_are_marked_word_by_word():
    html = marked("The hut is open", "The hut is closed")
    assert html.startswith("The hut is <mark") and html.endswith(">open</mark>")
    assert marked("same", "same") == "same" and "&lt;b&gt;" in marked("<b>", "<b>")
    assert marked("x " * 3000, "").endswith("x ")


def test_points_are_elos():
    assert points([Vote("a", "b", 1.0)]) == {"a": START + 16, "b": START - 16}
    assert points([Vote("a", "b", 0.5)]) == {"a": START, "b": START}


def test_the_better_one_leads_and_few_votes_are_not_sure():
    dice = random.Random(2)
    votes = [Vote("good", "bad", float(dice.random() < 0.85)) for _ in range(60)]
    first, second = ratings(votes)
    assert first.name == "good" and first.low > second.high and first.votes == 60
    first, second = ratings(votes[:3])
    assert first.low <= second.high
    assert ratings([]) == []


def test_votes_that_all_say_the_same_are_not_certain():
    one, other = ratings([Vote("a", "b", 1.0)] * 5)
    assert one.low == float("-inf") and other.high == float("inf")
    one, other = ratings([Vote("a", "b", 1.0)] * 8)
    assert one.name == "a" and one.low < one.points < one.high


def test_equals_are_hardly_ever_told_apart():
    """A hundred contests of twenty votes by coin: intervals that do not overlap would claim a difference."""
    dice, apart = random.Random(5), 0
    for _ in range(100):
        first, second = ratings([Vote("a", "b", float(dice.random() < 0.5)) for _ in range(20)])
        apart += first.low > second.high
    assert apart <= 8


def test_a_long_answer_is_kept_once():
    """A text that grows token by token would be copied whole each time."""
    growing = Growing(Clock())
    for number in range(3000):
        growing.add(f"{number} ")
    held = sum(len(value) for value in vars(growing).values() if isinstance(value, str))
    assert held < 100 and growing.text.startswith("0 1 2 ") and growing.text.endswith("2999 ")
    growing.flush()
    assert "".join(values(growing)) == growing.text


def test_wide_characters_take_two_cells():
    chinese = "小型语言模型是一种小的语言模型，可以在笔记本电脑上运行，不需要网络，也不需要显卡。"
    rows = [["onnx", chinese, "12"], ["two", "plain words and 中文 mixed with them", "3"]]
    _, _, *lines = plain_table(("route", "answer", "tokens"), rows, widths=(8, 31, 6)).splitlines()
    said = ""
    for line in lines:
        cells = "".join(c * (2 if east_asian_width(c) in "WF" else 1) for c in line)  # as a terminal shows it
        assert len(cells.rstrip()) <= 8 + 2 + 31 + 2 + 6
        assert cells[41:43].strip() == "" and cells[43:].strip() in ("", "12", "3")
        said += line[10:].strip("0123456789 ")
    assert said.startswith(chinese)


def test_bars_of_all_charts_stand_under_each_other():
    one = answer("onnx/one") | {"first_token_s": 0.0031, "tokens_per_s": 900.0, "memory_mb": 187.4}
    other = answer("onnx/two") | {"first_token_s": 0.0034}
    html = bars([one, other])
    assert html.count("<table") == 1 and html.count("<tbody") == 3 and "table-layout:fixed" in html
    assert ">3.1<" in html and ">3.4<" in html and ">187<" in html  # not "3" beside "3" with bars of two lengths
    assert bars([answer("onnx")]) == ""
    assert [milliseconds(s) for s in (0.0099, 0.00995, 0.0104, 1.2)] == ["9.9", "10", "10", "1200"]
