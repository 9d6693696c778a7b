"""The quiz: explained choices, saved progress, reset, and the same without a mouse."""

import pytest

from utils import progress
from utils.widgets import Question, Quiz

QUESTIONS = [
    Question("Who answers under POCKET?", {"A tiny model": "Made here."}, {"Phi-3.5": "Never.", "A person": "No."}),
    Question("Is <b> bold?", {"No": "It is text."}, {"Yes": "It is only text."}),
]


def letter(question, choice):
    return "abcdefgh"[question.choices.index(choice)]


def test_every_wrong_choice_is_explained_and_nothing_is_saved():
    quiz = Quiz("t", QUESTIONS)
    assert quiz.answer(1, letter(QUESTIONS[0], "Phi-3.5")) == "✗ Not quite. Never."
    assert quiz.answer(1, letter(QUESTIONS[0], "A person")) == "✗ Not quite. No."
    assert quiz.right == [] and progress.load("quiz.t") == {}


def test_a_right_choice_is_saved_and_comes_back():
    assert Quiz("t", QUESTIONS).answer(2, letter(QUESTIONS[1], "No")).startswith("✓ Right.")
    again = Quiz("t", QUESTIONS)
    assert again.right == [2] and again.cards[1].radio.value == "No" and "It is text." in again.cards[1].why.value
    assert "1 of 2 right." in again._score.value
    assert Quiz("other", QUESTIONS).right == []


def test_start_over_forgets_everything():
    quiz = Quiz("t", QUESTIONS)
    quiz.answer(2, letter(QUESTIONS[1], "No"))
    quiz.reset_button.click()
    assert quiz.right == [] and quiz.cards[1].radio.value is None and quiz.cards[1].why.value == ""
    assert Quiz("t", QUESTIONS).right == []


def test_a_click_judges_the_chosen_one_only():
    quiz = Quiz("t", QUESTIONS)
    quiz.cards[0].button.click()
    assert "Choose one first." in quiz.cards[0].why.value
    quiz.cards[0].radio.value = "A tiny model"
    assert quiz.right == []  # choosing alone decides nothing: arrow keys pass over every choice
    quiz.cards[0].button.click()
    assert quiz.right == [1] and "Made here." in quiz.cards[0].why.value


@pytest.mark.parametrize("number", [0, 3, -1, 1.5, None, "1", [1]])
def test_a_question_that_does_not_exist(number):
    assert "no question" in Quiz("t", QUESTIONS).answer(number, "a")


@pytest.mark.parametrize("wrong", ["z", "", None, 7, ["a"]])
def test_a_letter_that_does_not_exist(wrong):
    assert Quiz("t", QUESTIONS).answer(1, wrong) == "Question 1 has the choices a, b, c."


def test_the_text_shows_the_questions_and_keeps_the_answers_to_itself():
    before = str(Quiz("t", QUESTIONS))
    quiz = Quiz("t", QUESTIONS)
    quiz.answer(2, letter(QUESTIONS[1], "No"))
    assert str(quiz) == before  # the same for every learner, so the tests can compare it
    assert "1. Who answers under POCKET?" in before and "a) " in before and "Made here." not in before


def test_questions_are_text_not_markup():
    quiz = Quiz("t", QUESTIONS)
    assert "&lt;b&gt;" in quiz.cards[1].box.children[0].value


@pytest.mark.parametrize("damaged", ["not json", "[1]", '{"right": "all"}', '{"right": [9, null, {}]}'])
def test_damaged_progress_is_no_progress(damaged):
    Quiz("t", QUESTIONS).answer(2, letter(QUESTIONS[1], "No"))
    (progress.folder() / "quiz.t.json").write_text(damaged)
    assert Quiz("t", QUESTIONS).right == []


@pytest.mark.parametrize(("right", "wrong"), [({}, {"a": ""}), ({"a": ""}, {}), ({"a": ""}, {"a": ""})])
def test_a_question_without_one_right_choice_is_refused(right, wrong):
    with pytest.raises(ValueError, match="needs one right choice"):
        Question("?", right, wrong)
