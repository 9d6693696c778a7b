"""Our figure of a speed beside what a runtime's own benchmark says of the same work.

Both for a pocket model and for one of 250 million parameters: no tool counts how a token is fetched and becomes text,
and beside a pocket model's tokens these 40 microseconds are up to 5 %.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from utils.backends.onnx import OnnxBackend
from utils.backends.target import Target
from utils.bench import large
from utils.bench.large import TOKENS
from utils.bench.rows import Row, tried
from utils.bench.streams import MESSAGES, Speed, pocket, prompted, stream
from utils.measure import compare, summary
from utils.pocket import export

Models = Callable[[str], AbstractContextManager[Target]]  # a model for "onnx-fp32", "llama.cpp-f32", ...


def rows(pairs: int) -> list[Row]:
    """Beside every tool."""
    measured = []
    for size, model in {"pocket": small, "250 M": large.model}.items():
        for tool, beside in AGAINST.items():
            row = tried(f"our figure ÷ that of {tool}", partial(beside, pairs, model))
            measured.append(replace(row, what=f"{row.what}, {size}"))
    return measured


@contextmanager
def small(form: str) -> Iterator[Target]:
    """The pocket model for the form's route."""
    forms: dict[str, export.Form] = {"onnx-fp32": "onnx-fp32", "llama.cpp-f32": "gguf-f32"}
    forms |= {"openvino-fp32": "openvino-fp32"}
    yield pocket(forms.get(form))


def beside_ort(pairs: int, model: Models = large.model) -> Row:
    """Our figure beside that of ONNX Runtime GenAI's script."""
    with model("onnx-fp32") as target, closing(OnnxBackend(target)) as backend:
        result = compare(stream(backend, TOKENS), onnx_script(backend), pairs)
    return Row("our figure ÷ ONNX Runtime GenAI's script", "tokens/s", result, "within", 0.03)


def onnx_script(backend: OnnxBackend) -> Speed:
    """As ONNX Runtime GenAI's `benchmark_e2e.py` has it: one over the mean time of a step, the first left out."""

    def speed() -> float:
        generator = prompted(backend, TOKENS)
        generator.generate_next_token()
        steps = []
        while not generator.is_done():
            start = time.perf_counter()
            generator.generate_next_token()
            steps.append(time.perf_counter() - start)
        return len(steps) / sum(steps)

    return speed


def beside_llama_cpp(pairs: int, model: Models = large.model) -> Row:
    """Our figure beside the timings that llama.cpp gives with the last event of a stream."""
    from utils.backends.llama_cpp import LlamaCppBackend

    with model("llama.cpp-f32") as target, closing(LlamaCppBackend(target)) as backend:
        ids = backend.prompt_ids(MESSAGES)

        def theirs() -> float:
            asked = {"prompt": ids, "n_predict": TOKENS, "ignore_eos": True, "cache_prompt": False, "temperature": 0}
            connection, answer = backend._open("/completion", asked | {"stream": True, "return_tokens": True})
            with closing(connection):
                last = [line for line in answer if line.startswith(b"data: ")][-1]
            return float(json.loads(last[6:])["timings"]["predicted_per_second"])

        result = compare(stream(backend, TOKENS), theirs, pairs)
    return Row("our figure ÷ llama.cpp's own timings of a stream", "tokens/s", result, "within", 0.03)


def beside_openvino(pairs: int, model: Models = large.model) -> Row:
    """Our figure beside OpenVINO GenAI's `PerfMetrics`."""
    import numpy as np
    import openvino as ov

    from utils.backends.openvino import OpenVinoBackend

    with model("openvino-fp32") as target, closing(OpenVinoBackend(target)) as backend:
        prompt = ov.Tensor(np.array([backend.prompt_ids(MESSAGES)], np.int64))

        def theirs() -> float:
            config = backend._pipeline.get_config()
            config.max_new_tokens, config.ignore_eos = TOKENS, True
            [result] = backend._pipeline.generate([prompt], [config])
            return 1000 / float(result.perf_metrics.get_tpot().mean)

        result = compare(stream(backend, TOKENS), theirs, pairs)
    return Row("our figure ÷ OpenVINO GenAI's PerfMetrics", "tokens/s", result, "within", 0.03)


def beside_optimum(pairs: int, model: Models = large.model) -> Row:
    """How we count beside how optimum-benchmark 0.6 does, both looking at the same calls of Transformers' `generate()`:
    it takes the time whenever there are new logits, and leaves the first out. (The package itself is not needed.)"""
    import torch
    from transformers import LogitsProcessor, LogitsProcessorList
    from transformers.generation.streamers import BaseStreamer

    from utils.backends.transformers import TransformersBackend

    class Watch(LogitsProcessor, BaseStreamer):  # type: ignore[misc]
        def __init__(self) -> None:
            self.logits: list[float] = []
            self.ids: list[float] = []

        def __call__(self, input_ids: Any, scores: Any) -> Any:
            self.logits.append(time.perf_counter())
            return scores

        def put(self, value: Any) -> None:
            self.ids.append(time.perf_counter())

        def end(self) -> None: ...

    def speed(times: list[float]) -> float:
        """As of a `Completion`: the first token belongs to the prefill."""
        return (TOKENS - 1) / (times[-1] - times[-TOKENS])

    measured = []
    with model("transformers-fp32") as target, closing(TransformersBackend(target)) as backend:
        backend._model.generation_config.eos_token_id = None
        prompt = torch.tensor([backend.prompt_ids(MESSAGES)])
        for _ in range(pairs + 1):
            watch = Watch()
            asked = {"logits_processor": LogitsProcessorList([watch]), "streamer": watch, "max_new_tokens": TOKENS}
            backend._model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, **asked)
            measured.append((speed(watch.ids), speed(watch.logits)))
    return Row("our figure ÷ optimum-benchmark's method", "tokens/s", summary(measured[1:]), "within", 0.03)


AGAINST: dict[str, Callable[..., Row]] = {  # what `bench --against` takes
    "ort": beside_ort,
    "llama-bench": beside_llama_cpp,
    "openvino": beside_openvino,
    "optimum": beside_optimum,
}
