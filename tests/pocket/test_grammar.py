"""The template language: alternatives, slots, pronouns, and the line between training and held-out text."""

import random
import re

import pytest

from utils.pocket.grammar import Document, load, reserve


def document(seed: int = 0, held_out: bool = False) -> Document:
    return Document(random.Random(seed), held_out)


def test_alternatives_nest_and_every_one_is_reached():
    seen = {document(seed).expand("[a|b [c|d]]!") for seed in range(60)}
    assert seen == {"a!", "b c!", "b d!"}


def test_a_slot_keeps_its_value_and_a_digit_asks_for_another():
    for seed in range(200):
        first, again, other = document(seed).expand("{guest},{guest},{guest2}").split(",")
        assert first == again != other


def test_pronouns_agree_with_the_guest():
    for name, pronoun in (("Mira", "She"), ("Jonas", "He")):
        one = document()
        one.slots["guest"] = name
        assert one.expand("{He} likes {his} soup.").startswith(pronoun)


def test_framed_texts_are_taken_as_they_are():
    assert document().frame(["[Say|Say]: {text}"], text="a [b|c] {guest}") == "Say: a [b|c] {guest}"


def test_an_unknown_slot_is_named():
    with pytest.raises(KeyError, match="nonsense"):
        document().expand("{nonsense}")


def test_reserve_divides_a_list_without_overlap_or_loss():
    names = load("words")["names"]
    train, held_out = set(reserve(names, False)), set(reserve(names, True))
    assert train | held_out == set(names)
    assert not train & held_out
    assert len(held_out) / len(names) == pytest.approx(1 / 8, abs=0.02)


def test_invented_names_of_the_two_splits_never_meet():
    def names(held_out: bool) -> set[str]:
        return {document(seed, held_out).slot("guest") for seed in range(3000)}

    assert not names(False) & names(True)


@pytest.mark.parametrize("slot", ["time", "date", "place", "trail", "price", "n", "big"])
def test_made_slots_have_their_form(slot):
    form = {
        "time": r"\d{1,2}:\d\d",
        "date": r"\d{1,2} [A-Z][a-z]+",
        "place": r"[A-Z][\w ]+",
        "trail": r"[A-Z][\w ]+ (Trail|Path|Way|Loop)",
        "price": r"\d{1,2}",
        "n": r"\d{1,2}",
        "big": r"\d\d",
    }[slot]
    assert all(re.fullmatch(form, document(seed).slot(slot)) for seed in range(100))
