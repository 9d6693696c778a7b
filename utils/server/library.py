"""The models by name: the pocket models themselves, and what learners made of them with a Modelfile's settings.

A made model is a name, a system prompt and some settings over one of the given models; it lives as long as the server.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from utils.errors import BadInput, UnknownModel

NAME_LENGTH = 100  # characters
NAME = re.compile(r"(?:\w[\w.-]*/){0,2}\w[\w.-]*(?::\w[\w.-]*)?")  # as Ollama's: owner/name:tag
MADE = 200  # models that learners may make on one server


@dataclass(frozen=True)
class Entry:
    """A name and what it stands for. `settings` are defaults for fields of `Options`, `parameters` what a Modelfile
    said, in Ollama's own names."""

    name: str
    base: str
    system: str = ""
    template: str = ""  # in place of the model's own chat template
    settings: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    made: float = field(default_factory=time.time)  # seconds since 1970


class Library:
    """All names that may be asked for; `names` are the given models, the first is the default."""

    def __init__(self, names: Sequence[str]) -> None:
        self._given = {name: Entry(name, name) for name in names}
        self._made: dict[str, Entry] = {}

    @property
    def entries(self) -> list[Entry]:
        """Given models first."""
        return [*self._given.values(), *self._made.values()]

    def find(self, name: str) -> Entry:
        """What `name` stands for; Ollama's clients add ":latest", and no name is the first. Raises UnknownModel."""
        known = name.removesuffix(":latest")
        entry = self._made.get(known) or self._given.get(known or next(iter(self._given)))
        if entry is None:
            names = ", ".join(entry.name for entry in self.entries)
            raise UnknownModel(f"There is no model {name[:NAME_LENGTH]!r}. There are: {names}.")
        return entry

    def make(
        self,
        name: str,
        source: str,
        *,
        system: str | None = None,
        template: str | None = None,
        parameters: Mapping[str, Any] = MappingProxyType({}),
        **settings: Any,
    ) -> Entry:
        """A new name over `source`, which may be a made model itself; what is None stays as it is there.

        Raises BadInput or UnknownModel.
        """
        known, under = name.removesuffix(":latest"), self.find(source)
        if not known or len(known) > NAME_LENGTH or not known.isprintable():
            raise BadInput(f"A model's name has 1 to {NAME_LENGTH} printable characters.")
        if not NAME.fullmatch(known):
            raise BadInput(
                "A model's name is made of letters, digits, - _ and ., such as hut-help or mara/hut-help:v2."
            )
        if known in self._given:
            raise BadInput(f"{known} is one of the given models. Choose another name.")
        if known not in self._made and len(self._made) >= MADE:
            raise BadInput(f"There are {MADE} made models already. Delete one.")
        given = {"system": system, "template": template}
        changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        changed["settings"] = {**under.settings, **settings}
        changed["parameters"] = {**under.parameters, **parameters}
        entry = replace(under, name=known, made=time.time(), **changed)
        self._made[known] = entry
        return entry

    def delete(self, name: str) -> None:
        """Forgets a made model. Raises BadInput for a given one, UnknownModel."""
        entry = self.find(name)
        if entry.name in self._given:
            raise BadInput(f"{entry.name} is part of the course and cannot be deleted.")
        del self._made[entry.name]
