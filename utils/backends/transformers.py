"""The route `transformers`: the reference implementation of Phi-3, in PyTorch, with a token loop of our own.

Transformers' `generate()` hands text over by a thread and a queue, in chunks that are not tokens. This loop does what
it does, token for token, and yields after each step. It knows nothing of where a model comes from.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
import transformers

from utils.backends.local import TokenizersBackend, room
from utils.backends.target import Target
from utils.core import Options
from utils.errors import BackendError, BadModel, Unsupported
from utils.pocket import weights


class TransformersBackend(TokenizersBackend):
    """A model loaded by Transformers: pocket models as float32, others as they were saved; on a GPU if there is one."""

    name = "transformers"

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        weights.check(target.folder)
        source: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        dtype = torch.float32 if target.source == "pocket" else "auto"
        logs: Any = transformers.utils.logging
        bar = logs.is_progress_bar_enabled()
        logs.disable_progress_bar()
        try:
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(target.folder, **source)
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(
                target.folder, dtype=dtype, use_safetensors=True, **source
            )
        except Exception as error:
            raise BadModel(f"{target.folder} cannot be loaded: {str(error)[:200]}") from None
        finally:
            if bar:
                logs.enable_progress_bar()
        self._model = model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
        self._fast = self._tokenizer.backend_tokenizer
        self.context = int(self._model.config.max_position_embeddings)
        ends = self._model.generation_config.eos_token_id
        self._ends = frozenset(ends if isinstance(ends, list) else [ends])

    def _render(self, conversation: list[dict[str, str]]) -> str:
        return str(self._tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False))

    def generate(self, ids: Sequence[int], options: Options, logprobs: list[float] | None = None) -> Iterator[int]:
        limit = room(self, ids, options)
        if options.schema is not None:
            raise Unsupported("The route transformers cannot follow a JSON schema. Use the route onnx.")
        choose = _chooser(options, self._model.device)
        cache = transformers.DynamicCache(config=self._model.config)
        step = torch.tensor([ids], device=self._model.device)
        try:
            for _ in range(limit):
                logits = self._logits(step, cache)
                step = choose(logits)
                token = int(step)
                if logprobs is not None:
                    logprobs.append(float(logits.log_softmax(-1)[0, token]))
                yield token
                if token in self.ends:
                    return
        except RuntimeError as error:  # out of memory, for example
            raise BackendError(f"PyTorch could not go on: {str(error)[:200]}") from None

    @torch.inference_mode()  # here and not around the loop, where it would stay on for our caller between two tokens
    def _logits(self, ids: torch.Tensor, cache: Any) -> torch.Tensor:
        return cast(torch.Tensor, self._model(ids, past_key_values=cache, logits_to_keep=1).logits[:, -1].float())

    def _free(self) -> None:
        self._model = self._tokenizer = self._fast = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _chooser(options: Options, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """Logits [1, vocabulary] -> ids [1, 1], in the way of `generate()`: temperature, then top-p, then a draw."""
    if options.greedy:
        return lambda logits: logits.argmax(-1, keepdim=True)
    heat, nucleus = (
        transformers.TemperatureLogitsWarper(options.temperature),
        transformers.TopPLogitsWarper(options.top_p),
    )
    warp: Any = transformers.LogitsProcessorList([heat, nucleus])
    dice = torch.Generator(device).manual_seed(options.seed)
    return lambda logits: torch.multinomial(warp(None, logits).softmax(-1), 1, generator=dice)


load = TransformersBackend  # what `connect` calls
