"""What our stream costs: beside a runtime's own bare loop and its own helper.

Both sides decode TOKENS tokens from the same ids, kept from ending early, and return tokens/s.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import onnxruntime_genai as og

from utils.backends.local import LocalBackend
from utils.backends.onnx import OnnxBackend
from utils.backends.target import Target
from utils.bench.rows import Row, tried
from utils.core import Message, Options, complete
from utils.measure import compare
from utils.pocket import export, folder

MODEL = "pocket-phi-3-mini"
PROMPT = "What is a small language model, and what can I do with it in a mountain hut?"
MESSAGES: list[Message] = [{"role": "user", "content": PROMPT}]
TOKENS = 256
Speed = Callable[[], float]


def pocket(form: export.Form | None = None) -> Target:
    """The pocket model to measure, in its own folder or exported."""
    home = export.made(folder(MODEL), form) if form else folder(MODEL)
    return Target(model=MODEL, source="pocket", folder=home, precision="fp32")


def rows(pairs: int) -> list[Row]:
    """ONNX Runtime GenAI and Transformers."""
    with closing(OnnxBackend(pocket("onnx-fp32"))) as backend:
        ours, raw = stream(backend), onnx_loop(backend)
        measured = [
            Row("our stream ÷ raw ONNX Runtime GenAI loop", "tokens/s", compare(ours, raw, 4 * pairs), "least", 0.98),
            Row("control: the raw loop ÷ itself", "tokens/s", compare(raw, raw, 4 * pairs)),
        ]
    return [*measured, tried("our stream ÷ Transformers' TextIteratorStreamer", lambda: beside_transformers(pairs))]


def stream(backend: LocalBackend, tokens: int | None = None) -> Speed:
    """Our figure: decode speed by `complete()`, over so many tokens (TOKENS)."""
    count, backend.force_length = tokens or TOKENS, True

    def speed() -> float:
        answer = complete(backend, MESSAGES, Options(max_tokens=count))
        if answer.tokens != count:
            raise RuntimeError(f"{answer.tokens} tokens instead of {count}")
        return answer.tokens_per_s

    return speed


def whole(backend: LocalBackend) -> Speed:
    """The same answer timed from outside, prompt and all."""
    backend.force_length = True

    def speed() -> float:
        start = time.perf_counter()
        complete(backend, MESSAGES, Options(max_tokens=TOKENS))
        return TOKENS / (time.perf_counter() - start)

    return speed


def onnx_loop(backend: OnnxBackend, tokens: int | None = None) -> Speed:
    """The library's bare loop, timed from the first text to the end of the last token."""
    count = tokens or TOKENS

    def speed() -> float:
        generator = prompted(backend, count)
        decoder = backend._tokenizer.create_stream()
        generator.generate_next_token()
        text = [decoder.decode(generator.get_next_tokens()[0])]
        start = time.perf_counter()
        while not generator.is_done():
            generator.generate_next_token()
            text.append(decoder.decode(generator.get_next_tokens()[0]))
        return (count - 1) / (time.perf_counter() - start)

    return speed


def prompted(backend: OnnxBackend, tokens: int) -> Any:
    """The library's generator, which has read the prompt and will write so many tokens."""
    ids = backend.prompt_ids(MESSAGES)
    params = og.GeneratorParams(backend._model)
    params.set_search_options(max_length=len(ids) + tokens, min_length=len(ids) + tokens)
    generator = og.Generator(backend._model, params)
    generator.append_tokens(ids)
    return generator


def beside_transformers(pairs: int) -> Row:
    """Our loop beside `generate()` with its TextIteratorStreamer, both timed as a whole; the same ids, or no row."""
    from utils.backends.transformers import TransformersBackend

    with closing(TransformersBackend(pocket())) as backend:
        theirs, ids = transformers_helper(backend)
        ours = whole(backend)
        theirs()
        if ids != list(backend.generate(backend.prompt_ids(MESSAGES), Options(max_tokens=TOKENS))):
            raise RuntimeError("Transformers' helper generated other ids than our loop.")
        result = compare(ours, theirs, pairs)
    return Row("our stream ÷ Transformers' TextIteratorStreamer", "tokens/s", result, "least", 1.25)


def transformers_helper(backend: Any) -> tuple[Speed, list[int]]:
    """The library's way to stream, and the list that holds the ids of the last run."""
    import torch
    from transformers import TextIteratorStreamer

    backend._model.generation_config.eos_token_id = None
    prompt = torch.tensor([backend.prompt_ids(MESSAGES)])
    made: list[int] = []

    def speed() -> float:
        streamer = TextIteratorStreamer(backend._tokenizer, skip_prompt=True)
        asked = {"input_ids": prompt, "attention_mask": torch.ones_like(prompt), "streamer": streamer}
        asked |= {"max_new_tokens": TOKENS, "do_sample": False}

        def generate() -> None:
            made[:] = backend._model.generate(**asked)[0, prompt.shape[1] :].tolist()

        start = time.perf_counter()
        worker = threading.Thread(target=generate)
        worker.start()
        text = list(streamer)
        seconds = time.perf_counter() - start
        worker.join()
        if not text or len(made) != TOKENS:
            raise RuntimeError(f"{len(made)} tokens instead of {TOKENS}")
        return TOKENS / seconds

    return speed, made
