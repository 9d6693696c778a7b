"""Exercises about the Phi family: where the parameters are, the chat template, and the KV cache."""

from __future__ import annotations

import math

from utils import catalog
from utils.checks import exercise
from utils.exercises.answers import judged

MODEL = "phi-3.5-mini"
PROMPT = "<|system|>\nYou are the warden.<|end|>\n<|user|>\nWhen is breakfast?<|end|>\n<|assistant|>\n"


@exercise(
    "family.attention",
    praise="37.7 million, and 32 layers have 1.2 billion: a third of the model. Most of the rest is in the MLPs.",
    hints=(
        "Four matrices: for queries, keys, values, and one that puts the heads' results together.",
        "Each turns 3,072 numbers into 3,072 numbers: 32 heads of 96 make 3,072 again.",
        "parameters = 4 * 3072 * 3072",
    ),
)
def attention(answer: object) -> str | None:
    """The parameters of the attention of one layer of Phi-3.5-mini."""
    shape = catalog.load().models[MODEL].shape
    matrix = shape["hidden_size"] ** 2
    missing = "Queries, keys and values are there. Missing is the matrix that puts the heads' results together."
    near = (
        (3 * matrix, missing),
        (matrix, "This is one matrix. Attention has four of them."),
        (4 * matrix * shape["num_hidden_layers"], "This is the attention of all layers. Asked for is one layer."),
        (4 * matrix // shape["num_attention_heads"], "This is what one head has. The matrices hold all 32 heads."),
        (4 * shape["hidden_size"], "Each of the four is a matrix: 3,072 rows of 3,072 numbers."),
        (4 * matrix / 1e6, "These are millions. Asked for is the number itself."),
        (3 * shape["hidden_size"] * shape["intermediate_size"], "This is the layer's MLP, not its attention."),
    )
    return judged(answer, 4 * matrix, near)


@exercise(
    "family.template",
    praise="Token for token what Phi-3 was trained on, up to where its answer begins.",
    hints=(
        "Each turn is <|role|>, a new line, the text, <|end|>, a new line.",
        "After the last turn comes <|assistant|> and a new line: there the model goes on.",
        "Begin with '<|system|>\\nYou are the warden.<|end|>\\n' and go on with the user's turn.",
    ),
)
def template(answer: object) -> str | None:
    """The text that Phi-3 reads for the system prompt 'You are the warden.' and the question 'When is breakfast?'."""
    if isinstance(answer, list):
        return "This is a list of messages. Asked for is the text that the template makes of it."
    if not isinstance(answer, str):
        return f"The exercise expects a text, and this is of type {type(answer).__name__}."
    if answer == PROMPT:
        return None
    if "[INST]" in answer or "<|im_start|>" in answer:
        return "This is another family's template. Phi-3 would read it as plain text."
    if "<|" not in answer:
        return "The special tokens are missing: <|system|>, <|user|>, <|assistant|> and <|end|>."
    if "<|system|>" not in answer:
        return "The system prompt is missing: it comes first, in a turn of its own."
    if "<|assistant|>" not in answer:
        return "It ends before the answer can begin: the last token must say that the assistant speaks."
    if answer.count("<|end|>") < 2:
        return "Each turn ends with <|end|>, and some of them do not."
    if "".join(answer.split()) == "".join(PROMPT.split()):
        return "Nearly: the template writes a new line after each role and after each <|end|>, and nothing else."
    place = next((i for i in range(len(PROMPT)) if answer[: i + 1] != PROMPT[: i + 1]), len(PROMPT))
    return f"It is right up to {answer[max(0, place - 12) : place]!r}, and then goes another way."


@exercise(
    "family.cache",
    praise="51.5 GB, or 48 GiB: for one conversation, beside 2 GB of weights. A context is long only if it fits.",
    hints=(
        "For each token the cache keeps a key and a value: in each of 32 layers, 32 heads of 96 numbers.",
        "Each number has two bytes: 2 * 32 * 32 * 96 * 2 = 393,216 bytes for a token.",
        "gigabytes = 393_216 * 131_072 / 1e9",
    ),
)
def cache(answer: object) -> str | None:
    """The KV cache of Phi-3.5-mini for its whole context of 131,072 tokens, in GB, with two bytes a number."""
    row = catalog.load().models[MODEL]
    right = (row.kv_bytes or 0) * row.context / 1e9
    near = (
        (right / 2, "This is half of it: there are keys and values, and each number has two bytes."),
        (right / 4, "This is a quarter of it. Phi-3.5-mini has 32 KV heads, not 8, whatever one reads."),
        (
            right / row.shape["num_hidden_layers"],
            "This is the cache of one layer, or of 4,096 tokens. Asked for is all.",
        ),
        (right / 1.024, "A KiB has 1,024 bytes: 384 KiB are 393,216."),
        (right * 1e9, "These are bytes. Asked for are gigabytes."),
    )
    in_gib = isinstance(answer, float | int) and math.isclose(answer, right * 1e9 / 2**30, rel_tol=0.01)
    return None if in_gib else judged(answer, right, near, unit="GB", within=0.005)
