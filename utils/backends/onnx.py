"""The route `onnx`: ONNX Runtime GenAI in this process. The default route, because it starts in a moment.

It knows nothing of where a model comes from; a folder that is not in ONNX format yet is exported on first use.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, cast

import onnxruntime_genai as og

from utils.backends.local import Text, chunks, exact_decoder, room, turns
from utils.backends.target import Target
from utils.core import Chunk, Message, Options
from utils.errors import BackendError, BadInput, BadModel
from utils.pocket import export

og.disable_telemetry_events()
STRICT_JSON = {"x-guidance": {"whitespace_flexible": False}}  # else a tiny model may write blanks for ever


class OnnxBackend:
    """A model loaded by ONNX Runtime GenAI. `force_length` makes every answer max_tokens long, for measuring."""

    name = "onnx"

    def __init__(self, target: Target, *, force_length: bool = False) -> None:
        folder = target.folder
        if not (folder / "genai_config.json").exists():
            folder = export.onnx(folder, cast(export.Precision, target.precision))
        try:
            self._model = og.Model(str(folder))
            self._tokenizer = og.Tokenizer(self._model)
            settings = json.loads((folder / "genai_config.json").read_bytes())["model"]
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            raise BadModel(f"{folder} cannot be loaded: {str(error)[:200]}. Delete it and make it again.") from None
        self.model, self.source, self.folder = target.model, target.source, folder
        self.context = int(settings["context_length"])
        self._ends = frozenset() if force_length else frozenset(map(int, self._tokenizer.eos_token_ids))
        self._force_length = force_length
        self._decode = exact_decoder(folder)  # GenAI's own stops short at broken UTF-8
        self._spare: tuple[int, Any] = (0, None)  # an idle greedy generator and the length it was built for

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """The conversation in the model's chat template, as token ids."""
        conversation = json.dumps(turns(self, messages))
        text = self._tokenizer.apply_chat_template(conversation, add_generation_prompt=True)
        return cast(list[int], self._tokenizer.encode(text).tolist())

    def generate(self, ids: Sequence[int], options: Options) -> Iterator[int]:
        """New token ids one by one, up to and including the end token."""
        limit = room(self, ids, options)
        reusable = options.greedy and options.schema is None and not self._force_length
        length, generator = self._idle(len(ids) + limit) if reusable else (0, None)
        try:
            if generator is None:
                length, generator = self._new(len(ids) + limit, options)
            generator.append_tokens(ids)
            for _ in range(limit):
                generator.generate_next_token()
                token = int(generator.get_next_tokens()[0])
                yield token
                if token in self._ends:
                    break
        except RuntimeError as error:
            reusable = False
            raise BackendError(f"ONNX Runtime GenAI could not go on: {str(error)[:200]}") from None
        finally:
            if reusable and self._model:
                self._spare = (length, generator)

    def _idle(self, needed: int) -> tuple[int, Any]:
        """Building a generator takes longer than a short answer, so the last greedy one is kept and rewound."""
        length, generator = self._spare
        if needed > length:
            return 0, None
        self._spare = (0, None)  # taken: a second stream at the same time builds its own
        generator.rewind_to(0)
        return length, generator

    def _new(self, needed: int, options: Options) -> tuple[int, Any]:
        """A generator with room for `needed` tokens, and some more, for the next prompt's sake."""
        length = needed if self._force_length else min(self.context, max(1024, 1 << (needed - 1).bit_length()))
        search: dict[str, Any] = {"max_length": length, "min_length": length if self._force_length else 0}
        if not options.greedy:
            search |= {"do_sample": True, "temperature": options.temperature, "top_p": options.top_p, "top_k": 0}
            search |= {"random_seed": options.seed}
        params = og.GeneratorParams(self._model)
        params.set_search_options(**search)
        if options.schema is not None:
            params.set_guidance("json_schema", json.dumps(STRICT_JSON | options.schema))
        try:
            return length, og.Generator(self._model, params)
        except RuntimeError as error:
            if options.schema is not None:
                raise BadInput(f"The schema cannot be followed: {str(error)[:200]}") from None
            raise

    def stream(self, messages: Sequence[Message], options: Options) -> Iterator[Chunk]:
        """Yields the answer token by token. Raises BackendError."""
        ids = self.prompt_ids(messages)
        text = Text(self._tokenizer.create_stream().decode, self._decode, options.stop)
        yield from chunks(self.generate(ids, options), text, self._ends, len(ids))

    @property
    def closed(self) -> bool:
        """Whether the model has been freed."""
        return self._model is None

    def close(self) -> None:
        """Frees the model."""
        self._spare = (0, None)
        self._tokenizer = self._model = None


load = OnnxBackend  # what `connect` calls
