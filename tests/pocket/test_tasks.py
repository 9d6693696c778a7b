"""The corpus: every task makes clean, solvable documents, and what the references claim can be recomputed."""

import ast
import json
import os
import random
import re
import subprocess
import sys

import pytest

from utils.pocket.dialogue import TASKS, conversation, rule_turn
from utils.pocket.dialogue import task as make
from utils.pocket.grammar import SLOT, Document, load, reserve
from utils.pocket.tasks import Turn
from utils.pocket.tasks.drills import recall
from utils.pocket.tasks.languages import CODES, phrasebook
from utils.pocket.tasks.looking import KINDS
from utils.pocket.tasks.reading import NOT_SAID
from utils.pocket.tasks.spelling import misspelt, practised


def turns(task: str, count: int = 150, held_out: bool = False) -> list[Turn]:
    return [make(task)(Document(random.Random(f"{task}{i}"), held_out)) for i in range(count)]


WORDS = [name for name in TASKS if name not in KINDS]  # test_pictures.py has the rest


@pytest.mark.parametrize("task", WORDS)
@pytest.mark.parametrize("held_out", [False, True])
def test_no_markup_is_left_and_nothing_is_empty(task, held_out):
    for turn in turns(task, held_out=held_out):
        assert turn.reply.strip()
        assert turn.prompt.strip() or task == "prose"
        if task not in ("booking", "entities", "tool call", "more tool calls", "copy"):
            assert not re.search(r"[{}|\[\]]", turn.system + turn.prompt + turn.reply), turn


@pytest.mark.parametrize("task", WORDS)
def test_prompts_are_varied(task):
    if task != "prose":
        assert len({turn.prompt for turn in turns(task, 200)}) > 150


@pytest.mark.parametrize("task", ["field", "hut", "talk", "refuse", "unknown", "code"])
def test_held_out_questions_were_never_trained_on(task):
    train = {turn.prompt for turn in turns(task, 4000)}
    held_out = [turn.prompt for turn in turns(task, 300, held_out=True)]
    assert sum(prompt in train for prompt in held_out) / len(held_out) < 0.01


def test_what_only_the_larger_model_is_taught_is_not_held_out_either():
    """Compared without capitals, spaces and marks, since people type as they like."""

    def plain(wordings):
        made = (Document(random.Random(i)).expand(wording) for wording in wordings for i in range(40))
        return {re.sub(r"\W", "", text).lower() for text in made}

    more = load("more")
    field = {e["id"]: e["prompts"] for e in load("field")["exchange"] if e["category"] == "field"}
    tools = {t["name"]: t["requests"] for t in load("messages")["tool"]} | {"none": load("messages")["no_tool"]}
    for theirs, ours in ((field, more["field"]), (tools, more["tools"])):
        assert set(theirs) == set(ours)
        for name in theirs:
            kept = reserve([SLOT.sub(r"\1", wording) for wording in theirs[name]], held_out=True)
            assert not plain(kept) & plain(SLOT.sub(r"\1", wording) for wording in ours[name]), name


@pytest.mark.parametrize("held_out", [False, True])
def test_answers_to_passages_are_in_the_passage(held_out):
    told = [
        (first.prompt, turn.reply)
        for first in turns("reading", 300, held_out)
        for turn in (first, *first.then)
        if not turn.reply.endswith(NOT_SAID)
    ]
    assert len(told) > 450
    for passage, reply in told:
        words = [word for word in re.findall(r"[A-Z][a-z]+|\d+", reply[1:]) if len(word) > 1]
        assert all(word in passage for word in words), (passage, reply)


def test_about_a_third_of_the_questions_have_no_answer_in_the_passage():
    asked = [turn for first in turns("reading", 500) for turn in (first, *first.then)]
    assert len(asked) > 1000
    absent = [turn for turn in asked if turn.reply.endswith(NOT_SAID)]
    assert len(absent) / len(asked) == pytest.approx(1 / 3, abs=0.05)
    assert all((turn.task == "not in the text") == turn.reply.endswith(NOT_SAID) for turn in asked)


def test_bookings_are_json_with_what_the_message_says():
    for turn in turns("booking"):
        record = json.loads(turn.reply)
        assert list(record) == ["name", "guests", "nights", "date", "diet"]
        assert record["name"] in turn.prompt
        assert record["date"] in turn.prompt
        assert record["diet"] == "none" or record["diet"] in turn.prompt


def test_entities_are_json_and_stand_in_the_text():
    for turn in turns("entities"):
        for values in json.loads(turn.reply).values():
            assert all(value in turn.prompt for value in values)


def test_tool_calls_name_an_offered_tool_with_arguments_from_the_request():
    for first in turns("tool call"):
        for turn in (first, *first.then):
            if turn.reply == "none":
                continue
            call = json.loads(turn.reply)
            assert f"{call['tool']}({', '.join(call['arguments'])}):" in first.system
            assert all(str(value) in turn.prompt for value in call["arguments"].values()), turn


def test_sums_differences_and_bills_are_right():
    for turn in [*turns("sums"), *turns("differences")]:
        values = {eval(step) for step in turn.reply.split(" = ")}  # question, working and result
        assert len(values) == 1
        assert int(turn.reply.split(" = ")[-1]) in values
        asked = sorted(re.findall(r"\d+", turn.reply.split(" = ")[0]))
        assert asked == sorted(re.findall(r"\d+", turn.prompt)), turn
    for turn in turns("bill"):
        n, p, m, q = map(int, re.findall(r"\d+", turn.prompt)[-4:])
        assert turn.reply.endswith(f"= {n * p + m * q} euros.")


def test_misspelt_sentences_differ_and_are_not_in_the_prompt():
    assert not any(re.search(re.escape(turn.reply) + r"(?!\w)", turn.prompt) for turn in turns("spelling"))


def test_a_misspelt_word_keeps_its_first_letter_and_is_no_other_practised_word():
    document = Document(random.Random(0))
    for word in sorted(practised()):
        wrong = misspelt(document, word)
        assert wrong[0] == word[0]
        assert abs(len(wrong) - len(word)) <= 1
        assert wrong not in practised()


def test_held_out_sentences_to_correct_were_never_trained_on():
    train = {turn.reply for turn in turns("spelling", 3000)}
    assert not train & {turn.reply for turn in turns("spelling", 200, held_out=True)}


def test_one_line_code_is_python():
    for turn in turns("code"):
        ast.parse(turn.reply)
        assert "\n" not in turn.reply


def test_summaries_keep_their_facts():
    for turn in turns("summary"):
        assert turn.right(turn.reply)
        assert not turn.right(turn.reply.replace(turn.facts[1], ""))
        assert turn.reply.count(".") == 1


def test_a_conversation_depends_on_its_number_alone():
    assert [conversation(i) for i in range(50)] == [conversation(i) for i in range(50)]
    assert len({repr(conversation(i)) for i in range(500)}) > 490


def test_drills_have_their_shares_and_copies_are_in_the_prompt():
    made = [made.turns[0] for made in (conversation(i, (0.5, 0.3)) for i in range(1000)) if not made.system]
    copies = [turn for turn in made if turn.task == "copy"]
    assert 430 < len(copies) < 580
    assert 150 < sum(turn.task in ("recall", "spelling", "reading", "not in the text", "sums") for turn in made) < 420
    assert all(turn.reply in turn.prompt for turn in copies)


def test_what_is_recalled_stands_in_the_list():
    for first in (recall(Document(random.Random(i))) for i in range(200)):
        for turn in (first, *first.then):
            assert turn.reply.endswith(NOT_SAID) or turn.reply.split(": ")[1] in first.prompt


def test_a_system_rule_shapes_the_reply_and_keeps_the_answer():
    for i in range(50):
        made = rule_turn(Document(random.Random(i)))
        [turn] = made.turns
        [answer] = turn.accept
        phrase = turn.reply.replace(answer, "").strip()
        assert phrase
        assert phrase in made.system
        assert turn.reply in (f"{answer} {phrase}", f"{phrase} {answer}")


def test_held_out_translations_were_never_trained_on_in_any_language():
    trained = {text for sayings in phrasebook(False) for saying in sayings for text in saying.items()}
    held_out = [saying for sayings in phrasebook(True) for saying in sayings]
    assert len(held_out) > 1000
    assert all(set(saying) == {"en", *CODES} for saying in held_out)
    shared = [pair for saying in held_out for pair in saying.items() if pair in trained]
    assert {code for code, _ in shared} <= {"zh", "ja", "es"}, "said alike of two things, as in 他 or su"
    assert len(shared) < 0.02 * 6 * len(held_out), shared


@pytest.mark.parametrize("code", CODES)
def test_a_translation_is_of_what_is_asked_and_its_variants_mean_the_same(code):
    said = [saying for sayings in (*phrasebook(True), *phrasebook(False)) for saying in sayings]
    for turn in turns(f"translation {code}-en", 200, held_out=True):
        assert turn.reply in turn.accept
        originals = {saying[code] for saying in said if saying["en"] == turn.reply}
        assert any(original in turn.prompt for original in originals), turn


@pytest.mark.parametrize("code", CODES)
def test_answers_in_other_languages_stand_in_the_passage_or_say_that_it_does_not(code):
    asked = [(first.prompt, turn) for first in turns(f"reading ({code})", 300) for turn in (first, *first.then)]
    absent = [turn for _, turn in asked if turn.task == f"not in the text ({code})"]
    assert len(absent) / len(asked) == pytest.approx(0.38, abs=0.06)
    assert {turn.reply for turn in absent} == {absent[0].facts[0]}
    for passage, turn in asked:
        if turn.task == f"reading ({code})":
            assert all(number in passage for number in re.findall(r"\d+", turn.reply)), (passage, turn)
            assert turn.reply != absent[0].reply


def test_who_asks_in_chinese_is_answered_in_chinese():
    for task in ("questions (zh)", "reading (zh)", "sentiment (zh)", "translation en-zh"):
        for turn in turns(task):
            assert re.search(r"[\u4e00-\u9fff。]", turn.reply), turn


def test_the_corpus_does_not_depend_on_the_order_of_sets():
    """Python orders a set of texts anew in every process."""
    made = {
        subprocess.run(
            [sys.executable, "-c", "from utils.pocket.train import data_hash; print(data_hash(3, 'languages'))"],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(made) == 1
