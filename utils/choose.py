"""Which model for this case? Rules that anybody can read, over the catalogue: what fits, what does not, and why.

    print(choose(memory_gb=8, context=4096, private=True, languages=True))

It weighs what can be known beforehand. Whether the model is good enough for the task is for a measurement to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from utils import catalog, facts
from utils.catalog import Model

SERVICE = "a large model as a service"


@dataclass(frozen=True)
class Candidate:
    """A model and, where it is ruled out, why. `gigabytes`: memory in 4 bits with its context; 0 for a service."""

    name: str
    gigabytes: float
    against: str = ""


@dataclass(frozen=True)
class Advice:
    """All candidates, the smallest first."""

    candidates: tuple[Candidate, ...]
    wide_knowledge: bool

    @property
    def best(self) -> Candidate | None:
        """The smallest that nothing speaks against; the largest where wide knowledge is asked for."""
        left = [one for one in self.candidates if not one.against]
        return (left[-1] if self.wide_knowledge else left[0]) if left else None

    def __str__(self) -> str:
        wide = max(len(one.name) for one in self.candidates)
        lines = [f"{'-' if one.against else '+'} {one.name:<{wide}}  {_why(one)}" for one in self.candidates]
        if not self.best:
            return "\n".join([*lines, "None of these: give it more memory, a shorter context, or fewer demands."])
        return "\n".join([*lines, f"Begin with {self.best.name}, and measure it on cases of your own."])


def choose(
    *,
    memory_gb: float = 8.0,
    context: int = 4096,
    private: bool = True,
    pictures: bool = False,
    languages: bool = False,
    wide_knowledge: bool = False,
) -> Advice:
    """Which models fit a machine with so much memory free, and what is asked of them.

    context: tokens of prompt and answer. private: the text must not leave the machine, or there is no network.
    languages: more than English. wide_knowledge: facts of the whole world, or hard reasoning.
    """
    made = []
    for model in catalog.load().models.values():
        if model.kind == "real" and pictures == ("vision" in model.name):
            made.append(_judged(model, memory_gb, context, languages))
    made.sort(key=lambda one: one.gigabytes)
    made.append(Candidate(SERVICE, 0.0, "the text would leave the machine" if private else ""))
    return Advice(tuple(made), wide_knowledge)


def _judged(model: Model, memory_gb: float, context: int, languages: bool) -> Candidate:
    name, needs = model.title.removesuffix("-instruct"), model.needs_gb(context) or 0.0
    against = ""
    if context > model.context:
        against = f"its context ends at {model.context:,} tokens"
    elif languages and name not in facts.values("languages besides English"):
        against = "made for English"
    elif needs > memory_gb:
        against = f"needs {needs:.1f} GB"
    return Candidate(name, needs, against)


def _why(one: Candidate) -> str:
    if one.against:
        return one.against
    return f"needs {one.gigabytes:.1f} GB" if one.gigabytes else "paid for by the token"
