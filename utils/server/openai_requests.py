"""What requests in OpenAI's wire format, and in Azure's, may say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from utils.errors import BadInput
from utils.server.engine import Engine
from utils.server.job import Job
from utils.server.wire import MESSAGES, Body, Seed, Share, Temperature, Texts, Tokens, Turn, options, refuse

ANY_OBJECT = {"type": "object"}
CHOICES = 16  # answers to one request at most


class StreamOptions(Body):
    """What a stream's end tells."""

    include_usage: bool = False


class Schema(Body):
    """A JSON schema and its name."""

    name: str = "answer"
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")  # `schema` is a method of every Body


class Format(Body):
    """What the answer must look like."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: Schema | None = None


Penalty = Annotated[float, Field(ge=-2, le=2)]


class Asked(Body):
    """What requests for text have in common."""

    model: str = ""
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    seed: Seed | None = None
    stop: str | list[str] | None = None
    n: Annotated[int, Field(ge=1, le=CHOICES)] | None = None
    logprobs: bool | Annotated[int, Field(ge=0, le=20)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    response_format: Format | None = None
    tools: list[Any] | None = None
    tool_choice: str | dict[str, Any] | None = None
    functions: list[Any] | None = None
    suffix: str | None = None

    def job(self, engine: Engine, *, usage: bool | None = None, **what: Any) -> Job:
        """The same for the engine. `usage`: whether a stream ends with counts, whatever was asked. Raises BadInput."""
        refuse(self, "functions", "suffix", "top_logprobs", *["tools"] * (self.tool_choice != "none"))
        entry = engine.library.find(self.model)
        limit = self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
        given = {name: getattr(self, name) for name in ("temperature", "top_p", "seed", "stop")}
        given |= {"max_tokens": limit, "schema": _schema(self.response_format)}
        given["logprobs"] = self.logprobs is not None and self.logprobs is not False
        chosen = options(given, entry.settings)
        wanted = bool(self.stream_options and self.stream_options.include_usage) if usage is None else usage
        return Job(entry=entry, options=chosen, stream=self.stream, usage=wanted, **what)

    @property
    def choices(self) -> int:
        """How many answers were asked for."""
        return 1 if self.n is None else self.n


class Chat(Asked):
    """POST /v1/chat/completions."""

    messages: Annotated[list[Turn], Field(max_length=MESSAGES)]


class Continue(Asked):
    """POST /v1/completions."""

    prompt: Texts
    echo: bool | None = None
    best_of: int | None = None

    def job(self, engine: Engine, *, usage: bool | None = None, **what: Any) -> Job:
        """As above."""
        refuse(self, "echo", *["best_of"] * ((self.best_of or 0) > self.choices))
        return super().job(engine, usage=usage, **what)


def _schema(wanted: Format | None) -> dict[str, Any] | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return ANY_OBJECT
    if wanted.json_schema is None or wanted.json_schema.schema_ is None:
        raise BadInput("response_format.json_schema.schema: field required.")
    return wanted.json_schema.schema_
