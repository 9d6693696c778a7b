"""What the three wire formats share: reading a request's body, and saying what is wrong with it.

A format brings its own field names and the shapes of its answers and errors.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from utils.core import Chunk, Message, Options, Part
from utils.errors import (
    BackendError,
    BadInput,
    Interrupted,
    KeyProblem,
    RateLimited,
    TooLong,
    UnknownModel,
    Unsupported,
)

BODY_BYTES = 32_000_000  # some pictures; a longer body is refused while it comes
COMMAS = 500_000  # in a body: what stands between them costs memory and time, however short it is
MESSAGES = 2_000  # of a conversation
STOPS, STOP = 16, 1_000  # stop texts of a request, and characters of one
STATUS = {RateLimited: 429, UnknownModel: 404, KeyProblem: 401, TooLong: 400, Unsupported: 400, BadInput: 400}
STATUS |= {Interrupted: 503}

Tokens = Annotated[int, Field(ge=1, le=1_000_000)]
Temperature = Annotated[float, Field(ge=0, le=2)]
Share = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Body(BaseModel):
    """A request's body: fields that the course server does not use are let through, as the real services do."""

    model_config = ConfigDict(extra="ignore", strict=True)


class Turn(Body):
    """A message as OpenAI and Azure write it; `content` is a text or a list of parts."""

    role: str
    content: str | list[dict[str, Any]] | None = None


def _no_ids(value: Any) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], int | list):
        raise ValueError("send texts, not token ids (in LangChain: check_embedding_ctx_length=False)")
    return value


Texts = Annotated[str | list[str], BeforeValidator(_no_ids)]
Wanted = TypeVar("Wanted", bound=Body)


class Refused(BackendError):
    """A request that is not even looked into, with the HTTP status that says so."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(what)
        self.code = code


async def read(request: Request, wanted: type[Wanted]) -> Wanted:
    """The body, checked. Raises BadInput or Refused."""
    data = bytearray()
    try:
        async for piece in request.stream():
            data += piece
            if len(data) > BODY_BYTES:
                raise Refused(f"The request is larger than {BODY_BYTES // 1_000_000} MB.", 413)
    except ClientDisconnect:
        raise BadInput("The client left before its request was complete.") from None
    if complete := getattr(request.state, "complete", None):
        complete.set()
    if data.count(b",") > COMMAS:
        raise Refused(f"The request has more than {COMMAS:,} parts. Send fewer at a time.", 413)
    try:
        found = from_json(data, allow_inf_nan=False)  # whole characters only, and 200 levels at most
    except ValueError as error:
        if "hex escape" in str(error):
            raise BadInput("The request holds half a character (a lone surrogate). Remove it.") from None
        raise BadInput(f"The request's body is not JSON: {error}.") from None
    try:
        return wanted.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_context=False, include_input=False)[0]
        where, what = ".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")
        raise BadInput(f"{where:.80}: {what[0].lower()}{what[1:]}.") from None


def status(error: BackendError) -> int:
    """The HTTP status that says what went wrong."""
    if isinstance(error, Refused):
        return error.code
    return next((number for kind, number in STATUS.items() if isinstance(error, kind)), 500)


def said(error: BackendError) -> str:
    """What went wrong, on one line."""
    return " ".join(str(error).split())


def refuse(body: Body, *names: str) -> None:
    """Raises Unsupported for a field that asks for what the course server or its models cannot do."""
    for name in names:
        if getattr(body, name):
            raise Unsupported(f"{name}: the course server cannot do this. Leave it out.")


def messages(turns: list[Turn]) -> list[Message]:
    """Messages as the core has them. Raises BadInput."""
    roles = {"developer": "system"}  # OpenAI's newer name for it
    return [{"role": roles.get(turn.role, turn.role), "content": _content(turn.content)} for turn in turns]  # type: ignore[typeddict-item]


def _content(content: str | list[dict[str, Any]] | None) -> str | list[Part]:
    if content is None or isinstance(content, str):
        return content or ""
    return [_part(part) for part in content]


def _part(part: dict[str, Any]) -> Part:
    if part.get("type") == "text" and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    picture = part.get("image_url")
    if part.get("type") == "image_url" and isinstance(picture, dict) and isinstance(picture.get("url"), str):
        if not picture["url"].startswith("data:"):
            raise BadInput("The course server opens no addresses. Send the picture as a data URL.")
        return {"type": "image", "image": picture["url"]}
    raise BadInput(f"A part of a message is a text or an image_url, not {part.get('type')!r:.40}.")


def options(given: Mapping[str, Any], settings: Mapping[str, Any], temperature: float = 1.0) -> Options:
    """Options of what a request gave, else of the model's own settings, else of the wire format's defaults.

    Without a seed every answer is drawn anew, as the services do. One that follows a schema may take all the room there
    is: cut off it would be of no use. Raises BadInput.
    """
    defaults = {
        "max_tokens": 4096 if given.get("schema") else 512,
        "temperature": temperature,
        "seed": secrets.randbelow(2**31),
        **settings,
    }
    chosen = defaults | {name: value for name, value in given.items() if value is not None}
    stop = chosen.get("stop") or ()
    if not isinstance(stop, str | list | tuple):
        raise BadInput(f"stop is a text or a list of texts, not {stop!r:.40}.")
    stop = (stop,) if isinstance(stop, str) else tuple(stop)
    if len(stop) > STOPS or any(isinstance(text, str) and len(text) > STOP for text in stop):
        raise BadInput(f"stop: at most {STOPS} texts of at most {STOP:,} characters each.")
    seed = chosen["seed"] % 2**31
    return Options(**chosen | {"seed": seed, "stop": stop})


def scored(chunk: Chunk) -> list[dict[str, Any]]:
    """The log-probability of each token of a chunk, as OpenAI and Ollama write it; the end token has no row.

    The first tokens of a character that takes several have no text of their own.
    """
    values = chunk.logprobs or ()
    ended = chunk.finish_reason == "stop" and not chunk.text
    texts = [*[""] * (len(values) - 1), chunk.text]
    rows = [] if ended else zip(texts, values, strict=False)
    return [{"token": text, "logprob": value, "bytes": list(text.encode()), "top_logprobs": []} for text, value in rows]


async def attended(request: Request, handler: Callable[[Request], Awaitable[Response]]) -> Response:
    """What `handler` answers; when the client leaves before that, the work on it ends."""
    request.state.complete = asyncio.Event()
    work, gone = asyncio.ensure_future(handler(request)), asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else Response(status_code=499)  # which nobody gets
    finally:
        work.cancel()
        gone.cancel()
        await asyncio.wait({work, gone})


async def _left(request: Request) -> None:
    await request.state.complete.wait()  # until then the handler listens to the client itself
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def started(pieces: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """The same pieces, the first one made already: an error before it still gets its own HTTP status."""
    first = await anext(pieces, None)

    async def rest() -> AsyncIterator[Any]:
        if first is not None:
            yield first
        async for piece in pieces:
            yield piece

    return rest()
