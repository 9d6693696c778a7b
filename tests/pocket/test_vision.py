"""A model that sees: the same answers in three runtimes, with random weights and with the trained ones."""

from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer

from utils import Options, connect
from utils.core import Message
from utils.errors import ExportFailed, Unsupported
from utils.pocket import NAMES, TAG, export, home
from utils.pocket.evaluate import held_out
from utils.pocket.pictures import png
from utils.pocket.recipes import RECIPES
from utils.pocket.saving import write
from utils.pocket.tasks import looking
from utils.pocket.train import Run

NAME = "pocket-phi-3.5-vision"
PARTS = [part for _, _, parts in looking.KINDS.values() for part in parts]
ROUTES = ("transformers", "onnx", "llama.cpp")
SMALL = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
}
TOWER = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 64}


def asked(turn) -> list[Message]:
    """The turn's pictures, in the size that the model sees, and its question."""
    parts = [{"type": "image", "image": png(picture.draw())} for picture in turn.pictures]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": TAG.sub("", turn.prompt).lstrip("\n")}]}]


def answers(route, model, turns, tokens):
    """What the route answers, and the log-probabilities of its tokens."""
    backend = connect(route, model, mode=None if not isinstance(model, str) else "offline")
    made = []
    for turn in turns:
        chunks = list(backend.stream(asked(turn), Options(max_tokens=tokens, logprobs=True)))
        made.append(("".join(c.text for c in chunks), [p for c in chunks for p in c.logprobs or ()]))
    backend.close()
    return made


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Untrained: whatever is put in the wrong place shows in the log-probabilities."""
    tokenizer = Tokenizer.from_file(str(home("pocket-phi-3-mini") / "tokenizer.json"))
    recipe = replace(RECIPES[NAME], shape=SMALL, tower=TOWER, grown_from="", packed=False)
    run = Run(recipe, tokenizer, tmp_path_factory.mktemp("none"))
    torch.manual_seed(4)
    with torch.no_grad():
        for parameter in run.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    made = tmp_path_factory.mktemp("seeing") / "my-eyes"
    made.mkdir()
    write(run, made)
    return made


@pytest.fixture(scope="module")
def turns():
    return [held_out(part, 1)[0].turns[0] for part in ("colour", "word", "change", "frames")]


@pytest.fixture(scope="module")
def expected(model, turns):
    return answers("transformers", model, turns, 1)


@pytest.mark.parametrize("route", ROUTES[1:])
def test_pictures_reach_every_runtime_in_the_right_places(model, turns, expected, route):
    for (text, logprobs), (wanted, reference) in zip(answers(route, model, turns, 1), expected, strict=True):
        assert logprobs == pytest.approx(reference, abs=2e-3)
        assert text == wanted or "\ufffd" in text + wanted


def test_bringing_it_into_another_form_says_nothing(model, tmp_path, monkeypatch, capfd):
    """It happens in a lesson's cell, at the first question."""
    monkeypatch.setenv("SLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(export, "say", lambda text: None)  # another test may have given the command line its voice
    export.copy(model, "onnx-fp32", tmp_path / "made")
    assert capfd.readouterr() == ("", "")


def test_another_picture_is_another_answer(expected):
    assert len({round(logprobs[0], 4) for _, logprobs in expected}) == len(expected)


@pytest.mark.parametrize("route", ["openvino", "mlx"])
def test_the_other_two_say_that_they_cannot(route):
    backend = connect(route, "pocket-phi-3-mini", mode="offline")
    with pytest.raises(Unsupported):
        list(backend.stream(asked(held_out("colour", 1)[0].turns[0]), Options(max_tokens=1)))
    backend.close()


@pytest.mark.parametrize("route", ["openvino", "mlx"])
def test_nor_can_they_load_a_model_that_sees(model, route):
    with pytest.raises(Unsupported, match=f"my-eyes sees, and the route {route} has no such models"):
        connect(route, model)


def test_openvinos_form_of_it_is_refused_in_words(model, tmp_path):
    with pytest.raises(ExportFailed, match="works for Phi-3 models"):
        export.copy(model, "openvino-fp32", tmp_path / "made")


@pytest.mark.parametrize("name", [name for name in NAMES if name == NAME])
def test_the_trained_model_answers_the_same_in_three_runtimes(name):
    """Greedy answers to held-out pictures of every kind."""
    turns = [made.turns[0] for part in PARTS for made in held_out(part, 3)]
    assert len(turns) >= 48
    wanted = answers("transformers", name, turns, 24)
    for route in ROUTES[1:]:
        for turn, ours, theirs in zip(turns, answers(route, name, turns, 24), wanted, strict=True):
            assert ours[0] == theirs[0], (route, turn.prompt)
