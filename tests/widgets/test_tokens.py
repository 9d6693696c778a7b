"""The tokenizer explorer: pieces that make the text, ids of the model, bytes, and the chat template."""

import pytest

from utils.widgets import Tokens


@pytest.fixture(scope="module")
def tokens():
    return Tokens()


@pytest.mark.parametrize("said", ["What is an SLM?", "Küche 厨房 🏔", "a\nb", "  two", "<b>"])
def test_pieces_and_bytes_are_the_text(tokens, said):
    tokens.text.value = said
    data = b"".join(bytes.fromhex(of.replace(" ", "")) for _, _, of in tokens.pieces())
    assert data.decode().lstrip() == said.lstrip()
    assert [number for number, _, _ in tokens.pieces()] == tokens._tokenizer.encode(said, add_special_tokens=False).ids


def test_the_template_adds_its_own_tokens(tokens):
    tokens.text.value = "Hi"
    tokens.template.value = True
    pieces = [piece for _, piece, _ in tokens.pieces()]
    tokens.template.value = False
    assert pieces[0] == "<|user|>" and "<|end|>" in pieces and pieces[-1] == "<|assistant|>"


def test_what_is_typed_is_text(tokens):
    tokens.text.value = "<img src=x>"
    assert "<img" not in tokens.view.value and "<img" not in tokens.table.value


def test_other_languages_cost_more(tokens):
    costs = {row[0]: int(row[2]) for row in tokens.costs()}
    assert set(costs) == {"English", "German", "French", "Spanish", "Chinese", "Japanese"}
    assert costs["English"] == min(costs.values())


def test_it_prints_as_a_table(tokens):
    tokens.text.value = "Hi there"
    assert str(tokens).splitlines()[0].split() == ["id", "piece", "bytes"] and "there" in str(tokens)
