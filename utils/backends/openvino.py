"""The route `openvino`: OpenVINO GenAI in this process, on the processor, an Intel GPU or an NPU.

Its continuous batching hands out tokens one step at a time and keeps several answers apart. It knows nothing of where
a model comes from; a folder that is not in OpenVINO's format yet is exported on first use.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import openvino as ov
import openvino_genai as genai
from tokenizers import Tokenizer

from utils import catalog
from utils.backends.local import TokenizersBackend, room
from utils.backends.target import Target
from utils.core import Options
from utils.errors import BackendError, BadInput, BadModel, Unsupported
from utils.pocket import export

EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}  # pocket models: the same tokens everywhere


class OpenVinoBackend(TokenizersBackend):
    """A model loaded by OpenVINO GenAI on the device OPENVINO_DEVICE (CPU, GPU, NPU; CPU when it is not set)."""

    name = "openvino"

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        device = _device()
        self.folder = target.folder
        if not (self.folder / "openvino_model.xml").exists():
            self.folder = export.made(target.folder, cast(export.Form, f"openvino-{target.precision}"))
        exact = EXACT if target.source == "pocket" and device == "CPU" else {}
        try:
            self._pipeline = genai.ContinuousBatchingPipeline(self.folder, genai.SchedulerConfig(), device, exact)
            self._tokenizer = self._pipeline.get_tokenizer()
            settings = json.loads((self.folder / "config.json").read_bytes())
            self.context = int(settings["max_position_embeddings"])
            config = self._pipeline.get_config()
            self._fast = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        except Exception as error:
            said = str(error).strip().splitlines()[-1][:200]
            raise BadModel(f"{self.folder} cannot be loaded: {said}. Delete it and make it again.") from None
        self._ends = frozenset({*config.stop_token_ids, config.eos_token_id} - {-1})
        self._numbers, self._stepping = itertools.count(), threading.Lock()

    def _render(self, conversation: list[dict[str, str]]) -> str:
        return str(self._tokenizer.apply_chat_template(genai.ChatHistory(conversation), add_generation_prompt=True))

    def _tokens(self, text: str) -> list[int]:
        ids = self._tokenizer.encode(text, add_special_tokens=False).input_ids.data[0]
        return cast(list[int], ids.tolist())

    def generate(self, ids: Sequence[int], options: Options, logprobs: list[float] | None = None) -> Iterator[int]:
        limit = room(self, ids, options)
        if options.schema is not None:  # its grammar allows blanks without end, and with a tiny model they come
            raise Unsupported("The route openvino cannot follow a JSON schema. Use the route onnx.")
        handle = self._request(ids, limit, options)
        try:
            while handle.get_status() == genai.GenerationStatus.RUNNING or handle.can_read():
                if not handle.can_read():
                    with self._stepping:  # a step makes a token for every answer that is being made
                        if not handle.can_read():
                            self._pipeline.step()
                    continue
                for output in handle.read().values():
                    if logprobs is not None:
                        logprobs += output.generated_log_probs
                    yield from output.generated_ids
        except RuntimeError as error:
            raise BackendError(f"OpenVINO GenAI could not go on: {str(error)[:200]}") from None
        finally:
            handle.stop()

    def _request(self, ids: Sequence[int], limit: int, options: Options) -> Any:
        config = genai.GenerationConfig(max_new_tokens=limit, stop_token_ids=set(self.ends), rng_seed=options.seed)
        config.ignore_eos, config.logprobs = self.force_length, int(options.logprobs)
        if not options.greedy:
            config.do_sample, config.temperature, config.top_p = True, options.temperature, options.top_p
        return self._pipeline.add_request(next(self._numbers), ov.Tensor(np.array([ids], np.int64)), config)

    def _free(self) -> None:
        self._pipeline = self._tokenizer = self._fast = None


def _device() -> str:
    wanted = (catalog.variable("OPENVINO_DEVICE") or "CPU").upper()
    known = {name.partition(".")[0] for name in ov.Core().available_devices}
    if wanted.partition(".")[0] not in known:
        raise BadInput(
            f"OpenVINO finds no {wanted} on this machine, only {', '.join(sorted(known))}: see OPENVINO_DEVICE."
        )
    return wanted


load = OpenVinoBackend  # what `connect` calls
