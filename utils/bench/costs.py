"""What the course's own tools cost and how far they can be trusted: memory, widget, sweeps, comparisons."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import onnxruntime_genai as og

from utils.alone import peak_of
from utils.backends.onnx import OnnxBackend
from utils.bench import large, starts, streams
from utils.bench.rows import Row, once, tried
from utils.catalog import load
from utils.compare import sweep
from utils.core import Options, complete
from utils.measure import Comparison, compare, summary
from utils.pocket import export, folder
from utils.rehearse import forms

REDRAW_S = 0.05  # seconds from one redraw of the compare widget to the next: what is promised, whatever it does
LIMIT_US = 3.0  # microseconds that a token may cost the compare widget
ANSWER, PER_S = 4000, 1000  # tokens of a long answer, and how many come in a second
SHORT = Options(max_tokens=4)
REPEATED = 40  # comparisons of a thing with itself, and with the same thing 3 % slower
FORMS = [forms.named(name) for name in ("onnx-fp32", "llama.cpp-f32", "transformers-fp32")]
IN_TURN = """
import sys, utils
for place in sys.argv[1:]:
    backend = utils.connect(*place.split("=", 1))
    utils.complete(backend, "What is an SLM?", utils.Options(max_tokens=8))
    backend.close()
"""


def rows(pairs: int) -> list[Row]:
    """Takes some minutes."""
    few = max(2, pairs // 3)
    return [
        *memory(few),
        Row("a token into the compare widget ÷ 3 µs", "µs", compare(widget_us, lambda: LIMIT_US, pairs), "most", 1.0),
        Row("redraws of the compare widget in a second", "1/s", once(redraws(), 1 / REDRAW_S), "within", 0.05),
        Row("bytes sent for twice the answer ÷ twice the bytes", "MB", summary([wire()] * 6), "most", 1.1),
        *sweeps(few),
        *trust(),
    ]


def memory(pairs: int) -> list[Row]:
    """Of whole processes, in MB. What `ask` takes more is Python's: modules that read arguments and the catalogue."""
    script = str(export.made(folder(streams.MODEL), "onnx-fp32"))
    ask = [sys.executable, "-m", "utils", "ask", "--mode", "offline", "--max-tokens", "64", streams.PROMPT]
    bare = [sys.executable, "-c", starts.BARE, script, streams.PROMPT]
    beside = compare(lambda: megabytes(ask), lambda: megabytes(bare), pairs)
    turns = "three routes one after another ÷ the largest alone"
    return [
        Row("peak memory of `ask` ÷ of a bare script", "MB", beside, "most", 1.02),
        tried(turns, lambda: Row(turns, "MB", in_turn(pairs), "most", 1.1)),
    ]


def in_turn(pairs: int) -> Comparison:
    """A model of a gigabyte, beside which the libraries are small: does each route let go of it?"""
    with tempfile.TemporaryDirectory(prefix="pocket-bench-") as there:
        places = []
        for form in FORMS:
            import_module(load().routes[form.route].module)  # raises here what would be lost in the other process
            scratch = Path(there, str(form))
            scratch.mkdir()
            made = forms.whole(large.SHAPE, form, scratch, large.LAYERS)
            places.append(f"{form.route}={made}:{form.precision}")

        def together() -> float:
            return megabytes([sys.executable, "-c", IN_TURN, *places])

        def largest() -> float:
            return max(megabytes([sys.executable, "-c", IN_TURN, place]) for place in places)

        return compare(together, largest, pairs)


def megabytes(command: list[str]) -> float:
    """At most in the memory of a process and of those that it starts. Raises RuntimeError when it fails."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        peak = peak_of(process)
    if process.returncode:
        raise RuntimeError(f"{command[:4]} ended with exit status {process.returncode}.")
    return peak / 1e6


def widget_us() -> float:
    """Microseconds for each token of an answer that comes at PER_S tokens/s, the messages to the page included."""
    return _written(ANSWER)[0] / ANSWER * 1e6


def redraws() -> float:
    """In a second of an answer that comes at PER_S tokens/s."""
    return len(_written(ANSWER)[2]) / (ANSWER / PER_S)


def wire() -> tuple[float, float]:
    """Megabytes sent for an answer, and twice those for half of it."""
    return _written(ANSWER)[1] / 1e6, 2 * _written(ANSWER // 2)[1] / 1e6


def _written(tokens: int) -> tuple[float, int, set[int]]:
    """Seconds and bytes that writing so many tokens takes, and with which of them the page was told something. The
    page's clock is that of the tokens."""
    from ipywidgets.widgets import widget

    from utils.widgets.growing import Growing

    sent, drawn, number = [0], set(), [0]
    usual = widget.Widget._send

    def send(self: Any, msg: Any, buffers: Any = None) -> None:
        sent.append(len(json.dumps(msg, default=str)))
        drawn.add(number[0])

    widget.Widget._send = send
    try:
        view = Growing(lambda: number[0] / PER_S)
        start = time.perf_counter()
        for number[0] in range(tokens):
            view.add(" word")
        view.flush()
        return time.perf_counter() - start, sum(sent), drawn
    finally:
        widget.Widget._send = usual


def sweeps(pairs: int) -> list[Row]:
    """Short prompts by the hundred. Building a generator took 14.6 ms when three times the speed was promised; with
    ONNX Runtime GenAI 0.18 it takes 1.0, so that a prompt of four tokens cannot be answered three times as fast."""
    prompts = [f"What is {i} + {i + 1}?" for i in range(1000)]

    def each(count: int) -> float:
        start = time.perf_counter()
        sweep("onnx", prompts[:count], SHORT, mode="offline", progress=False)
        return (time.perf_counter() - start) / count * 1000

    linear = compare(lambda: each(1000), lambda: each(100), pairs)
    with closing(OnnxBackend(streams.pocket("onnx-fp32"))) as backend:
        ours = _rate(lambda prompt: complete(backend, prompt, SHORT), prompts[:100])
        naive = _rate(lambda prompt: _naive(backend, prompt), prompts[:100])
        result = compare(ours, naive, 3 * pairs)
    return [
        Row("a prompt among 1,000 ÷ among 100", "ms", linear, "most", 1.1),
        Row("short prompts ÷ a generator built for each", "1/s", result, "least", 3.0),
    ]


def _rate(ask: Callable[[str], object], prompts: list[str]) -> Callable[[], float]:
    def rate() -> float:
        start = time.perf_counter()
        for prompt in prompts:
            ask(prompt)
        return len(prompts) / (time.perf_counter() - start)

    return rate


def _naive(backend: OnnxBackend, prompt: str) -> Any:
    """As the tutorials have it: parameters and a generator for each prompt."""
    params = og.GeneratorParams(backend._model)
    params.set_search_options(max_length=backend.context)
    generator = og.Generator(backend._model, params)
    generator.append_tokens(backend.prompt_ids([{"role": "user", "content": prompt}]))
    for _ in range(SHORT.max_tokens):
        if not generator.is_done():
            generator.generate_next_token()
    return backend._tokenizer.decode(generator.get_sequence(0))


def trust() -> list[Row]:
    """How often `compare` sees a difference where there is none, and misses one of 3 %."""

    def work(steps: int) -> Callable[[], float]:
        def seconds() -> float:
            start = time.perf_counter()
            sum(range(steps))
            return time.perf_counter() - start

        return seconds

    usual, slower = work(1_000_000), work(1_030_000)  # 15 ms: of shorter work the noise is larger than 3 %
    alarms = sum(compare(usual, usual, 36).differs for _ in range(REPEATED)) / REPEATED
    missed = sum(not compare(slower, usual, 36).differs for _ in range(REPEATED)) / REPEATED
    return [
        Row("share of A/A comparisons called different", "share", summary([(alarms, 1.0)] * 6), "most", 0.05),
        Row("share of 3 % slow-downs that were missed", "share", summary([(missed, 1.0)] * 6), "most", 0.05),
    ]
