"""From turns to conversations: system prompts, several turns, looking back; and how often each task comes."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import partial

from .grammar import Document, load
from .tasks import Task, Turn, looking
from .tasks.drills import bill, copy, differences, long_copy, mixed_words, recall, sums
from .tasks.exchange import capital, exchange
from .tasks.languages import CODES, tasks
from .tasks.messages import booking, entities, tool_call
from .tasks.reading import passage_turn, short_passage, summary
from .tasks.spelling import spelling
from .tasks.writing import completion, prose, sentiment, story, translation

Mix = dict[str, tuple[float, Task]]  # name: (share of the training conversations, task)

ENGLISH: Mix = {
    "field": (21, exchange("field")),
    "hut": (7.5, exchange("hut")),
    "talk": (4.5, exchange("talk")),
    "refuse": (2.5, exchange("refuse")),
    "unknown": (2.5, exchange("unknown")),
    "code": (0.8, exchange("code", wrap=False)),
    "reading": (17, passage_turn),
    "summary": (7, summary),
    "sentiment": (5.5, sentiment),
    "story": (2.5, story),
    "completion": (0.3, completion),
    "prose": (0.7, prose),
    "booking": (7, booking),
    "entities": (3, entities),
    "tool call": (6, tool_call),
    "sums": (4, sums),
    "differences": (0.5, differences),
    "bill": (1.5, bill),
    "spelling": (22.5, spelling),
    "translation": (0.8, translation),
    "copy": (3, copy),
}


def rules(document: Document) -> Turn:
    """A question under a rule about words that mean nothing. The few phrases of all other rules are learnt by heart: of
    rules with phrases that it had never seen pocket-phi-3-mini followed one in a hundred."""
    first = document.choice([*[exchange("field")] * 2, exchange("hut"), exchange("talk")])(Document(document.rng))
    made = _under_rule(document, capital(mixed_words(document)) + document.choice([".", "!", ",", ":", ""]), (first,))
    return replace(made.turns[0], system=made.system)


# What remained weakest (reading) and what matters most (the field) come oftener at the end.
LAST: Mix = ENGLISH | {
    name: (share, ENGLISH[name][1]) for name, share in {"field": 22, "reading": 34, "sums": 4, "spelling": 16}.items()
}
# For a larger model, which begins with what this one learnt: what needs room, and at the end what it must not forget.
LARGER: Mix = ENGLISH | {
    name: (share, ENGLISH[name][1])
    for name, share in {"field": 25, "hut": 9, "unknown": 4, "tool call": 8, "differences": 2}.items()
}
LARGER |= {
    "rules": (8, rules),
    "more field": (10, exchange("field", more=True)),
    "more tool calls": (4, partial(tool_call, more=True)),
}
LARGER_LAST: Mix = LARGER | {
    name: (share, LARGER[name][1])
    for name, share in {
        "field": 45,
        "more field": 25,
        "hut": 26,
        "talk": 6,
        "refuse": 4,
        "unknown": 6,
        "reading": 42,
        "booking": 9,
        "entities": 4,
        "tool call": 14,
        "more tool calls": 16,
        "spelling": 16,
        "copy": 8,
    }.items()
}
# A little of what the English model learns, for a model that begins as that one, and five languages.
LANGUAGES: Mix = {name: (0.25 * share, task) for name, (share, task) in ENGLISH.items() if name != "translation"}
for code in CODES:
    LANGUAGES |= tasks(code)
# Answering, in every language, was weaker than translating.
SHARES = {"translation": 3, "questions": 7, "reading": 9, "sentiment": 1}
LANGUAGES_LAST: Mix = {
    name: (SHARES[name.split(" ")[0]] if name.endswith(")") or name.startswith("translation ") else share, task)
    for name, (share, task) in LANGUAGES.items()
} | {name: (share, ENGLISH[name][1]) for name, share in {"field": 10, "reading": 6}.items()}
PICTURES: Mix = {name: (share, task) for name, (share, task, _) in looking.KINDS.items()}
PICTURES |= {name: (share, ENGLISH[name][1]) for name, share in {"field": 7, "hut": 4, "talk": 2, "unknown": 2}.items()}
# Counting was the weakest of what is promised.
PICTURES_LAST: Mix = PICTURES | {"shapes": (45, PICTURES["shapes"][1])}
NANO_TEXT: Mix = {"prose": (4, prose), "story": (1, story)}
NANO_CHAT: Mix = {name: (share, ENGLISH[name][1]) for name, share in {"field": 4, "hut": 3, "talk": 2}.items()}
MIXES = {
    "english": ENGLISH,
    "english last": LAST,
    "english larger": LARGER,
    "english larger last": LARGER_LAST,
    "languages": LANGUAGES,
    "languages last": LANGUAGES_LAST,
    "pictures": PICTURES,
    "pictures last": PICTURES_LAST,
    "nano text": NANO_TEXT,  # what a learner's own model learns in a minute
    "nano chat": NANO_CHAT,
}
PARTS = {name: parts for name, (_, _, parts) in looking.KINDS.items()}  # tasks whose turns have several names
PARTS |= {f"reading{of}": (f"reading{of}", f"not in the text{of}") for of in ("", *(f" ({code})" for code in CODES))}
TASKS = {name: task for mix in MIXES.values() for name, (_, task) in mix.items()}
DRILLS: tuple[Task, ...] = (recall, spelling, short_passage, sums)


@dataclass(frozen=True)
class Conversation:
    """What one training sequence is made from. With an empty prompt in its only turn it is plain text."""

    system: str
    turns: tuple[Turn, ...]


def task(name: str) -> Task:
    """The task of that name."""
    return TASKS[name]


def conversation(seed: int, drills: tuple[float, float] = (0.0, 0.0), mix: str = "english") -> Conversation:
    """The training conversation number `seed`; `drills` are the shares of copy drills and of other drills."""
    rng = random.Random(seed)
    kind = rng.random()
    if kind < sum(drills) and mix.startswith("english"):  # the others begin with a model that has done them
        first = (long_copy if kind < drills[0] else rng.choices(DRILLS, [3, 4, 3, 1])[0])(Document(rng))
        return Conversation("", (first, *first.then))
    shares = MIXES[mix]
    name = rng.choices(list(shares), [share for share, _ in shares.values()])[0]
    first = task(name)(Document(rng))
    document = Document(rng)
    if not first.prompt:
        return Conversation("", (first,))
    if first.system or first.pictures:
        return Conversation(first.system, (first, *first.then))
    if first.then:
        return _with_system(document, (first, *first.then))
    if len(first.prompt) > 300 or document.chance(0.75):
        return _with_system(document, (first,))
    return _with_system(document, _several(document, first))


def _several(document: Document, first: Turn) -> tuple[Turn, ...]:
    """Two to four turns: small tasks, a name to remember, or "say that again"."""
    turns = [first]
    if first.task.endswith(")"):  # "questions (zh)": who writes Chinese goes on in Chinese
        same = f"questions {first.task[-4:]}"
        return (first, *(task(same)(Document(document.rng)) for _ in range(document.rng.randint(1, 3))))
    if document.chance(0.35):
        given = document.expand(document.phrasing(load("dialogue")["name_given"]))
        name = document.slots["guest"]
        asked = document.phrasing(load("dialogue")["name_asked"])
        turns.insert(0, Turn("memory", given, f"Hello {name}, how can I help you?"))
        turns.append(Turn("memory", asked, f"Your name is {name}."))
    elif document.chance(0.3):
        turns.append(replace(first, task="again", prompt=document.phrasing(load("dialogue")["again"])))
    while document.chance(0.4) and len(turns) < 4:
        name = document.choice(["field", "hut", "talk", "sums", "copy", "unknown", "code", "field"])
        turns.append(task(name)(Document(document.rng)))
    return tuple(turns)


def _with_system(document: Document, turns: tuple[Turn, ...]) -> Conversation:
    """The turns under no system prompt, a harmless one, or one with a rule that shapes every reply."""
    words, kind = load("dialogue"), document.rng.random()
    if kind < 0.6:
        return Conversation("", turns)
    if kind < 0.88:
        return Conversation(document.phrasing(words["system"]), turns)
    return _under_rule(document, document.expand(document.phrasing(words["phrase"])), turns)


def _under_rule(document: Document, phrase: str, turns: tuple[Turn, ...]) -> Conversation:
    """The turns under the rule that every reply begins, or ends, with the phrase."""
    end = document.chance(0.5)
    system = document.frame(load("dialogue")["end_rule" if end else "start_rule"], phrase=phrase)
    shaped = [replace(t, reply=f"{t.reply} {phrase}" if end else f"{phrase} {t.reply}") for t in turns]
    return Conversation(system, tuple(shaped))


def rule_turn(document: Document) -> Conversation:
    """One question under a system prompt with a rule: for scoring whether rules are followed."""
    while True:
        made = _with_system(document, (task("field")(Document(document.rng, document.held_out)),))
        if made.system and made.turns[0].reply not in made.turns[0].accept:
            return made
