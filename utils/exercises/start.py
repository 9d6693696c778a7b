"""Exercises of the first steps: a prompt of one's own, and a limit on the answer.

The rules look at what the model answered, not at how the learner wrote it, so any route and any wording may pass.
"""

import re

from utils.checks import exercise
from utils.core import Completion

_SHAPE = 'Write complete(model, "your prompt").'


@exercise(
    "start.forty_two",
    praise="Your prompt made the model say 42. It ran no calculator: it wrote that token by token, like any answer.",
    hints=(
        "Ask something whose answer is a number.",
        "Ask for a sum whose result is 42.",
        'For example complete(model, "What is 20 + 22?"). Small models slip: if one sum fails, try another.',
    ),
)
def forty_two(answer: object) -> str | None:
    """An answer in which the number 42 stands."""
    if not isinstance(answer, Completion):
        return _not_an_answer(answer)
    numbers = re.findall(r"\d+", answer.text)
    if "42" in numbers:
        return None
    if numbers:
        return f"The model said {', '.join(numbers[:3])} and not 42."
    return "The model answered without any number." if answer.text.strip() else "The model's answer is empty."


@exercise(
    "start.five_tokens",
    praise="Five tokens, then silence. max_tokens is a limit, not a wish: the model does not know that it will be cut.",
    hints=(
        "Options(...) goes into complete() as the third argument.",
        "The option that limits the length is called max_tokens.",
        "short = complete(model, question, Options(max_tokens=5))",
    ),
)
def five_tokens(answer: object) -> str | None:
    """An answer that was cut off after exactly five tokens."""
    if not isinstance(answer, Completion):
        return _not_an_answer(answer)
    if answer.tokens is None:
        return 'This route does not count tokens. Set route = "onnx" at the top, run all cells, and try again.'
    if answer.finish_reason != "length":
        return f"The model ended its answer by itself, after {answer.tokens} tokens: nothing cut it off."
    return None if answer.tokens == 5 else f"The answer was cut off after {answer.tokens} tokens, not after 5."


def _not_an_answer(answer: object) -> str:
    if isinstance(answer, str):
        return f"This is only text, not the whole result that complete() returns. {_SHAPE}"
    if callable(answer):
        return f"This is a function that was not called. {_SHAPE}"
    return f"The exercise expects the result of complete(), and this is of type {type(answer).__name__}. {_SHAPE}"
