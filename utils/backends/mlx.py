"""The route `mlx`: Apple's MLX through mlx-lm, on a Mac's GPU, or on the processor under Linux.

It reads Hugging Face folders as they are, also those that mlx-community has quantised.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mlx.core as mx
import mlx_lm
from mlx_lm.generate import generate_step
from mlx_lm.sample_utils import apply_top_p

from utils.backends import images
from utils.backends.local import TokenizersBackend, room
from utils.backends.target import Target
from utils.core import Options
from utils.errors import BackendError, BadModel, Unsupported
from utils.pocket import weights


class MlxBackend(TokenizersBackend):
    """A model loaded by MLX: pocket models as float32, others as they were saved."""

    name = "mlx"

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        weights.check(target.folder)
        images.refuse_seeing(target.folder, self.name)
        try:
            self._model, wrapped = mlx_lm.load(str(target.folder), tokenizer_config={"trust_remote_code": False})[:2]
            settings = json.loads((target.folder / "config.json").read_bytes())
            if target.source == "pocket":
                self._model.set_dtype(mx.float32)
            mx.eval(self._model(mx.array([[0]])))  # what is not computed by now only this thread could compute
        except Exception as error:
            raise BadModel(f"{target.folder} cannot be loaded: {str(error)[:200]}") from None
        self._tokenizer: Any = wrapped
        self._fast = wrapped._tokenizer.backend_tokenizer
        self.context = int(settings["max_position_embeddings"])
        self._ends = frozenset(map(int, wrapped.eos_token_ids))

    def _render(self, conversation: list[dict[str, str]]) -> str:
        return str(self._tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False))

    def generate(self, ids: Sequence[int], options: Options, logprobs: list[float] | None = None) -> Iterator[int]:
        limit = room(self, ids, options)
        if options.schema is not None:
            raise Unsupported("The route mlx cannot follow a JSON schema. Use the route onnx.")
        try:
            prompt = mx.array(list(ids))
            for token, scores in generate_step(prompt, self._model, max_tokens=limit, sampler=_chooser(options)):
                if logprobs is not None:
                    logprobs.append(float(scores[token]))
                yield int(token)
                if token in self.ends:
                    return
        except RuntimeError as error:
            raise BackendError(f"MLX could not go on: {str(error)[:200]}") from None

    def _free(self) -> None:
        self._model = self._tokenizer = self._fast = None
        gc.collect()
        mx.clear_cache()


def _chooser(options: Options) -> Callable[[mx.array], mx.array]:
    """Log-probabilities [1, vocabulary] -> ids [1]: temperature, then top-p, then a draw from a key of its own."""
    if options.greedy:
        return lambda logprobs: mx.argmax(logprobs, axis=-1)
    key = mx.random.key(options.seed)

    def draw(logprobs: mx.array) -> mx.array:
        nonlocal key
        key, now = mx.random.split(key)
        heated = logprobs / options.temperature
        heated = heated - mx.logsumexp(heated, axis=-1, keepdims=True)
        return mx.random.categorical(apply_top_p(heated, options.top_p), key=now)

    return draw


load = MlxBackend  # what `connect` calls
