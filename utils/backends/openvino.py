"""The route `openvino`: OpenVINO GenAI in this process, on the processor, an Intel GPU or an NPU.

Its continuous batching hands out tokens one step at a time and keeps several answers apart. An NPU cannot do that:
there a simpler pipeline makes one answer at a time. No NPU was at hand, so that is tested on a processor. This module
does not know where a model comes from; a folder that is not in OpenVINO's format yet is exported on first use.
"""

from __future__ import annotations

import itertools
import json
import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import openvino as ov
import openvino_genai as genai
from tokenizers import Tokenizer

from utils import catalog
from utils.backends import images
from utils.backends.local import TokenizersBackend, room
from utils.backends.target import Target
from utils.core import Options
from utils.errors import BackendError, BadInput, BadModel, Unsupported
from utils.pocket import export

SHAPE = {"MAX_PROMPT_LEN": 1024, "MIN_RESPONSE_LEN": 512}  # tokens: an NPU's program is made for fixed lengths
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}  # pocket models: the same tokens everywhere


class OpenVinoBackend(TokenizersBackend):
    """A model loaded by OpenVINO GenAI on a processor or a GPU."""

    name, _weights = "openvino", "openvino_model.bin"

    def __init__(self, target: Target, device: str = "CPU") -> None:
        super().__init__(target)
        images.refuse_seeing(target.folder, self.name)
        if not (self.folder / "openvino_model.xml").exists():
            self.folder = export.made(target.folder, cast(export.Form, f"openvino-{target.precision}"))
        exact = EXACT if target.source == "pocket" and device == "CPU" else {}
        try:
            settings = json.loads((self.folder / "config.json").read_bytes())
            self.context = int(settings["max_position_embeddings"])
            config = self._open(device, exact)
            self._tokenizer = self._pipeline.get_tokenizer()
            self._fast = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        except Exception as error:
            said = str(error).strip().splitlines()[-1][:200]
            raise BadModel(f"{self.folder} cannot be loaded: {said}. Delete it and make it again.") from None
        self._ends = frozenset({*config.stop_token_ids, config.eos_token_id} - {-1})
        self._numbers, self._stepping = itertools.count(), threading.Lock()

    def _open(self, device: str, settings: dict[str, Any]) -> genai.GenerationConfig:
        self._pipeline: Any = genai.ContinuousBatchingPipeline(self.folder, genai.SchedulerConfig(), device, settings)
        return self._pipeline.get_config()

    def _render(self, conversation: list[dict[str, str]]) -> str:
        return str(self._tokenizer.apply_chat_template(genai.ChatHistory(conversation), add_generation_prompt=True))

    def _tokens(self, text: str) -> list[int]:
        ids = self._tokenizer.encode(text, add_special_tokens=False).input_ids.data[0]
        return cast(list[int], ids.tolist())

    def generate(self, ids: Sequence[int], options: Options, logprobs: list[float] | None = None) -> Iterator[int]:
        limit = room(self, ids, options)
        if options.schema is not None:  # its grammar allows blanks without end, and with a tiny model they come
            raise Unsupported("The route openvino cannot follow a JSON schema. Use the route onnx.")
        try:
            yield from self._made(ov.Tensor(np.array([ids], np.int64)), self._config(limit, options), logprobs)
        except RuntimeError as error:
            raise BackendError(f"OpenVINO GenAI could not go on: {str(error)[:200]}") from None

    def _made(self, ids: ov.Tensor, config: Any, logprobs: list[float] | None) -> Iterator[int]:
        pipeline = self._pipeline  # it outlives close(): one that goes with an answer half made complains on stderr
        handle = pipeline.add_request(next(self._numbers), ids, config)
        try:
            while handle.get_status() == genai.GenerationStatus.RUNNING or handle.can_read():
                if not handle.can_read():
                    with self._stepping:  # a step makes a token for every answer that is being made
                        if not handle.can_read():
                            pipeline.step()
                    continue
                for output in handle.read().values():
                    if logprobs is not None:
                        logprobs += output.generated_log_probs
                    yield from output.generated_ids
        finally:
            if handle.get_status() == genai.GenerationStatus.RUNNING:
                handle.stop()
                if self._stepping.acquire(blocking=False):  # else the one who steps now lets go of it
                    try:
                        pipeline.step()
                    finally:
                        self._stepping.release()

    def _config(self, limit: int, options: Options) -> genai.GenerationConfig:
        config = genai.GenerationConfig(max_new_tokens=limit, stop_token_ids=set(self.ends), rng_seed=options.seed)
        config.ignore_eos, config.logprobs = self.force_length, int(options.logprobs)
        if not options.greedy:
            config.do_sample, config.temperature, config.top_p = True, options.temperature, options.top_p
        return config

    def _free(self) -> None:
        self._pipeline = self._tokenizer = self._fast = None


class OneByOneBackend(OpenVinoBackend):
    """A model loaded by OpenVINO GenAI on an NPU: prompt and answer of limited length, one answer at a time."""

    def _open(self, device: str, settings: dict[str, Any]) -> genai.GenerationConfig:
        static = device.startswith("NPU")
        self._pipeline = genai.LLMPipeline(self.folder, device, **(settings | (SHAPE if static else {})))
        self.context = min(self.context, sum(SHAPE.values())) if static else self.context
        return self._pipeline.get_generation_config()

    def _made(self, ids: ov.Tensor, config: Any, logprobs: list[float] | None) -> Iterator[int]:
        if logprobs is not None:
            raise Unsupported("OpenVINO tells no log-probabilities on an NPU. Set OPENVINO_DEVICE=CPU.")
        if not self._stepping.acquire(blocking=False):
            raise BackendError("An NPU makes one answer at a time. Wait for the other one, or stop it.")
        made, over = queue.SimpleQueue[int | RuntimeError | None](), threading.Event()

        class Streamer(genai.StreamerBase):  # type: ignore[misc]
            def write(self, tokens: Any) -> genai.StreamingStatus:
                for token in tokens if isinstance(tokens, Sequence) else [tokens]:
                    made.put(int(token))
                return genai.StreamingStatus.CANCEL if over.is_set() else genai.StreamingStatus.RUNNING

            def end(self) -> None:
                pass

        def work(pipeline: Any = self._pipeline) -> None:
            try:
                pipeline.generate(ids, config, Streamer())
                made.put(None)
            except RuntimeError as error:
                made.put(error)

        thread = threading.Thread(target=work, name="openvino", daemon=True)
        thread.start()
        try:
            while (token := made.get()) is not None:
                if isinstance(token, RuntimeError):
                    raise token
                yield token
        finally:
            over.set()
            thread.join()  # it ends after the token that it is making
            self._stepping.release()


def load(target: Target, *, device: str | None = None) -> OpenVinoBackend:
    """What `connect` calls: on `device` (CPU, GPU, NPU), else on OPENVINO_DEVICE, else on the processor."""
    place = _device(device)
    return (OneByOneBackend if place.startswith("NPU") else OpenVinoBackend)(target, place)


def _device(given: str | None) -> str:
    wanted = str(given or catalog.variable("OPENVINO_DEVICE") or "CPU").upper()
    known = {name.partition(".")[0] for name in ov.Core().available_devices}
    if wanted.partition(".")[0] not in known:
        raise BadInput(
            f"OpenVINO finds no {wanted} on this machine, only {', '.join(sorted(known))}: see OPENVINO_DEVICE."
        )
    return wanted
