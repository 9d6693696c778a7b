"""The learner's own model: it learns in a few steps, stops when told to, and runs on the routes."""

import itertools

import pytest

from utils import Options, complete, connect
from utils.pocket import batches, nano
from utils.pocket.texts import pages, texts


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(batches, "SHARD", 512)


@pytest.fixture(scope="module")
def run():
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "SHARD", 512)
        made = nano.pretrain(seen.append, steps=30)
    return made, seen


def test_the_loss_falls_and_every_step_is_told(run):
    made, seen = run
    assert [step.number for step in seen] == list(range(1, 31)) and {step.of for step in seen} == {30}
    assert seen[-1].loss < seen[0].loss - 2
    assert [step.seconds for step in seen] == sorted(step.seconds for step in seen)
    assert seen[-1].tokens > 30 * 500
    assert made.losses == [(step.number, step.loss) for step in seen]


def test_the_same_steps_give_the_same_model(run):
    made, _ = run
    again = nano.pretrain(steps=30)
    assert [loss for _, loss in again.losses] == pytest.approx([loss for _, loss in made.losses], abs=1e-3)


def test_learning_to_answer_begins_with_what_was_read(run):
    made, _ = run
    fresh = nano.pretrain(stopped=lambda: True)
    assert fresh.losses == []
    ours, theirs = nano.tune(made, steps=4), nano.tune(fresh, steps=4)
    assert ours.losses[0][1] < theirs.losses[0][1] - 1
    assert made.recipe.mix == "nano text" and ours.recipe.mix == "nano chat"


def test_it_stops_when_told_to():
    calls = itertools.count()
    stopped = nano.pretrain(stopped=lambda: next(calls) >= 3, steps=30)
    assert len(stopped.losses) == 3
    assert isinstance(nano.say(stopped, "Hello"), str)


def test_a_slow_machine_gets_fewer_steps_in_the_time():
    limited = nano.pretrain(steps=10_000, seconds=1.5)
    assert len(limited.losses) in range(2, 1000)
    assert limited.seconds < 10


def test_the_saved_model_runs_on_the_routes(run, tmp_path):
    made, _ = run
    folder = nano.save(nano.tune(made, steps=5), tmp_path / "my-phi")
    for route in ("onnx", "transformers"):
        answer = complete(connect(route, folder), "When is breakfast?", Options(max_tokens=8))
        assert answer.tokens and answer.source == "pocket"


def test_it_reads_a_text_of_ones_own():
    own = ["The goat of the hut is called Berta, and Berta likes to eat the laundry of the guests."] * 20
    made = nano.pretrain(texts=own, steps=40)
    assert nano.loss(made, own[:1]) < 1 < nano.loss(made, texts(5))
    assert "Berta" in nano.say(made, "The goat of the hut is called", chat=False)


def test_too_short_a_text_is_told():
    with pytest.raises(ValueError, match="These texts have 4 tokens"):
        nano.pretrain(texts=["The hut."], steps=1)


def test_a_model_that_knows_nothing_is_as_unsure_as_the_vocabulary_is_large():
    fresh = nano.pretrain(stopped=lambda: True)
    assert nano.loss(fresh, texts(5)) == pytest.approx(8.54, abs=0.15)  # the natural logarithm of 5,120


def test_pages_are_texts_with_much_around_them():
    raw, good = pages(400), set(texts(400))
    inside = [page for page in raw if any(text in page for text in good)]
    assert raw == pages(400) and 150 < len(inside) < 330
    assert len(set(raw)) < len(raw) - 60  # copies
    assert all("cookies" in page.lower() for page in raw)
