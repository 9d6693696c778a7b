"""The route `onnx`: ONNX Runtime GenAI in this process. The default route, because it starts in a moment.

It knows nothing of where a model comes from; a folder that is not in ONNX format yet is exported on first use.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime_genai as og

from utils import catalog
from utils.backends import images
from utils.backends.local import LocalBackend, pictures, room
from utils.backends.schema import narrowed
from utils.backends.target import Target
from utils.core import Message, Options
from utils.errors import BackendError, BadInput, BadModel, NotInstalled, Unsupported
from utils.pocket import export

og.disable_telemetry_events()


class OnnxBackend(LocalBackend):
    """A model loaded by ONNX Runtime GenAI."""

    name, _weights = "onnx", "*.onnx*"

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        if not (self.folder / "genai_config.json").exists():
            self.folder = export.made(target.folder, cast(export.Form, f"onnx-{target.precision}"))
        try:
            self._model = og.Model(_config(self.folder))
            self._tokenizer = og.Tokenizer(self._model)
            settings = json.loads((self.folder / "genai_config.json").read_bytes())["model"]
            self.context, self.sees = int(settings["context_length"]), "vision" in settings
            self._processor: Any = self._model.create_multimodal_processor() if self.sees else None
        except BackendError:
            raise
        except Exception as error:
            said = str(error)[:200]
            raise BadModel(f"{self.folder} cannot be loaded: {said}. Delete it and make it again.") from None
        self._ends = frozenset(map(int, self._tokenizer.eos_token_ids))
        self._spare: list[tuple[int, Any]] = []  # an idle greedy generator, and the length it was built for
        self._exact: Any = None

    def _prompt(self, messages: Sequence[Message]) -> tuple[list[int], Any]:
        """With pictures both come from ONNX Runtime GenAI's processor, whose ids for the first picture are -1."""
        shown = pictures(messages) if self.sees else []
        if not shown:
            return super()._prompt(messages)
        files = [images.png(picture) for picture in shown]
        made = self._processor(self._chat(messages), images=og.Images.open_bytes(*files))
        return made["input_ids"].as_numpy()[0].tolist(), made

    def _render(self, conversation: list[dict[str, str]]) -> str:
        return str(self._tokenizer.apply_chat_template(json.dumps(conversation), add_generation_prompt=True))

    def _tokens(self, text: str) -> list[int]:
        return cast(list[int], self._tokenizer.encode(text).tolist())

    def _step(self) -> Callable[[int], str | None]:
        return cast(Callable[[int], str], self._tokenizer.create_stream().decode)

    def _whole(self, ids: list[int]) -> str:
        if self._exact is None:
            from tokenizers import Tokenizer  # here: 30 ms that most answers never need; GenAI's stops at broken UTF-8

            self._exact = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        return str(self._exact.decode(ids))

    def generate(
        self, ids: Sequence[int], options: Options, logprobs: list[float] | None = None, pictures: Any = None
    ) -> Iterator[int]:
        limit = room(self, ids, options)
        reusable = options.greedy and options.schema is None and not self.force_length and not self.sees
        length, generator = self._idle(len(ids) + limit) if reusable else (0, None)
        try:
            if generator is None:
                length, generator = self._new(len(ids) + limit, options)
            if pictures:
                generator.set_inputs(pictures)
            else:
                generator.append_tokens(ids)
            for _ in range(limit):
                scores = None if logprobs is None else generator.get_logits()  # after the next line: of the one after
                generator.generate_next_token()
                token = int(generator.get_next_tokens()[0])
                if logprobs is not None:
                    logprobs.append(_logprob(scores, token))
                yield token
                if token in self.ends:
                    break
        except RuntimeError as error:
            reusable = False
            raise BackendError(f"ONNX Runtime GenAI could not go on: {str(error)[:200]}") from None
        finally:
            if reusable and not self.closed:
                self._spare[:] = [(length, generator)]

    def scores(self, ids: Sequence[int]) -> np.ndarray:
        """How well each token would go on after `ids`: logits, [vocabulary] float32. Raises BackendError."""
        needed = len(ids) + room(self, ids, Options(max_tokens=1))
        try:
            length, generator = self._idle(needed)
            if generator is None:
                length, generator = self._new(needed, Options())
            generator.append_tokens(list(ids))
            found = np.array(generator.get_logits(), np.float32).reshape(-1)
        except RuntimeError as error:
            raise BackendError(f"ONNX Runtime GenAI could not go on: {str(error)[:200]}") from None
        self._spare[:] = [(length, generator)]
        return found

    def _idle(self, needed: int) -> tuple[int, Any]:
        """Building a generator takes longer than a short answer, so the last greedy one is kept and rewound."""
        with suppress(IndexError):
            length, generator = self._spare.pop()  # a second stream at the same time builds its own
            if needed <= length:
                generator.rewind_to(0)
                return length, generator
        return 0, None

    def _new(self, needed: int, options: Options) -> tuple[int, Any]:
        """A generator with room for `needed` tokens, and some more, for the next prompt's sake."""
        length = needed if self.force_length else min(self.context, max(1024, 1 << (needed - 1).bit_length()))
        search: dict[str, Any] = {"max_length": length, "min_length": length if self.force_length else 0}
        if not options.greedy:
            search |= {"do_sample": True, "temperature": options.temperature, "top_p": options.top_p, "top_k": 0}
            search |= {"random_seed": options.seed}
        params = og.GeneratorParams(self._model)
        params.set_search_options(**search)
        if options.schema is not None:
            params.set_guidance("json_schema", json.dumps(narrowed(options.schema)))
        try:
            return length, og.Generator(self._model, params)
        except RuntimeError as error:
            if options.schema is not None:
                raise BadInput(f"The schema cannot be followed: {str(error)[:200]}") from None
            raise

    def _free(self) -> None:
        self._spare.clear()
        self._processor = self._tokenizer = self._model = None


def _logprob(logits: Any, token: int) -> float:
    """Of one token. `logits`: [1, 1, vocabulary]."""
    row = logits.reshape(-1)
    top = row.max()
    return float(row[token] - top - np.log(np.exp(row - top).sum()))


def _config(folder: Path) -> Any:
    """What to load, and on which hardware: ONNX_PROVIDER names a provider of the catalogue, else the folder decides.

    Raises BadInput, NotInstalled or Unsupported. What a provider cannot run ONNX Runtime gives to the processor; it
    says so on stderr only.
    """
    config, wanted = og.Config(str(folder)), (catalog.variable("ONNX_PROVIDER") or "cpu").lower()
    providers = catalog.load().providers
    if wanted == "cpu":
        return config
    if wanted not in providers:
        raise BadInput(f"ONNX_PROVIDER is {wanted!r}, but it must be one of cpu, {', '.join(providers)}.")
    row = providers[wanted]
    try:
        library = importlib.import_module(row.module).get_library_path()
    except ImportError:
        raise NotInstalled(
            f"{row.title} needs a package: run `python -m utils setup {row.extra}` (for {row.machines}), or build ONNX "
            f"Runtime GenAI with it: `{row.build}`."
        ) from None
    try:
        _registered(row.registers, library)
        config.clear_providers()
        config.append_provider(row.registers)
        for option, value in row.options.items():
            config.set_provider_option(row.registers, option, value)
    except RuntimeError as error:
        raise Unsupported(f"{row.title} does not start here: {str(error)[:200]}. It is for {row.machines}.") from None
    return config


@cache
def _registered(name: str, library: str) -> None:
    og.register_execution_provider_library(name, library)


load = OnnxBackend  # what `connect` calls
