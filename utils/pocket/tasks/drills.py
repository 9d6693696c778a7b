"""Exact little skills: copying, looking up, sums and bills."""

from __future__ import annotations

from dataclasses import replace

from ..grammar import Document, invented, load
from . import Turn
from .reading import NOT_SAID

ORDERS = (
    "soups",
    "teas",
    "coffees",
    "cakes",
    "beds",
    "sandwiches",
    "juices",
    "blankets",
    "maps",
    "lemonades",
    "towels",
    "candles",
)
LISTS = (
    ("{key}: {value}.", "{key}?"),
    ("{key} has {value}.", "What does {key} have?"),
    ("{key} is {value}.", "What is {key}?"),
    ("{value} is for {key}.", "What is for {key}?"),
    ("{key} sees {value}.", "What does {key} see?"),
    ("{value} belongs to {key}.", "What belongs to {key}?"),
)


def mixed_words(document: Document) -> str:
    """One to four words, names, numbers or sentences that have nothing to do with each other."""
    document.use("messages")
    makers = (
        lambda: invented(document, document.rng.randint(1, 3)),
        lambda: invented(document, 2),
        lambda: document.expand(document.choice(load("messages")["clean"])),
        lambda: str(document.rng.randint(2, 999)),
        lambda: document.choice(load("words")["item"]),
    )
    return " ".join(document.choice(makers)() for _ in range(document.rng.randint(1, 4)))


def copy(document: Document) -> Turn:
    """Say the given words again. The drill that makes a tiny model able to quote names."""
    text = mixed_words(document)
    return Turn("copy", document.frame(load("dialogue")["copy_prompts"], text=text), text)


def long_copy(document: Document) -> Turn:
    """The same with more and other words: names, dates, pieces of sentences, in no order."""
    exchanges = load("field")["exchange"]
    makers = (
        lambda: invented(document, document.rng.randint(1, 3)),
        lambda: f"{invented(document, 2)} {invented(document, 2)}",
        lambda: document.expand(document.choice(["{place}", "{trail}", "{date}", "{time}", "{surname}", "{item}"])),
        lambda: document.rng.choice(document.choice(exchanges)["replies"][0].split(" ")),
        lambda: document.rng.choice(document.choice(exchanges)["replies"][0].split(" ")),
        lambda: str(document.rng.randint(2, 999)),
    )
    text = " ".join(document.choice(makers)() for _ in range(document.rng.randint(3, 14)))
    return Turn("copy", document.frame(load("dialogue")["copy_prompts"], text=text), text)


def recall(document: Document) -> Turn:
    """A list of names, each with something, and questions after it: the drill for finding the right place in a text."""
    makers = (
        lambda: invented(document, 2),
        lambda: str(document.rng.randint(2, 99)),
        lambda: document.choice(load("words")["item"]),
        lambda: document.choice(load("words")["room"]),
        lambda: document.expand(document.choice(["{day}", "{colour}", "{animal}", "{food}"])),
    )
    form, asked = document.choice(LISTS)
    keys = [invented(document, document.rng.randint(1, 2)) for _ in range(document.rng.randint(2, 7))]
    pairs = {key: document.choice(makers)() for key in keys}
    text = document.choice([" ", "\n"]).join(form.format(key=key, value=value) for key, value in pairs.items())
    turns = []
    for _ in range(document.rng.randint(3, 6)):
        document.slots.clear()
        key = invented(document, 2) if document.chance(0.2) else document.choice(list(pairs))
        turns.append(Turn("recall", asked.format(key=key), f"{key}: {pairs.get(key, NOT_SAID)}"))
    first, *then = turns
    return replace(first, prompt=f"{text}\n{first.prompt}", then=tuple(then))


def _pair(document: Document) -> tuple[int, int]:
    """Two numbers up to 99; an eighth of all pairs is kept for held-out sums."""
    while True:
        a, b = document.rng.randint(1, 99), document.rng.randint(1, 99)
        if ((31 * a + b) % 8 == 5) == document.held_out:
            return a, b


def _sum_turn(document: Document, task: str, prompts: str, a: int, b: int, reply: str) -> Turn:
    return Turn(task, document.frame(document.use("messages")[prompts], a=str(a), b=str(b)), reply)


def worked_sum(a: int, b: int) -> str:
    """The sum with its working: tens first, then ones. A tiny model learns each step, but hardly the whole at once."""
    if a < 10 and b < 10:
        return f"{a} + {b} = {a + b}"
    return f"{a} + {b} = {a // 10 * 10 + b // 10 * 10} + {a % 10 + b % 10} = {a + b}"


def worked_difference(a: int, b: int) -> str:
    """a - b with its working: first the tens of b go, then its ones, by way of the full ten if need be."""
    tens, ones = b // 10 * 10, b % 10
    rest = a - tens
    parts = [f"{a} - {b}"] + ([f"{rest} - {ones}"] if tens else [])
    if ones > rest % 10:
        parts.append(f"{rest // 10 * 10} - {ones - rest % 10}")
    return " = ".join([*parts, str(a - b)])


def sums(document: Document) -> Turn:
    a, b = _pair(document)
    return _sum_turn(document, "sums", "sum_prompts", a, b, worked_sum(a, b))


def differences(document: Document) -> Turn:
    b, a = sorted(_pair(document))
    return _sum_turn(document, "differences", "difference_prompts", a, b, worked_difference(a, b))


def bill(document: Document) -> Turn:
    """Two things at their prices, added up step by step."""
    first, second = document.rng.sample(ORDERS, 2)
    (n, p), (m, q) = ((document.rng.randint(2, 6), document.rng.randint(2, 12)) for _ in range(2))
    order = f"{n} {first} at {p} euros and {m} {second} at {q} euros"
    prompt = document.frame(document.use("messages")["bill_prompts"], order=order)
    return Turn("bill", prompt, f"{n} x {p} = {n * p}, {m} x {q} = {m * q}, {worked_sum(n * p, m * q)} euros.")
