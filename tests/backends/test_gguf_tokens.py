"""Tokens that end within a character: llama.cpp counts them and does not name them."""

import math

import pytest

from utils import Options, connect
from utils.backends import gguf_tokens
from utils.backends.local import Text, chunks
from utils.pocket import export, folder

KNOWN = {1: b"\xe7", 2: b"\xac", 3: b"\x94", 4: b"\xe7\xac", 5: b"a", 6: b"\xac\x94"}


@pytest.mark.parametrize(
    ("data", "count", "found"),
    [
        (b"\xe7\xac", 1, [4]),
        (b"\xe7\xac", 2, [1, 2]),
        (b"\xe7\xac\x94", 2, [4, 3]),  # and not 1, 6: the first as long as may be
        (b"\xe7\xac\x94", 3, [1, 2, 3]),
        (b"\xff", 1, []),
        (b"\xe7\xac", 3, []),
        (b"", 1, []),
    ],
)
def test_bytes_become_so_many_tokens_or_none(data, count, found):
    assert gguf_tokens.split(data, count, KNOWN) == found


def test_the_vocabulary_of_a_pocket_model_is_its_bytes():
    from tokenizers import Tokenizer

    name = "pocket-phi-3.5-mini"
    made = gguf_tokens.vocabulary(next(export.made(folder(name), "gguf-q8_0").glob("*.gguf")))
    tokenizer = Tokenizer.from_file(str(folder(name) / "tokenizer.json"))
    ids = tokenizer.encode("笔记本电脑 costs 9 €, 🏔️", add_special_tokens=False).ids
    assert b"".join(made[i] for i in ids).decode() == "笔记本电脑 costs 9 €, 🏔️"
    assert any(made[i][-1] >= 0x80 and "\ufffd" in tokenizer.decode([i]) for i in ids)


def test_the_vocabulary_of_sentencepiece_has_bytes_by_their_numbers(tmp_path):
    import gguf

    writer = gguf.GGUFWriter(tmp_path / "spm.gguf", "phi3")
    writer.add_tokenizer_model("llama")
    writer.add_token_list(["<unk>", "<0xE7>", "▁the", "笔"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    made = gguf_tokens.vocabulary(tmp_path / "spm.gguf")
    assert made == {0: b"<unk>", 1: b"\xe7", 2: b" the", 3: "笔".encode()}


@pytest.mark.parametrize("prompt", ["小模型是什么？", "把“I would like a bowl of soup.”翻译成中文。"])
def test_llama_cpp_loses_no_token_of_chinese(prompt):
    """With their log-probabilities, as the route onnx has them, where llama.cpp tells them."""
    made = []
    for route in ("onnx", "llama.cpp"):
        backend = connect(route, "pocket-phi-3.5-mini", mode="offline")
        ids, logprobs = backend.prompt_ids([{"role": "user", "content": prompt}]), []
        made.append((list(backend.generate(ids, Options(max_tokens=40, logprobs=True), logprobs)), logprobs))
        backend.close()
    (ours, near), (theirs, reference) = made
    assert theirs == ours
    told = [(a, b) for a, b in zip(reference, near, strict=True) if not math.isnan(a)]
    assert len(near) / 2 < len(told) < len(near)
    assert all(a == pytest.approx(b, abs=1e-2) for a, b in told)  # its cache has 16 bits


def test_a_chunk_with_an_untold_token_has_no_log_probabilities():
    text = Text(lambda token: {1: None, 2: "笔", 3: "a"}[token], lambda ids: "笔" if len(ids) == 2 else "笔a", ())
    made = list(chunks(iter([1, 2, 3]), text, frozenset(), 5, [math.nan, -0.5, -0.25]))
    assert [(chunk.text, chunk.logprobs) for chunk in made] == [("笔", None), ("a", (-0.25,)), ("", ())]
