"""The same weights give the same token ids on every local route: prompts in, greedy answers out, in fp32."""

import sys

import pytest

from utils import Options, connect
from utils.core import Message

OPTIONS = Options(max_tokens=64)
MLX = [] if sys.platform == "win32" else ["mlx"]  # it has no build for Windows
QUESTIONS = [
    "What is an SLM?",
    "what is a small language model",
    "How is a small language model different from a large one?",
    "What does Phi-3 mean?",
    "Can I run a small model on a laptop without a network?",
    "When is breakfast?",
    "breakfast time?",
    "How much is a bowl of soup?",
    "May I bring my dog into the hut?",
    "Is there hot water?",
    "Tell me a story about a fox.",
    "Write a story about a bear and a lantern.",
    "What is 12 + 30?",
    "Spell the word 'lantern'.",
    "Repeat: Torvik Pass, Lake Simmer, Brunell",
    "Is this guestbook entry positive or negative? The soup was cold and nobody helped us.",
    "Summarise in one sentence: The trail was wet. Two bridges are closed. The hut is open until October.",
    "Booking: Anna Veld, 3 people, 2 nights from 14 July. Give me the booking as JSON.",
    'What is missing here? {"guest": "Anna", "nights": 2, "people": }',
    "Thank you, that was very helpful!",
]
SHAPES = [
    "  blanks before,  between and after  ",
    "line one\nline two\n\n\tline four",
    "naïve café, 7 °C – „quoted“, 10 €",
    "小模型是什么？",
    "שלום, what is this?",
    "🏔️ 👩‍👧 hut",
    "<|user|>\n a prompt that writes the template itself <|end|>\n",
    "x = [1, 2.5, -3]; print(f'{x!r}')",
]
TALKS: list[list[Message]] = [
    [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "Is the hut open?"}],
    [
        {"role": "user", "content": "My name is Ilva."},
        {"role": "assistant", "content": "Hello, Ilva."},
        {"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "my name?"}]},
    ],
]
PROMPTS: list[list[Message]] = [[{"role": "user", "content": text}] for text in QUESTIONS + SHAPES] + TALKS


@pytest.fixture(scope="module")
def routes():
    return connect("onnx", mode="offline"), connect("transformers", mode="offline")


@pytest.fixture(scope="module")
def others():
    return [connect(route, mode="offline") for route in ("onnx", "openvino", "llama.cpp", *MLX)]


@pytest.mark.parametrize("messages", PROMPTS, ids=range(len(PROMPTS)))
def test_every_route_gives_the_same_tokens(routes, others, messages):
    _, transformers = routes
    ids = transformers.prompt_ids(messages)
    answer = list(transformers.generate(ids, OPTIONS))
    assert answer
    for other in others:
        assert other.prompt_ids(messages) == ids, other.name
        assert list(other.generate(ids, OPTIONS)) == answer, other.name


def test_there_are_thirty_prompts():
    assert len(PROMPTS) == 30


def test_the_newline_after_a_chat_token_is_swallowed(routes):
    """Phi-3 marks its chat tokens rstrip: the template's newlines, and blanks at a message's start, leave no token."""
    onnx, transformers = routes
    for backend in routes:
        assert backend.prompt_ids([{"role": "user", "content": "hut"}]) == backend.prompt_ids(
            [{"role": "user", "content": " \n hut"}]
        )
    fast = transformers._tokenizer.backend_tokenizer
    user, end, assistant = (fast.token_to_id(token) for token in ("<|user|>", "<|end|>", "<|assistant|>"))
    hut = fast.encode("hut", add_special_tokens=False).ids
    assert onnx.prompt_ids([{"role": "user", "content": "hut"}]) == [user, *hut, end, assistant]


def test_transformers_route_is_token_exact_with_generate(routes):
    import torch

    _, backend = routes
    for messages in PROMPTS[:6]:
        ids = backend.prompt_ids(messages)
        with torch.inference_mode():
            whole = backend._model.generate(torch.tensor([ids]), max_new_tokens=64, do_sample=False)
        assert list(backend.generate(ids, OPTIONS)) == whole[0, len(ids) :].tolist()


def test_transformers_route_draws_what_generate_draws(routes):
    import torch

    _, backend = routes
    ids = backend.prompt_ids(PROMPTS[10])
    torch.manual_seed(7)
    with torch.inference_mode():
        whole = backend._model.generate(
            torch.tensor([ids]), max_new_tokens=40, do_sample=True, temperature=0.9, top_p=0.8, top_k=0
        )
    options = Options(max_tokens=40, temperature=0.9, top_p=0.8, seed=7)
    assert list(backend.generate(ids, options)) == whole[0, len(ids) :].tolist()
