"""The drawn pictures: what is asked about them is true of them, and the model is told where what is."""

import random
import re

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from utils.pocket import TAG, folder
from utils.pocket.batches import encode, names, pixels
from utils.pocket.dialogue import Conversation, conversation
from utils.pocket.grammar import Document
from utils.pocket.pictures import ACROSS, COLOURS, PATCH, SHAPES, SIDE, WEATHER, Picture, shape, text, weather, width
from utils.pocket.tasks import Turn, looking, scenes, signs
from utils.pocket.tokenizer import PICTURE, ids_of


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(folder("pocket-phi-3-mini") / "tokenizer.json"))


def turns(kind: str, count: int = 60, held_out: bool = False) -> list[Turn]:
    _, task, _ = looking.KINDS[kind]
    return [task(Document(random.Random(f"{kind}{i}"), held_out)) for i in range(count)]


@pytest.mark.parametrize("kind", looking.KINDS)
@pytest.mark.parametrize("held_out", [False, True])
def test_every_picture_has_its_tag_and_every_question_an_answer(kind, held_out):
    names_of_parts = set(looking.KINDS[kind][2])
    for turn in turns(kind, held_out=held_out):
        assert len(TAG.findall(turn.prompt)) == len(turn.pictures) > 0
        assert turn.prompt.startswith("<|image_1|>\n")
        for one in (turn, *turn.then):
            assert one.reply and not re.search(r"[{}|\[\]]", TAG.sub("", one.prompt) + one.reply), one
            assert one.task in names_of_parts | {"short word", "count in two", "count"}


@pytest.mark.parametrize("kind", looking.KINDS)
def test_no_held_out_picture_was_trained_on(kind):
    trained = {turn.pictures for turn in turns(kind, 300)}
    assert not trained & {turn.pictures for turn in turns(kind, 100, held_out=True)}


def test_held_out_words_were_never_trained_on():
    trained, new = (
        {turn.reply for turn in turns("signs", count, held)} for count, held in ((1500, False), (300, True))
    )
    assert not trained & new


@pytest.mark.parametrize("hue", COLOURS)
@pytest.mark.parametrize("kind", SHAPES)
def test_a_shape_is_drawn_where_and_in_the_colour_that_it_says(hue, kind):
    drawn = np.asarray(Picture((255, 255, 255), (shape(kind, 30, 50, 10, hue),)).draw()).astype(int)
    inked = np.argwhere((drawn != 255).any(-1))
    assert inked.mean(0) == pytest.approx([50, 30], abs=1.5)
    assert np.ptp(inked, 0) == pytest.approx([20, 20], abs=5)
    assert tuple(drawn[50, 30]) == COLOURS[hue]


def test_a_picture_is_the_same_at_any_size():
    made = turns("bars", 1)[0].pictures[0]
    small, large = made.draw(), made.draw(4 * SIDE)
    shrunk = np.asarray(large.reduce(4)).astype(int)
    assert np.abs(shrunk - np.asarray(small)).mean() < 6
    assert made._repr_png_().startswith(b"\x89PNG")


def test_each_kind_of_weather_looks_different():
    sky = (205, 228, 246)
    drawn = [np.asarray(Picture(sky, weather(kind, 42, 42, 25)).draw()).astype(int) for kind in WEATHER]
    assert all(np.abs(a - b).mean() > 0.3 for i, a in enumerate(drawn) for b in drawn[:i])


def test_letters_are_named_on_the_patch_where_they_are_printed():
    picture = Picture((255, 255, 255), (text("HUT", 42, 49, 20),))
    found = {letter: i for i, words in enumerate(picture.named()) for letter in words}
    assert list(found) == ["H", "U", "T"]
    left = 42 - width("HUT", 20) / 2
    assert found["H"] == 49 // PATCH * ACROSS + int((left + width("H", 20) / 2) // PATCH)
    assert found["H"] <= found["U"] <= found["T"]


def test_a_shape_is_named_on_its_patches_only():
    named = Picture((255, 255, 255), (shape("star", 21, 21, 10, "red"),)).named()
    assert named[1 * ACROSS + 1] == ("red", "star")
    assert sum(bool(words) for words in named) <= 4


@pytest.mark.parametrize("seed", range(40))
def test_counting_the_marks_gives_the_answers(seed):
    turn = scenes.shapes(Document(random.Random(seed)))
    words = [mark.words for mark in turn.pictures[0].marks]
    for one in (turn, *turn.then):
        if one.task == "count":
            asked = TAG.sub("", one.prompt)
            hue = next((hue for hue in COLOURS if hue in asked), None)
            kind = next((kind for kind in SHAPES if f"{kind}s" in asked or f"{kind}es" in asked), None)
            counted = [w for w in words if hue in (None, w[0]) and kind in (None, w[1])]
            assert one.reply == scenes.NUMBERS[len(counted)].capitalize() + "."
        if one.task == "described":
            assert all(f"{hue} {kind}" in one.reply.lower() for hue, kind in words)


@pytest.mark.parametrize("seed", range(40))
def test_what_is_said_to_have_changed_is_what_differs(seed):
    turn = scenes.changed(Document(random.Random(seed)))
    before, after = (set(picture.marks) for picture in turn.pictures)
    gone, new = before - after, after - before
    if turn.reply == "Nothing changed.":
        assert turn.pictures[0] == turn.pictures[1]
    elif "gone" in turn.reply:
        assert (len(gone), len(new)) == (1, 0)
        assert " ".join(next(iter(gone)).words) in turn.reply
    elif "new" in turn.reply:
        assert (len(gone), len(new)) == (0, 1)
        assert " ".join(next(iter(new)).words) in turn.reply
    else:
        assert (len(gone), len(new)) == (1, 1)
        assert " ".join(next(iter(gone)).words) in turn.reply


@pytest.mark.parametrize("seed", range(20))
def test_the_largest_bar_is_the_highest_one(seed):
    made = signs.bars(Document(random.Random(seed)))
    bars = [mark for mark in made.pictures[0].marks if mark.words]
    highest = min(bars, key=lambda mark: mark.area()[1])
    [largest] = [one for one in (made, *made.then) if one.task == "largest bar"]
    assert largest.reply.startswith(f"The {highest.words[0]} bar, ")
    assert largest.reply.rstrip(".").split()[-1] in {mark.text for mark in made.pictures[0].marks}


def test_a_prompts_ids_hold_every_patch_and_keep_the_newline_after_a_picture(tokenizer):
    prompt = "<|user|>\n<|image_1|>\n<|image_2|>\nWhat changed?<|end|>\n<|assistant|>\n"
    ids = ids_of(tokenizer, prompt)
    patch, newline = tokenizer.token_to_id(PICTURE), tokenizer.encode("\n").ids
    assert ids.count(patch) == 2 * ACROSS**2
    assert ids[1 : 1 + ACROSS**2] == [patch] * ACROSS**2
    assert ids[1 + ACROSS**2] == newline[0]


def test_training_sees_the_ids_of_asking(tokenizer):
    [turn] = turns("changes", 1)
    [(ids, weights, pictures)] = encode(tokenizer, [Conversation("", (turn,))])
    prompt = f"<|user|>\n{turn.prompt}<|end|>\n<|assistant|>\n"
    asked = ids_of(tokenizer, prompt)
    assert ids[: len(asked)] == asked
    assert pictures == turn.pictures
    assert not any(weights[: len(asked)]) and all(weights[len(asked) :])


def test_pixels_and_names_fit_the_model(tokenizer):
    pictures = [picture for turn in turns("changes", 3) for picture in turn.pictures]
    seen = pixels(pictures)
    assert seen.shape == (6, 3, SIDE, SIDE) and seen.dtype == torch.float32
    assert -1 <= seen.min() < 0 < seen.max() <= 1
    patches, tokens = names(tokenizer, pictures).T
    assert patches.max() < 6 * ACROSS**2
    assert {tokenizer.decode([t])[:2] for t in tokens.tolist()} <= {f" {word}"[:2] for word in (*COLOURS, *SHAPES)}


def test_conversations_about_pictures_come_with_their_pictures():
    made = [conversation(i, mix="pictures") for i in range(100)]
    assert sum(bool(one.turns[0].pictures) for one in made) > 70
    assert made == [conversation(i, mix="pictures") for i in range(100)]
