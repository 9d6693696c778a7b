"""The same weights give the same token ids on every local route: prompts in, greedy answers out, in fp32."""

import sys

import pytest

from utils import Options, connect
from utils.core import Message
from utils.pocket import NAMES
from utils.pocket.dialogue import conversation
from utils.pocket.evaluate import held_out, scored

OPTIONS = Options(max_tokens=64)
MLX = [] if sys.platform == "win32" else ["mlx"]  # it has no build for Windows
NEAR = 1e-3  # logits closer than this may come out in another order where sums are taken in another order
QUESTIONS = [
    "What is an SLM?",
    "what is a small language model",
    "Can I run a small model on a laptop without a network?",
    "breakfast time?",
    "May I bring my dog into the hut?",
    "Tell me a story about a fox.",
    "Write a story about a bear and a lantern.",
    "Repeat: Torvik Pass, Lake Simmer, Brunell",
    "Summarise in one sentence: The trail was wet. Two bridges are closed. The hut is open until October.",
    'What is missing here? {"guest": "Anna", "nights": 2, "people": }',
    "Thank you, that was very helpful!",
]
SHAPES = [
    "  blanks before,  between and after  ",
    "line one\nline two\n\n\tline four",
    "naïve café, 7 °C – „quoted“, 10 €",
    "小模型是什么？",
    "把“I would like a bowl of soup.”翻译成中文。",
    "朝食は何時ですか。",
    "שלום, what is this?",
    "🏔️ 👩‍👧 hut",
    "<|user|>\n a prompt that writes the template itself <|end|>\n",
    "x = [1, 2.5, -3]; print(f'{x!r}')",
    "def f(n):\n    if n < 2:\n        return n\n    return f(n - 1) + f(n - 2)\n\nWhat does f(3) give?",
    "The hut is open. " * 50 + "Is the hut open?",
    "?",
]
TALKS: list[list[Message]] = [
    [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "Is the hut open?"}],
    [{"role": "system", "content": ""}, {"role": "user", "content": "When is breakfast?"}],
    [
        {"role": "user", "content": "My name is Ilva."},
        {"role": "assistant", "content": "Hello, Ilva."},
        {"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "my name?"}]},
    ],
]
LONG = next(  # of the corpus, with several turns
    made for made in map(conversation, range(5000)) if sum(len(t.prompt) + len(t.reply) for t in made.turns) > 900
)


def asked(task: str) -> list[Message]:
    """A held-out document of the task."""
    [made] = held_out(task, 1)
    system: list[Message] = [{"role": "system", "content": made.system}] if made.system else []
    return [*system, {"role": "user", "content": made.turns[0].prompt}]


def talk() -> list[Message]:
    """The long conversation up to its last question."""
    said: list[Message] = []
    for turn in LONG.turns:
        said += [{"role": "user", "content": turn.prompt}, {"role": "assistant", "content": turn.reply}]
    return said[:-1]


PROMPTS: list[list[Message]] = [
    *([{"role": "user", "content": text}] for text in QUESTIONS + SHAPES),
    *TALKS,
    talk(),
    *(asked(task) for task in scored("english")),
    *(asked(f"{task} ({code})") for task, code in (("questions", "zh"), ("reading", "ja"))),
]
FEW = [*PROMPTS[:4], *PROMPTS[14:17], PROMPTS[22], PROMPTS[25], PROMPTS[30]]


@pytest.fixture(scope="module")
def routes():
    return connect("onnx", mode="offline"), connect("transformers", mode="offline")


@pytest.fixture(scope="module")
def others():
    return [connect(route, mode="offline") for route in ("onnx", "openvino", "llama.cpp", *MLX)]


def check(reference, others, messages):
    """The same prompt ids and the same answers, or a reason: two logits that are next to equal."""
    ids = reference.prompt_ids(messages)
    answer = list(reference.generate(ids, OPTIONS))
    assert answer
    for other in others:
        assert other.prompt_ids(messages) == ids, other.name
        theirs = list(other.generate(ids, OPTIONS))
        if theirs != answer:
            gap(reference, [*ids], answer, theirs, other.name)


def gap(reference, ids, answer, theirs, name):
    """Where the answers part: shows the reference's logits of both tokens, and fails unless they are within NEAR."""
    import torch

    at = next((i for i, (a, b) in enumerate(zip(answer, theirs, strict=False)) if a != b), None)
    assert at is not None, f"{name}: {len(theirs)} tokens instead of {len(answer)}"
    with torch.inference_mode():
        logits = reference._model(torch.tensor([ids + answer[:at]])).logits[0, -1]
    ours, other = float(logits[answer[at]]), float(logits[theirs[at]])
    print(f"{name}, token {at}: {answer[at]} has {ours:.6f}, {theirs[at]} has {other:.6f}")
    assert ours - other < NEAR, f"{name}: token {at} is {theirs[at]} ({other:.6f}), not {answer[at]} ({ours:.6f})"


@pytest.mark.parametrize("messages", PROMPTS, ids=range(len(PROMPTS)))
def test_every_route_gives_the_same_tokens(routes, others, messages):
    check(routes[1], others, messages)


def test_there_are_fifty_prompts():
    assert len(PROMPTS) >= 50


@pytest.mark.parametrize("name", NAMES[1:])
def test_so_do_the_other_models(name):
    """But llama.cpp for a mixture of experts, which computes another function: see its card."""
    there = ["onnx", "openvino", *MLX, *([] if "moe" in name else ["llama.cpp"])]
    if "vision" in name:
        there = ["onnx", "llama.cpp"]
    backends = [connect(route, name, mode="offline") for route in ("transformers", *there)]
    try:
        for messages in FEW:
            check(backends[0], backends[1:], messages)
    finally:
        for backend in backends:
            backend.close()


def test_a_difference_that_is_no_rounding_fails(routes):
    ids = routes[1].prompt_ids(PROMPTS[0])
    answer = list(routes[1].generate(ids, OPTIONS))
    with pytest.raises(AssertionError, match="token 1 is 7"):
        gap(routes[1], [*ids], answer, [answer[0], 7, *answer[2:]], "nobody")
    with pytest.raises(AssertionError, match="nobody: 1 tokens instead of"):
        gap(routes[1], [*ids], answer, answer[:1], "nobody")


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
