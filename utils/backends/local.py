"""What the runtimes inside this process share: how a conversation is checked and how tokens become chunks.

It knows no runtime: each one's backend brings a way to encode, to generate ids and to decode.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from utils.backends import images
from utils.backends.target import Target
from utils.backends.text import Text, chunks
from utils.core import Chunk, Message, Options, as_messages
from utils.errors import BackendError, BadInput, TooLong, Unsupported
from utils.pocket import TAG


class LocalBackend(ABC):
    """A backend whose model lies in this process. A runtime sets `name`, `context` (tokens) and `_ends` (the ids that
    end an answer), and brings the six methods below that have no body. `force_length` makes every answer max_tokens
    long, for measuring.
    """

    name: str
    context: int
    force_length = False
    sees = False  # whether the loaded model can look at pictures
    folder: Path  # what was loaded: the target's, or the form that was made of it
    _weights = "*.safetensors"  # which of its files hold the weights
    _ends: frozenset[int] = frozenset()

    def __init__(self, target: Target) -> None:
        self.model, self.source, self.closed = target.model, target.source, False
        self.folder = target.folder

    def __repr__(self) -> str:
        return f"<{self.source.upper()} {self.model} on {self.name}{' (closed)' if self.closed else ''}>"

    @property
    def files(self) -> list[Path]:
        """The files from which the weights were loaded."""
        return sorted(self.folder.glob(self._weights))

    @property
    def ends(self) -> frozenset[int]:
        """The ids that end an answer."""
        return frozenset() if self.force_length else self._ends

    @abstractmethod
    def generate(self, ids: Sequence[int], options: Options, logprobs: list[float] | None = None) -> Iterator[int]:
        """New token ids one by one, up to and including the end token; before each, its log-probability is added to
        `logprobs`, if that is a list. Raises BackendError. Of a model that sees it also takes `pictures`: what
        `_prompt` made of them.
        """

    @abstractmethod
    def _render(self, conversation: list[dict[str, str]]) -> str:
        """The conversation in the model's chat template."""

    @abstractmethod
    def _tokens(self, text: str) -> list[int]:
        """The text as token ids, special tokens by their names, none added."""

    @abstractmethod
    def _step(self) -> Callable[[int], str | None]:
        """A decoder for one answer: from each token to the text that it completes."""

    @abstractmethod
    def _whole(self, ids: list[int]) -> str:
        """The text of all these ids, exact even where the model wrote broken UTF-8."""

    @abstractmethod
    def _free(self) -> None:
        """Lets go of the model."""

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """What the model is given for `messages`. Raises BackendError."""
        return self._prompt(messages)[0]

    def _prompt(self, messages: Sequence[Message]) -> tuple[list[int], Any]:
        """The ids, and what `generate` needs to look at the pictures; nothing when there are none."""
        return self._tokens(self._chat(messages)), pictures(messages)

    def _chat(self, messages: Sequence[Message]) -> str:
        """The messages as the model's prompt. Raises BackendError."""
        conversation = turns(self, messages)
        try:
            return self._render(conversation)
        except BackendError:
            raise
        except Exception as error:  # of whatever reads the template
            last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            said = re.split(r"[.!?]+(?: |$)", last)[0][:120]
            raise Unsupported(
                f"{self.model} has no chat template that takes this conversation ({said}). Give it plain text with "
                "stream_text, or use a model that was made for conversations."
            ) from None

    def stream(self, messages: Sequence[Message], options: Options) -> Iterator[Chunk]:
        """The answer, token by token. Raises BackendError."""
        ids, shown = self._prompt(messages)
        return self._answer(ids, options, shown)

    def stream_text(self, text: str, options: Options) -> Iterator[Chunk]:
        """How `text` goes on, token by token, without a chat template. Raises BackendError."""
        return self._answer(self.text_ids(text), options)

    def stream_ids(self, ids: Sequence[int], options: Options) -> Iterator[Chunk]:
        """How these tokens go on, token by token. Raises BackendError."""
        return self._answer(list(ids), options)

    def text_ids(self, text: str) -> list[int]:
        """The tokens of `text`, special tokens by their names. Raises BackendError."""
        return self._tokens(turns(self, [{"role": "user", "content": text}])[0]["content"])

    def _answer(self, ids: list[int], options: Options, shown: Any = None) -> Iterator[Chunk]:
        refuse_closed(self)
        text = Text(self._step(), self._whole, options.stop)
        logprobs: list[float] | None = [] if options.logprobs else None
        seen: dict[str, Any] = {"pictures": shown} if shown else {}
        tokens = self._while_open(self.generate(ids, options, logprobs, **seen))
        return chunks(tokens, text, self.ends, len(ids), logprobs)

    def _while_open(self, tokens: Iterator[int]) -> Iterator[int]:
        """The same tokens; what a runtime does without its model is not for the reader. Raises BackendError."""
        try:
            for token in tokens:
                yield token
                refuse_closed(self)
        except Exception:
            refuse_closed(self)
            raise
        finally:
            if isinstance(tokens, Generator):  # at once: an error keeps all that hangs on it
                tokens.close()

    def close(self) -> None:
        """Frees the model. May be called twice."""
        if not self.closed:
            self.closed = True
            self._free()


class TokenizersBackend(LocalBackend):
    """A local backend that decodes with Hugging Face's `tokenizers`. A runtime sets `_fast` as well, a `Tokenizer`."""

    _fast: Any

    def _tokens(self, text: str) -> list[int]:
        return cast(list[int], self._fast.encode(text, add_special_tokens=False).ids)

    def _step(self) -> Callable[[int], str | None]:
        from tokenizers.decoders import DecodeStream  # here: the route onnx starts without it

        decoder = DecodeStream(skip_special_tokens=True)
        return lambda token: decoder.step(self._fast, token)

    def _whole(self, ids: list[int]) -> str:
        return cast(str, self._fast.decode(ids))


def refuse_closed(backend: LocalBackend) -> None:
    """Raises BackendError."""
    if backend.closed:
        raise BackendError("This backend is closed. Call connect() again.") from None


def turns(backend: LocalBackend, messages: Sequence[Message]) -> list[dict[str, str]]:
    """The messages as role and text, ready for a chat template.

    A picture becomes a tag, <|image_1|> and so on, as in Phi-3.5-vision's prompts. Raises BadInput; Unsupported for a
    picture that the model cannot see; TooLong for what no tokenizer could squeeze into the context, before seconds go
    into cutting it up; BackendError when the backend is closed.
    """
    refuse_closed(backend)
    flat, count = [], 0
    for message in as_messages(messages):
        text = ""
        for part in _parts(message):
            if part["type"] == "text":
                if backend.sees and TAG.search(part["text"]):
                    raise BadInput("A text must not contain <|image_1|> itself: give the picture as a part of its own.")
                text += part["text"]
                continue
            if not backend.sees:
                raise Unsupported(
                    f"{backend.model} on the route {backend.name} cannot look at pictures. Send text only."
                )
            count += 1
            text += f"<|image_{count}|>\n"
        flat.append({"role": message["role"], "content": text})
    characters = sum(len(turn["content"]) for turn in flat)
    if characters > 100 * backend.context:
        raise TooLong(
            f"The prompt is {characters:,} characters long, but {backend.model} can hold {backend.context:,} tokens "
            "(words or pieces of words), its answer included. Shorten the prompt."
        )
    return flat


def pictures(messages: Sequence[Message]) -> list[bytes]:
    """The files of all pictures, in order. Raises BadInput."""
    parts = (part for message in as_messages(messages) for part in _parts(message))
    return [images.read(part.get("image")) for part in parts if part["type"] == "image"]


def _parts(message: Message) -> Sequence[Any]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def room(backend: LocalBackend, ids: Sequence[int], options: Options) -> int:
    """How many tokens the answer may have. Raises TooLong when the prompt leaves none."""
    if len(ids) >= backend.context:
        raise TooLong(
            f"The prompt is {len(ids):,} tokens long, but {backend.model} can hold {backend.context:,}, its answer "
            "included. Shorten the prompt."
        )
    return min(options.max_tokens, backend.context - len(ids))
