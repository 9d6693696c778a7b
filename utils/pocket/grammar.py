"""The template language of the corpus, and the words that fill its slots.

`[a|b]` picks one alternative, `{slot}` inserts a value; one slot name keeps one value within a document, and a
trailing digit (`{guest2}`) asks for another, different value. Knows nothing about tasks or tokens.

Training and held-out text never share names, places or questions: of every list that is drawn with `reserve`, each
eighth entry is kept for held-out documents. They do share the framings of a task, which `frame` draws.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

TEXTS = Path(__file__).parent.parent / "data" / "corpus"
SLOT = re.compile(r"\{([A-Za-z_]+)(\d*)\}")
_INNERMOST = re.compile(r"\[([^\[\]]*)\]")


@cache
def load(name: str) -> dict[str, Any]:
    """One corpus file, e.g. `load("field")`, as TOML gives it."""
    return tomllib.loads((TEXTS / f"{name}.toml").read_text(encoding="utf-8"))


def reserve(options: Sequence[Any], held_out: bool) -> Sequence[Any]:
    """The part of `options` that this split may use. Lists under eight entries are too short to divide."""
    if len(options) < 8:
        return options
    return [option for i, option in enumerate(options) if (i % 8 == 5) == held_out]


class Document:
    """The choices made for one generated document: a random source, its split, and the slots filled so far."""

    def __init__(self, rng: random.Random, held_out: bool = False, lists: dict[str, list[Any]] | None = None) -> None:
        self.rng = rng
        self.held_out = held_out
        self.lists = lists or {}
        self.slots: dict[str, str] = {}

    def use(self, file: str) -> dict[str, Any]:
        """The corpus file, whose own lists fill slots from now on."""
        texts = load(file)
        self.lists = texts.get("lists", {})
        return texts

    def choice(self, options: Sequence[Any]) -> Any:
        """Any of `options`, whatever the split."""
        return options[int(self.rng.random() * len(options))]

    def phrasing(self, options: Sequence[Any]) -> Any:
        """One of the options that this split may use."""
        return self.choice(reserve(options, self.held_out))

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def expand(self, template: str) -> str:
        """`template` with every alternative picked and every slot filled."""
        while "[" in template:
            template = _INNERMOST.sub(lambda m: self.choice(m[1].split("|")), template)
        return SLOT.sub(lambda m: self.slot(m[1], m[2]), template)

    def frame(self, framings: Sequence[str], **texts: str) -> str:
        """One of the framings, with `texts` in its slots as they are.

        Both splits share the framings: a few dozen do not teach a tiny model what any instruction looks like."""
        self.slots.update(texts)
        return self.expand(str(self.choice(framings)))

    def slot(self, name: str, digit: str = "") -> str:
        """The value of slot `name`, drawn now if this document has none yet."""
        key = name + digit
        if key not in self.slots:
            self._draw(name, digit)
        return self.slots[key]

    def _draw(self, name: str, digit: str) -> None:
        if name in PRONOUNS:
            female = self.slot("guest", digit) in FEMALE
            self.slots[name + digit] = PRONOUNS[name][female]
            return
        taken = {value for key, value in self.slots.items() if key.rstrip("0123456789") == name}
        for _ in range(50):
            value = self._value(name)
            if value not in taken:
                break
        self.slots[name + digit] = value

    def _value(self, name: str) -> str:
        if name in MADE:
            return MADE[name](self)
        if name in self.lists:
            return self.expand(str(self.choice(self.lists[name])))
        words = load("words")
        if name not in words:
            raise KeyError(f"No list and no rule fills the slot {{{name}}}.")
        options = words[name]
        return str(self.phrasing(options) if name in words["reserved"] else self.choice(options))


# Onset, vowel and coda of a syllable. The easy ones make names of two or three tokens, such as "Torvin".
EASY = [tuple(part.split(",")) for part in ("b,d,f,g,h,k,l,m,n,p,r,s,t,v,z", "a,e,i,o,u", ",,n,r,l")]
HARD = [
    tuple(part.split(","))
    for part in (
        "b,br,c,d,dr,f,g,gr,h,j,k,kl,l,m,n,p,pl,r,s,sk,sl,st,t,tr,v,w,z,sh,th",
        "a,e,i,o,u,a,e,i,o,ai,ea,ou",
        ",,,,l,n,r,s,m,t,nd,rk,ll,lin,ven,ra",
    )
]
RUDE = ["nazi", "rape", "pedo", "homo", "puke", "negro", "nigg", "dild", "fag", "tit", "anal", "porn"]


def invented(document: Document, syllables: int) -> str:
    """A made-up name such as "Torvin", none of the listed ones. Its letters decide its split: held-out ones are new."""
    while True:
        sounds = EASY if document.chance(0.75) else HARD
        name = "".join(document.choice(sound) for _ in range(syllables) for sound in sounds)
        taken = name.capitalize() in _listed() or any(word in name for word in RUDE)
        if not taken and (sum(map(ord, name)) % 8 == 5) == document.held_out:
            return name.capitalize()


def spliced(document: Document) -> str:
    """A made-up name of two real words' ends, such as "Wriller", for training only.

    Its tokens are those of real names, each of which a model has to have written before it can copy it."""
    while True:
        first, last = str(document.choice(_spliceable())), str(document.choice(_spliceable()))
        name = first[: document.rng.randint(1, 4)] + last[-document.rng.randint(3, 6) :]
        taken = name.capitalize() in _listed() or any(word in name for word in RUDE)
        if 4 <= len(name) <= 10 and not taken and not re.match("[^aeiouy]{3}", name) and sum(map(ord, name)) % 8 != 5:
            return name.capitalize()


@cache
def _spliceable() -> tuple[str, ...]:
    """The names and places of training, and ordinary words, three times fewer."""
    words = load("words")
    names = {w for key in words["reserved"] for entry in reserve(words[key], False) for w in entry.split(" ")}
    plain = {w for sentence in load("messages")["clean"] for w in re.findall(r"\b[a-z]{4,10}\b", sentence)}
    return tuple(sorted(name.lower() for name in names if name.isascii() and name.isalpha()) + sorted(plain)[::2])


@cache
def _listed() -> frozenset[str]:
    """The words of the listed names, each of which belongs to one split."""
    words = load("words")
    return frozenset(word for name in words["reserved"] for entry in words[name] for word in entry.split(" "))


def _name(list_name: str) -> Callable[[Document], str]:
    """A listed name or, sometimes, an invented one: copying must not depend on having seen the name.

    In training more are invented, because the listed ones of the held-out split are as new to the model."""

    def draw(document: Document) -> str:
        kind = document.rng.random()
        if kind < (0.8 if document.held_out else 0.5):
            return str(document.phrasing(load("words")[list_name]))
        return spliced(document) if kind < 0.7 and not document.held_out else invented(document, 2)

    return draw


def _place(document: Document) -> str:
    if document.chance(0.7):
        return str(document.phrasing(load("words")["places"]))
    name = invented(document, document.rng.randint(1, 2))
    form: str = document.choice(["{} Pass", "{} Peak", "{} Valley", "Lake {}", "{} Ridge", "{}", "{} Bridge"])
    return form.format(name)


def _trail(document: Document) -> str:
    kind = document.choice(["Trail", "Path", "Trail", "Way", "Loop"])
    if document.chance(0.7):
        return f"{document.phrasing(load('words')['trails'])} {kind}"
    return f"{invented(document, document.rng.randint(1, 2))} {kind}"


def _number(low: int, high: int) -> Callable[[Document], str]:
    return lambda document: str(document.rng.randint(low, high))


def _time(document: Document) -> str:
    return (
        f"{document.rng.randint(5, 22)}:{document.choice(['00', '15', '30', '45', '00', '30', '10', '20', '40', '50'])}"
    )


def _date(document: Document) -> str:
    return f"{document.rng.randint(1, 28)} {document.choice(load('words')['month'])}"


MADE: dict[str, Callable[[Document], str]] = {
    "guest": _name("names"),
    "surname": _name("surnames"),
    "place": _place,
    "trail": _trail,
    "n": _number(2, 12),
    "big": _number(13, 99),
    "price": _number(2, 48),
    "time": _time,
    "clock": _time,  # in the files of the other languages, where {time} is a phrase of the phrasebook
    "date": _date,
}
FEMALE = frozenset(load("words")["female"])
PRONOUNS = {  # (he, she); invented names take "he"
    "he": ("he", "she"),
    "him": ("him", "her"),
    "his": ("his", "her"),
    "He": ("He", "She"),
    "His": ("His", "Her"),
}
