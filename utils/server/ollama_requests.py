"""What requests in Ollama's wire format may say."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from utils.errors import BadInput
from utils.server.engine import Engine
from utils.server.job import Job
from utils.server.wire import MESSAGES, Body, Seed, Share, Temperature, Tokens, options, refuse

UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 0.001, "s": 1, "m": 60, "h": 3600}
NUMBER = r"\d+(?:\.\d*)?|\.\d+"
PART = re.compile(f"({NUMBER})({'|'.join(UNITS)})?")
DURATION = re.compile(f"([-+]?)((?:{NUMBER})|(?:(?:{NUMBER})(?:{'|'.join(UNITS)}))+)")  # as Go writes it, or seconds
AGES = 1e9  # seconds; longer is for ever
USED = ("num_predict", "temperature", "top_p", "seed", "stop")  # the settings that change an answer


class Turn(Body):
    """A message; pictures are base64 texts beside it."""

    role: str
    content: str = ""
    images: list[str] | None = None


class Settings(Body):
    """Options. Those that only shade an answer are checked and change nothing."""

    num_predict: Annotated[int, Field(ge=-2, le=1_000_000)] | None = None  # below 0: as long as the model likes
    temperature: Temperature | None = None
    top_p: Share | None = None
    seed: Seed | None = None
    stop: str | list[str] | None = None
    num_ctx: Tokens | None = None
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    typical_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repeat_penalty: Annotated[float, Field(ge=0, le=10)] | None = None
    repeat_last_n: Annotated[int, Field(ge=-1, le=1_000_000)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    mirostat: Annotated[int, Field(ge=0, le=2)] | None = None
    mirostat_eta: Annotated[float, Field(ge=0, le=1)] | None = None
    mirostat_tau: Annotated[float, Field(ge=0, le=100)] | None = None


class Parameters(Settings):
    """A Modelfile's: one that is misspelt is better said when the model is made."""

    model_config = ConfigDict(extra="forbid")


class Asked(Body):
    """What requests for text have in common."""

    model: str
    stream: bool = True
    format: str | dict[str, Any] | None = None
    options: Settings | None = None
    keep_alive: float | str | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: list[Any] | None = None

    def job(self, engine: Engine, **what: Any) -> Job:
        """The same for the engine. Raises BadInput."""
        refuse(self, "tools", "top_logprobs")
        entry = engine.library.find(named(self.model))
        schema = {"type": "object"} if self.format == "json" else self.format or None
        if isinstance(schema, str):
            raise BadInput('format: "json" or a JSON schema.')
        given = {**settings(self.options), "schema": schema, "logprobs": bool(self.logprobs)}
        chosen = options(given, entry.settings, temperature=0.8)
        return Job(entry=entry, options=chosen, stream=self.stream, **what)


class Chat(Asked):
    """POST /api/chat."""

    messages: Annotated[list[Turn], Field(max_length=MESSAGES)] = Field(default_factory=list)


class Generate(Asked):
    """POST /api/generate: one prompt, in the chat template unless it is `raw`."""

    prompt: str = ""
    system: str | None = None
    template: str | None = None
    images: list[str] | None = None
    suffix: str | None = None
    context: list[int] | None = None
    raw: bool = False


def settings(given: Settings | None) -> dict[str, Any]:
    """Those that change an answer, by our names."""
    found = {} if given is None else given.model_dump(include={*USED}, exclude_none=True)
    limit = found.pop("num_predict", -1)
    return found if limit < 0 else {**found, "max_tokens": limit}


def named(model: str) -> str:
    """The name that a request gives. Raises BadInput for none: Ollama has no default model."""
    if not model:
        raise BadInput("model: field required. /api/tags lists the models.")
    return model


def seconds(keep_alive: float | str | None) -> float | None:
    """5, "5m", "1h30m" or "-1" in seconds; below 0 is for ever. Raises BadInput."""
    if isinstance(keep_alive, float | int):
        keep_alive = f"{keep_alive:f}"
    if keep_alive is None:
        return None
    found = DURATION.fullmatch(keep_alive.strip()) if len(keep_alive) < 400 else None
    if not found:
        raise BadInput(f'keep_alive: seconds or a text like "5m", not {keep_alive!r:.40}.')
    parts = PART.findall(found[2])
    kept = sum(float(number) * UNITS[unit or "s"] for number, unit in parts) * (-1 if found[1] == "-" else 1)
    return kept if kept < AGES else -1.0
