"""Batches, Muon, and a training run small enough for a test: it learns, and it resumes exactly."""

from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer

from utils.pocket import batches, folder
from utils.pocket.batches import IGNORED, encode, shard, stream
from utils.pocket.dialogue import Conversation
from utils.pocket.muon import Muon, orthogonal
from utils.pocket.recipes import RECIPES
from utils.pocket.saving import write
from utils.pocket.tasks import Turn
from utils.pocket.train import LAST_SHARD, Run, data_hash, learn, schedule, train

TINY = replace(
    RECIPES["pocket-phi-3-mini"],
    shape={
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "intermediate_size": 32,
    },
    steps=4,
    last=2,
    tokens=512,
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(folder("pocket-phi-3-mini") / "tokenizer.json"))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(batches, "SHARD", 64)


def test_only_replies_are_learned(tokenizer):
    made = Conversation("Be brief.", (Turn("talk", "Hello", "Good day."), Turn("talk", "Bye", "See you.")))
    [(ids, weights, _)] = encode(tokenizer, [made])
    learned = [i for i, weight in zip(ids, weights, strict=True) if weight]
    assert tokenizer.decode(learned, skip_special_tokens=False) == "Good day.<|end|>See you.<|end|>"
    rendered = (
        "<|system|>\nBe brief.<|end|>\n<|user|>\nHello<|end|>\n<|assistant|>\nGood day.<|end|>\n"
        "<|user|>\nBye<|end|>\n<|assistant|>\nSee you.<|end|>\n"
    )
    assert ids == tokenizer.encode(rendered).ids


def test_a_replys_first_tokens_weigh_most(tokenizer):
    [(_, weights, _)] = encode(tokenizer, [Conversation("", (Turn("talk", "Hello", "Good day to you."),))])
    learned = [weight for weight in weights if weight]
    assert learned == pytest.approx([(i + 1) ** -0.5 for i in range(len(learned))])


def test_the_first_shards_have_half_the_batch(tokenizer, monkeypatch):
    monkeypatch.setattr(batches, "SMALL", 1)
    sizes: dict[int, list[int]] = {0: [], 1: []}
    for (number, index), batch in stream(tokenizer, 512, 1, 256):
        sizes[number if index else number - 1].append(batch.ids.numel())
        if (number, index) == (2, 0):
            break
    assert max(sizes[0]) <= 256 < max(sizes[1]) <= 512


def test_labels_are_the_next_tokens_and_batches_keep_to_their_size(tokenizer):
    for batch in shard(tokenizer, 0, 512, seed=1, limit=256):
        assert batch.ids.shape == batch.labels.shape == batch.weights.shape
        assert torch.equal(batch.labels == IGNORED, batch.weights == 0)
        assert batch.ids.numel() <= 512 or batch.ids.size(0) == 1
        known = batch.labels[:, :-1] != IGNORED
        assert torch.equal(batch.labels[:, :-1][known], batch.ids[:, 1:][known])
        assert bool(known.any(dim=1).all())


def test_a_stream_goes_on_from_any_position(tokenizer):
    whole = stream(tokenizer, 512, 1, 256)
    first = [next(whole) for _ in range(12)]
    again = stream(tokenizer, 512, 1, 256, start=first[6][0])
    for (position, batch), (position2, batch2) in zip(first[7:], again, strict=False):
        assert position == position2
        assert torch.equal(batch.ids, batch2.ids)


def test_orthogonal_keeps_directions_and_evens_out_sizes():
    torch.manual_seed(0)
    for shape in ((16, 40), (40, 16)):
        matrix = torch.randn(shape)
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        made = u.T @ orthogonal(matrix) @ v.T
        assert torch.diag(made).min() > 0.5
        assert torch.diag(made).max() < 1.5
        assert (made - torch.diag(torch.diag(made))).abs().max() < 0.1


def test_muon_takes_fused_matrices_apart():
    """Queries and keys must learn although the gradient of the values is a thousand times larger."""
    torch.manual_seed(0)
    fused = torch.nn.Parameter(torch.zeros(48, 16))
    fused.grad = torch.cat([torch.randn(16, 16) * size for size in (1e-3, 1e-3, 1.0)])
    Muon([("layers.0.self_attn.qkv_proj.weight", fused)], lr=1.0).step()
    queries, keys, values = (float(part.norm()) for part in fused.detach().chunk(3))
    assert queries == pytest.approx(values, rel=0.3)
    assert keys == pytest.approx(values, rel=0.3)


def test_the_rate_rises_stays_and_falls():
    rates = [schedule(step, 1000) for step in range(1000)]
    assert rates[0] < rates[50] < rates[100] == rates[300] == 1.0
    assert rates[700] == pytest.approx(0.5)
    assert rates[999] < 0.01
    last = [schedule(1000 + step, 1000, 100, 0.12) for step in range(100)]
    assert last[0] < last[19] == max(last) < 0.12 and last[99] < 0.002


def test_training_lowers_the_loss(tokenizer, tmp_path):
    run = Run(replace(TINY, steps=400, last=0), tokenizer, tmp_path)
    _, batch = next(run.batches())
    losses = []
    for _ in range(25):
        losses.append(learn(run, batch))
        run.step += 4
    assert losses[-1] < losses[0] - 1


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(tokenizer, tmp_path, monkeypatch):
    straight = train(TINY, tokenizer, tmp_path / "straight")
    calls = iter(range(100))

    def stops_at_three(run, batch):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return learn(run, batch)

    monkeypatch.setattr("utils.pocket.train.learn", stops_at_three)
    with pytest.raises(KeyboardInterrupt):
        train(TINY, tokenizer, tmp_path / "stopped")
    resumed = train(TINY, tokenizer, tmp_path / "stopped")
    assert resumed.step == straight.step == 6
    assert resumed.position == straight.position == (LAST_SHARD, 2)  # the last steps have conversations of their own
    for ours, theirs in zip(resumed.model.parameters(), straight.model.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_checkpoint_of_another_recipe_is_not_used(tokenizer, tmp_path):
    Run(TINY, tokenizer, tmp_path).save()
    assert Run(TINY, tokenizer, tmp_path).resume()
    assert not Run(replace(TINY, seed=2), tokenizer, tmp_path).resume()


def test_weights_are_written_in_16_bit_and_load_again(tokenizer, tmp_path):
    from safetensors.torch import load_file
    from transformers import Phi3ForCausalLM

    run = Run(TINY, tokenizer, tmp_path)
    write(run, tmp_path)
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.float16}
    assert Phi3ForCausalLM.from_pretrained(tmp_path).config.model_type == "phi3"


def test_the_data_hash_belongs_to_a_seed():
    assert data_hash(1, "english") == data_hash(1, "english") != data_hash(2, "english")
    assert data_hash(1, "english") != data_hash(1, "english last")


@pytest.mark.parametrize("name", RECIPES)
def test_every_model_still_trains(tokenizer, tmp_path, monkeypatch, name):
    """One per cent of the steps, with batches a quarter as large, from random weights: the loss falls."""
    whole, losses = RECIPES[name], []

    def noted(run, batch):
        losses.append(learn(run, batch))
        return losses[-1]

    monkeypatch.setattr("utils.pocket.train.learn", noted)
    steps, looking = -(-whole.steps // 100), -(-whole.looking // 100)
    small = replace(whole, steps=steps, looking=looking, last=0, tokens=1024, grown_from="")
    assert train(small, tokenizer, tmp_path).step == steps == len(losses)
    for part in (losses[:looking], losses[looking:]):
        third = len(part) // 3
        assert sum(part[-third:]) <= 0.95 * sum(part[:third])
