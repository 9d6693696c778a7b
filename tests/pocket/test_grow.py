"""A model that begins with a smaller one's weights answers as that one did, or nearly, before its first step."""

from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer

from utils.pocket import folder
from utils.pocket.evaluate import held_out, load, prompt_ids
from utils.pocket.recipes import MEDIUM, RECIPES, build

MINI = "pocket-phi-3-mini"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(folder(MINI) / "tokenizer.json"))


@pytest.fixture(scope="module")
def mini():
    return load(folder(MINI))


@pytest.fixture(scope="module")
def ids(tokenizer):
    made = [*held_out("field", 3), *held_out("booking", 3)]
    return [torch.tensor([prompt_ids(tokenizer, c.system, c.turns[0].prompt)]) for c in made]


@torch.inference_mode()
def logits(model, prompt):
    return model(prompt).logits[0]


@pytest.mark.parametrize(
    "shape",
    [
        MEDIUM,
        MEDIUM | {"hidden_size": 256, "num_attention_heads": 8, "num_key_value_heads": 8},
        MEDIUM | {"num_hidden_layers": 4},
    ],
    ids=["wider and deeper", "deeper", "wider"],
)
def test_a_larger_model_begins_as_the_smaller_one(tokenizer, mini, ids, shape):
    grown = build(replace(RECIPES["pocket-phi-3-medium"], shape=shape), tokenizer).eval()
    for prompt in ids:
        ours, theirs = logits(grown, prompt), logits(mini, prompt)
        assert torch.equal(ours.argmax(-1)[-1], theirs.argmax(-1)[-1])
        assert (ours.softmax(-1) - theirs.softmax(-1)).abs().max() < 0.05


def test_what_is_new_can_learn(tokenizer, ids):
    grown = build(RECIPES["pocket-phi-3-medium"], tokenizer)
    grown(ids[0], labels=ids[0]).loss.backward()
    new = grown.model.layers[2]  # a layer that mini does not have
    assert new.self_attn.o_proj.weight.abs().max() == 0 < new.self_attn.o_proj.weight.grad.abs().max()
    assert grown.model.embed_tokens.weight.grad[:, 256:].abs().max() > 0


def test_the_same_shape_is_a_copy(tokenizer, mini):
    made = build(RECIPES["pocket-phi-3.5-mini"], tokenizer)
    for ours, theirs in zip(made.parameters(), mini.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_experts_and_their_twin_begin_alike(tokenizer, mini, ids):
    """All with the same units of mini's MLP, but for a little noise: what they answer at first is nearly the same."""
    recipe = RECIPES["pocket-phi-3.5-moe"]
    moe, twin = build(recipe, tokenizer).eval(), build(recipe.beside(), tokenizer).eval()
    experts = moe.model.layers[0].mlp.experts
    assert experts.gate_up_proj.shape == (16, 320, 256)
    assert twin.model.layers[0].mlp.down_proj.weight.shape[1] == 2 * experts.down_proj.shape[2]
    gate = mini.model.layers[0].mlp.gate_up_proj.weight[:160]
    for one in (experts.gate_up_proj[3][:160], twin.model.layers[0].mlp.gate_up_proj.weight[160:320]):
        assert 0 < (one - gate).norm() < 0.1 * gate.norm()
    assert torch.equal(moe.model.layers[1].self_attn.o_proj.weight, mini.model.layers[1].self_attn.o_proj.weight)
    for prompt in ids:
        ours, theirs = logits(moe, prompt).softmax(-1), logits(twin, prompt).softmax(-1)
        assert (ours - theirs).abs().sum(-1).mean() < 0.5
