"""The committed tokenizer: Phi-3's special tokens and right-strip rule, digits one by one, any text there and back."""

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from utils.pocket import folder
from utils.pocket.evaluate import prompt_ids
from utils.pocket.tokenizer import LAST, SIZE


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(folder("pocket-phi-3-mini") / "tokenizer.json"))


def test_special_tokens_stand_where_phi_3_has_them(tokenizer):
    assert tokenizer.get_vocab_size() == SIZE
    phi3 = {"<|endoftext|>": 32000, "<|assistant|>": 32001, "<|system|>": 32006, "<|end|>": 32007, "<|user|>": 32010}
    assert all(
        tokenizer.token_to_id(name) - tokenizer.token_to_id("<|endoftext|>") == i - 32000 for name, i in phi3.items()
    )
    assert [tokenizer.token_to_id(name) for name in ("<unk>", "<s>", "</s>")] == [0, 1, 2]
    assert len(LAST) == 11


def test_the_newline_after_a_chat_token_is_swallowed(tokenizer):
    assert tokenizer.encode("<|user|>\nHello<|end|>\n").ids == tokenizer.encode("<|user|>Hello<|end|>").ids


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "The hut  is\n\n\twarm.",
        "3.14 and 12345",
        "小型语言模型是什么。",
        "小さな言語モデル",
        "Où est la cuisine ? Übung, niño",
        "\U0001f600 \u2028 x\u0301",
        '{"a": [1, 2]}',
        "abc\x7f\x01",
    ],
)
def test_any_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text


def test_digits_are_single_tokens(tokenizer):
    assert [tokenizer.id_to_token(i) for i in tokenizer.encode("2026").ids] == list("2026")


def test_a_name_has_the_same_ids_wherever_it_stands_but_for_the_space_before_it(tokenizer):
    name = tokenizer.encode("Torvin").ids
    for around in ('"{}"', "({})", "\n{}", "{}'s", '{{"name": "{}"}}', '"{}",'):
        ids = tokenizer.encode(around.format("Torvin")).ids
        assert any(ids[i : i + len(name)] == name for i in range(len(ids)))
    first, *rest = tokenizer.encode(" Torvin").tokens
    assert [first.removeprefix("Ġ"), *rest] == tokenizer.encode("Torvin").tokens


def test_the_template_gives_the_ids_that_training_used(tokenizer):
    hugging_face = AutoTokenizer.from_pretrained(folder("pocket-phi-3-mini"))
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is an SLM?"}]
    ids = hugging_face.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert ids == prompt_ids(tokenizer, "Be brief.", "What is an SLM?")
