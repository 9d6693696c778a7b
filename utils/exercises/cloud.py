"""Exercises about asking a server: what is sent, what it costs, and what its refusals ask for."""

from __future__ import annotations

from collections.abc import Mapping

from utils.checks import exercise
from utils.exercises.answers import judged

CONVERSATION = (
    ("system", "Answer in one sentence."),
    ("user", "When is breakfast?"),
    ("assistant", "From 6:30 to 8:00."),
    ("user", "And dinner?"),
)
TURNS, ASKED, SAID = 10, 20, 80  # tokens of a question and of an answer
MEND, WAIT, MOVE = "mend", "wait", "move"
STATUSES: Mapping[int, tuple[str, str]] = {
    400: (MEND, "The request itself is wrong: sent again, it fails again."),
    401: (MEND, "The key is missing or wrong: waiting does not make it right."),
    404: (MEND, "There is no such name there: look it up, for example with /v1/models."),
    410: (MOVE, "It was there and is gone for good, as GitHub Models is: another service or the open weights."),
    429: (WAIT, "Nothing is wrong with the request: there were too many of them in a short time."),
    503: (WAIT, "The server is too busy or being repaired: nothing that you send can change that."),
}


@exercise(
    "cloud.conversation",
    praise="Four messages. The server reads all of them, and writes the fifth.",
    hints=(
        "First how to answer, then the turns in their order, the model's own answer among them.",
        "The roles are system, user, assistant, user.",
        'messages = [{"role": "system", "content": "Answer in one sentence."}, {"role": "user", ...}, ...]',
    ),
)
def conversation(answer: object) -> str | None:
    """A list of messages: mappings with a role and a content, as both client libraries take them."""
    if not isinstance(answer, list | tuple):
        return f"The exercise expects a list of messages, and this is of type {type(answer).__name__}."
    if odd := [one for one in answer if not isinstance(one, Mapping) or not {"role", "content"} <= set(one)]:
        return f"A message has a role and a content, and this one has not: {odd[0]!r:.60}"
    given = [(str(one["role"]), str(one["content"]).strip()) for one in answer]
    roles = [role for role, _ in given]
    if strange := [role for role in roles if role not in ("system", "user", "assistant")]:
        return f"There is no role {strange[0]!r}: it is system, user or assistant."
    if "system" not in roles:
        return "The system prompt is missing: the server does not remember it either."
    if roles[0] != "system":
        return "The system prompt comes first."
    if "assistant" not in roles:
        return (
            "The model's own answer is missing: without it 'And dinner?' stands beside a question that is still open."
        )
    if roles[-1] == "assistant":
        return "The last message is the one that waits for an answer: the guest's."
    return _said(given)


def _said(given: list[tuple[str, str]]) -> str | None:
    if len(given) != len(CONVERSATION):
        return f"There should be {len(CONVERSATION)} messages, and here are {len(given)}."
    for place, ((role, text), (wanted, content)) in enumerate(zip(given, CONVERSATION, strict=True), 1):
        if role != wanted:
            return f"Message {place} is by the {wanted}, not by the {role}."
        if text.rstrip(".?") != content.rstrip(".?"):
            return f"Message {place} should say {content!r}."
    return None


@exercise(
    "cloud.tokens",
    praise="4,700 tokens are read for 800 that are written: a long chat costs by what is sent again and again.",
    hints=(
        "What does the server read in the first turn? In the second, in the third?",
        "In the first 20. In the second the first question and answer, and 20 more: 120. Then 220.",
        "tokens = 20 + 120 + 220 + ... + 920",
    ),
)
def tokens(answer: object) -> str | None:
    """Prompt tokens of ten requests in one chat."""
    each = ASKED + SAID
    before = each * TURNS * (TURNS - 1) // 2
    near = (
        (TURNS * ASKED, "These are the questions alone. Each is sent with everything that was said before it."),
        (TURNS * each, "This is the length of the whole chat. Most of it is read more than once."),
        (before, "This is what was said before. Each turn's own question is missing."),
        (before + TURNS * each, "The last answer of each turn is written, not read: it is read in the next turn."),
        (TURNS * SAID, "These are the tokens that are written."),
        ((TURNS - 1) * each + ASKED, "This is the last request alone."),
    )
    return judged(answer, before + TURNS * ASKED, near, unit="tokens")


@exercise(
    "cloud.statuses",
    praise="All six. A program that knows these three words needs no others.",
    hints=(
        "Ask of each: is it about my request, about this moment, or about the service?",
        "Two of them pass by themselves, one never will, and three are for you to put right.",
        "400, 401 and 404 are about the request. 429 and 503 are about this moment.",
    ),
)
def statuses(answer: object) -> str | None:
    """For each status of `STATUSES`: "mend", "wait" or "move"."""
    if not isinstance(answer, Mapping):
        return f"The exercise expects a dictionary, and this is of type {type(answer).__name__}."
    given = {str(status): str(word).strip().lower() for status, word in answer.items()}
    if missing := [status for status in STATUSES if str(status) not in given]:
        return f"There is no word for {missing[0]}."
    for status, (verdict, why) in STATUSES.items():
        word = given[str(status)]
        if word not in (MEND, WAIT, MOVE):
            return f"{word!r} is none of 'mend', 'wait' and 'move'."
        if word != verdict:
            return f"{status} is not {word!r}. {why}"
    return None
