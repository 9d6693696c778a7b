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

from utils import catalog
from utils.backends import images
from utils.backends.local import TokenizersBackend, room
from utils.backends.target import Target
from utils.core import Options
from utils.errors import BackendError, BadInput, BadModel, Unsupported
from utils.pocket import TAG, weights

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TransformersBackend(TokenizersBackend):
    """A model loaded by Transformers, on `device` (cpu, cuda, mps, ...), else on TORCH_DEVICE.

    Left to itself, a pocket model runs in float32 on the processor, for the same tokens on every machine; others run
    as they were saved, on the GPU if there is one. "NAME:bf16" asks for another precision.
    """

    name = "transformers"

    def __init__(self, target: Target, *, device: str | None = None) -> None:
        super().__init__(target)
        weights.check(target.folder)
        source: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        pocket = target.source == "pocket"
        dtype, place = DTYPES.get(target.precision, torch.float32 if pocket else "auto"), _device(device, pocket)
        logs: Any = transformers.utils.logging
        bar = logs.is_progress_bar_enabled()
        logs.disable_progress_bar()
        try:
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(target.folder, **source)
            config = transformers.AutoConfig.from_pretrained(target.folder, **source)
            self.sees = hasattr(config, "vision_config")
            kind: Any = transformers.AutoModelForImageTextToText if self.sees else transformers.AutoModelForCausalLM
            model: Any = kind.from_pretrained(target.folder, dtype=dtype, use_safetensors=True, **source)
            self._model = model.eval().to(place)
            if self.sees:
                self._eyes: Any = transformers.AutoImageProcessor.from_pretrained(
                    target.folder, backend="pil", **source
                )
            self._fast = self._tokenizer.backend_tokenizer
            text = self._model.config.get_text_config()
            self.context = int(text.max_position_embeddings)
        except Exception as error:
            raise BadModel(f"{target.folder} cannot be loaded: {str(error)[:200]}") from None
        finally:
            if bar:
                logs.enable_progress_bar()
        rope = getattr(text, "rope_parameters", None) or {}  # LongRoPE turns all tokens otherwise in a long text
        self._switch = rope["original_max_position_embeddings"] if rope.get("rope_type") == "longrope" else self.context
        ends = self._model.generation_config.eos_token_id
        self._ends = frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])

    def _render(self, conversation: list[dict[str, str]]) -> str:
        return str(self._tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False))

    def _tokens(self, text: str) -> list[int]:
        """With the ids that stand for a picture in the place of its tag, where the model sees."""
        if not self.sees:
            return super()._tokens(text)
        first, *others = (super(TransformersBackend, self)._tokens(piece) for piece in TAG.split(text))
        patches = [self._model.config.image_token_id] * self._model.config.image_seq_length
        return [*first, *(i for piece in others for i in (*patches, *piece))]

    def generate(
        self,
        ids: Sequence[int],
        options: Options,
        logprobs: list[float] | None = None,
        pictures: Sequence[bytes] = (),
    ) -> Iterator[int]:
        limit = room(self, ids, options)
        if options.schema is not None:
            raise Unsupported("The route transformers cannot follow a JSON schema. Use the route onnx.")
        choose = _chooser(options, self._model.device)
        cache = transformers.DynamicCache(config=self._model.config.get_text_config())
        known, step = list(ids), torch.tensor([ids], device=self._model.device)
        seen = self._look(pictures) if pictures else {}
        try:
            for _ in range(limit):
                if len(known) == self._switch + 1 and cache.get_seq_length():
                    cache = transformers.DynamicCache(config=self._model.config.get_text_config())
                    step = torch.tensor([known], device=self._model.device)
                logits = self._logits(step, cache, seen if cache.get_seq_length() == 0 else {})
                step = choose(logits)
                token = int(step)
                known.append(token)
                if logprobs is not None:
                    logprobs.append(float(logits.log_softmax(-1)[0, token]))
                yield token
                if token in self.ends:
                    return
        except (RuntimeError, IndexError) as error:  # out of memory; a tokenizer with more tokens than the model
            raise BackendError(f"PyTorch could not go on: {str(error)[:200]}") from None

    @torch.inference_mode()  # here and not around the loop, where it would stay on for our caller between two tokens
    def _logits(self, ids: torch.Tensor, cache: Any, seen: dict[str, torch.Tensor]) -> torch.Tensor:
        out = self._model(ids, cache=cache, logits_to_keep=1, **seen)
        return cast(torch.Tensor, out.logits[:, -1].float())

    def _look(self, pictures: Sequence[bytes]) -> dict[str, torch.Tensor]:
        """The pictures as the model takes them. Raises BadInput."""
        seen = self._eyes([images.opened(picture) for picture in pictures], return_tensors="pt")
        return {"pixel_values": seen["pixel_values"].to(self._model.device, self._model.dtype)}

    def _free(self) -> None:
        self._model = self._tokenizer = self._fast = None
        gc.collect()
        if torch.accelerator.is_available():
            torch.accelerator.empty_cache()


def _device(given: str | None, pocket: bool) -> torch.device:
    gpu = torch.accelerator.current_accelerator(check_available=True)
    known = {"cpu", *([gpu.type] if gpu else [])}
    wanted = str(given or catalog.variable("TORCH_DEVICE") or (gpu.type if gpu and not pocket else "cpu"))
    if wanted.partition(":")[0] not in known:
        raise BadInput(f"PyTorch finds no {wanted} on this machine, only {', '.join(sorted(known))}: see TORCH_DEVICE.")
    try:
        return torch.device(wanted)
    except RuntimeError:
        raise BadInput(f"{wanted!r} is no device. Write it like cpu or cuda:0.") from None


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
