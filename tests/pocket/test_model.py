"""The committed weights: what the model card says of them is what a fresh sample of held-out documents shows."""

import json
import random
import re

import pytest
import torch
from tokenizers import Tokenizer
from transformers import Phi3ForCausalLM

from utils.pocket import NAMES, folder
from utils.pocket.dialogue import task as make
from utils.pocket.evaluate import TASK_NAMES, answers, greedy, held_out, prompt_ids
from utils.pocket.grammar import Document
from utils.pocket.train import RECIPES, data

SAMPLE = 24
PROMISED = {  # what the course needs
    "field": 0.90,
    "reading": 0.80,
    "not in the text": 0.90,
    "sentiment": 0.90,
    "booking": 0.85,
    "tool call": 0.85,
    "sums": 0.80,
    "spelling": 0.80,
    "summary": 0.80,
}
CHECKED = ("field", "sentiment", "tool call", "summary", "reading")


@pytest.fixture(scope="module")
def model() -> Phi3ForCausalLM:
    return Phi3ForCausalLM.from_pretrained(folder("pocket-phi-3-mini"), dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(folder("pocket-phi-3-mini") / "tokenizer.json"))


def record(name: str) -> dict:
    return json.loads((folder(name) / "training.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_the_record_is_complete_and_belongs_to_this_corpus(name):
    made = record(name)
    assert set(made["scores"]) == set(TASK_NAMES)
    assert made["minutes"] <= 90
    assert made["data_sha256"] == data(RECIPES[name]), "the corpus has changed since the model was trained"


@pytest.mark.parametrize("name", NAMES)
def test_the_card_gives_the_recorded_scores(name):
    card = (folder(name) / "README.md").read_text()
    for task, score in record(name)["scores"].items():
        assert re.search(rf"^\| {task} \| [^|]+ \| {score:.1%} \|$", card, re.M)
    assert f"{record(name)['parameters'] / 1e6:.1f} million" in card


@pytest.mark.parametrize("task", PROMISED)
def test_the_recorded_score_keeps_what_is_promised(task):
    assert record("pocket-phi-3-mini")["scores"][task] >= PROMISED[task]


@pytest.mark.parametrize("task", CHECKED)
def test_a_fresh_sample_agrees_with_the_card(model, tokenizer, task):
    """Other held-out documents than the card's; three standard errors of a sample of this size are 0.31 at most."""
    right = sum(answer.right for answer in answers(model, tokenizer, task, SAMPLE, seed=1)) / SAMPLE
    assert right == pytest.approx(record("pocket-phi-3-mini")["scores"][task], abs=0.31)


def test_stories_read_as_english(model, tokenizer):
    """Not a judgement of style: whole sentences, none of them twice, made of words that training stories have."""
    known = words(" ".join(make("story")(Document(random.Random(i))).reply for i in range(3000)))
    asked = [made.turns[0].prompt for made in held_out("story", 20, seed=1)]
    texts = greedy(model, tokenizer, [prompt_ids(tokenizer, "", prompt) for prompt in asked])
    good = [well_formed(text, known | words(prompt)) for prompt, text in zip(asked, texts, strict=True)]
    assert sum(good) >= 17, texts


def words(text: str) -> set[str]:
    """Without those in capitals: names may be invented."""
    return set(re.findall(r"\b[a-z']+", text))


def well_formed(text: str, known: set[str]) -> bool:
    sentences = re.split(r"(?<=[.!?\"]) ", text)
    whole = len(sentences) >= 3 and len(set(sentences)) == len(sentences) and text[-1] in '.!?"'
    return whole and words(text) <= known
