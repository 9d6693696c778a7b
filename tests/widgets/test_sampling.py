"""The next-token explorer on a real model, and the arithmetic of sampling."""

import numpy as np
import pytest

from utils import connect
from utils.widgets import Sampling
from utils.widgets.sampling import probabilities

LOGITS = np.log(np.array([0.5, 0.25, 0.15, 0.1], np.float32))


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    made = connect("onnx", "pocket-phi-3-mini", mode="offline")
    yield made
    made.close()


def test_probabilities_are_those_of_the_textbook():
    assert probabilities(LOGITS) == pytest.approx([0.5, 0.25, 0.15, 0.1])
    assert probabilities(LOGITS, 0) == pytest.approx([1, 0, 0, 0])
    assert probabilities(LOGITS, top_k=2) == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert probabilities(LOGITS, top_p=0.6) == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert probabilities(LOGITS, top_p=0.05) == pytest.approx([1, 0, 0, 0])
    squared = np.array([0.5, 0.25, 0.15, 0.1]) ** 2
    assert probabilities(LOGITS, 0.5) == pytest.approx(squared / squared.sum())


def test_the_scores_are_the_models(backend):
    """Their argmax is what the model says next, and log-softmax what it says of it."""
    from utils.core import Options

    ids, likely = backend.prompt_ids([{"role": "user", "content": "What is an SLM?"}]), []
    (token,) = backend.generate(ids, Options(max_tokens=1), likely)
    found = backend.scores(ids)
    assert int(found.argmax()) == token
    assert float(np.log(probabilities(found)[token])) == pytest.approx(likely[0], abs=1e-4)
    assert backend.scores(ids) == pytest.approx(found)


def test_each_step_asks_the_model_again(backend):
    sampling = Sampling(backend, "The hut is")
    first = str(sampling)
    assert first.startswith("pocket-phi-3-mini: 'The hut is'") and len(first.splitlines()) == 13
    sampling.temperature.value = 0
    sampling.step_button.click()
    sampling.step_button.click()
    assert len(sampling.taken) == 2 and sampling.so_far_text.startswith("The hut is") and str(sampling) != first
    sampling.back_button.click()
    sampling.back_button.click()
    sampling.temperature.value = 1.0
    assert str(sampling) == first


def test_the_sliders_act_on_what_is_shown(backend):
    sampling = Sampling(backend, "The hut is")
    sampling.top_k.value = 1
    (_, _, raw, now), *others = sampling.candidates()
    assert now == 1.0 > raw and all(other[3] == 0 for other in others)


def test_a_token_can_be_picked(backend):
    sampling = Sampling(backend, "The hut is")
    second = sampling.candidates()[1]
    assert sampling.pick.index == 0 and sampling.pick.label == "a token"
    sampling.pick.value = second[0]
    assert sampling.taken == [second[0]] and sampling.so_far_text == "The hut is" + backend._whole([second[0]])
    assert sampling.pick.index == 0 and sampling.pick.label == "a token"  # the page shows that, ready to pick another


@pytest.mark.parametrize("start", ["", "The hut is"])
def test_an_empty_text_is_said_and_nothing_else_happens(backend, start):
    sampling = Sampling(backend, start)
    sampling.text.value = ""
    sampling.temperature.value = 0.5
    sampling.step_button.click()
    assert "The prompt is empty" in sampling.status.value and sampling.candidates() == [] and sampling.taken == []
    assert "<code>" not in sampling.table.value and sampling.so_far_text == ""
    assert len(str(sampling).splitlines()) == 3
    sampling.text.value = "The hut"
    assert len(sampling.candidates()) == 10


def test_the_end_is_said(backend):
    sampling = Sampling(backend, "x")
    sampling.take(next(iter(backend.ends)))
    assert sampling.taken == [] and "ends its text here" in sampling.status.value


def test_the_same_seed_takes_the_same_tokens(backend):
    def rolled():
        sampling = Sampling(backend, "The hut is", seed=3)
        for _ in range(5):
            sampling.step()
        return sampling.taken

    assert rolled() == rolled()
