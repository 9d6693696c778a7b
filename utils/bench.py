"""`python -m utils bench`: the speeds this package promises, each measured beside a bare script on this machine.

Every number is a ratio with its spread, because absolute times belong to one machine. The last row compares the bare
loop with itself: what it shows is the noise.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnxruntime_genai as og

from utils.backends.onnx import OnnxBackend
from utils.backends.target import Target
from utils.catalog import HOME
from utils.core import Message, Options, complete
from utils.measure import Comparison, compare
from utils.pocket import export, folder

MODEL = "pocket-phi-3-mini"
PROMPT = "What is a small language model, and what can I do with it in a mountain hut?"
TOKENS = 256  # length of every answer in the stream rows
BARE = """
import sys
import onnxruntime_genai as og
model = og.Model(sys.argv[1])
tokenizer = og.Tokenizer(model)
params = og.GeneratorParams(model)
params.set_search_options(max_length=1024)
generator = og.Generator(model, params)
generator.append_tokens(tokenizer.encode(f"<|user|>\\n{sys.argv[2]}<|end|>\\n<|assistant|>\\n"))
stream = tokenizer.create_stream()
while not generator.is_done():
    generator.generate_next_token()
    print(stream.decode(generator.get_next_tokens()[0]), end="", flush=True)
"""


@dataclass(frozen=True)
class Row:
    """One promise: `result.ratio` must be `at` ("most" or "least") `target`; without a target it is a control."""

    what: str
    unit: str
    result: Comparison
    at: str = ""
    target: float = 0.0

    @property
    def kept(self) -> bool | None:
        """Whether the promise is kept; None for a control."""
        if not self.at:
            return None
        return self.result.ratio <= self.target if self.at == "most" else self.result.ratio >= self.target


def run(pairs: int = 9) -> list[Row]:
    """Measures everything; takes about a minute. Raises BackendError when there is no pocket model to measure."""
    exported = export.made(folder(MODEL), "onnx-fp32")
    ask = [sys.executable, "-m", "utils", "ask", "--mode", "offline", "--max-tokens", "8", PROMPT]
    bare = [sys.executable, "-c", BARE, str(exported), PROMPT]
    ours, raw = streams(exported)
    imports = compare(lambda: _import_s("utils"), lambda: _import_s("ipywidgets"), pairs)
    cold = compare(lambda: _first_output_s(ask), lambda: _first_output_s(bare), pairs)
    return [
        Row("import utils ÷ import ipywidgets", "s", imports, "most", 1.2),
        Row("cold `ask` to first token ÷ bare script", "s", cold, "most", 1.3),
        Row("our stream ÷ raw ONNX Runtime GenAI loop", "tokens/s", compare(ours, raw, 4 * pairs), "least", 0.95),
        Row("control: the raw loop ÷ itself", "tokens/s", compare(raw, raw, 4 * pairs)),
    ]


def _import_s(module: str) -> float:
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    return float(subprocess.run([sys.executable, "-c", code], cwd=HOME.parent, capture_output=True, check=True).stdout)


def _first_output_s(command: list[str]) -> float:
    """Seconds from the start of a process to the first byte that it prints."""
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=HOME.parent, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        seconds = time.perf_counter() - start
        process.stdout.read()
    if not first:
        raise RuntimeError(f"{command[:4]} printed nothing (exit status {process.returncode})")
    return seconds


def streams(exported: Path) -> tuple[Callable[[], float], Callable[[], float]]:
    """Two functions that decode TOKENS tokens from the same ids and return tokens/s: ours, and the library's bare loop.

    Both are timed from outside, from the first text to the end of the last token; both are kept from ending early.
    """
    backend = OnnxBackend(Target(model=MODEL, source="pocket", folder=exported, precision="fp32"), force_length=True)
    messages: list[Message] = [{"role": "user", "content": PROMPT}]
    ids = backend.prompt_ids(messages)
    options = Options(max_tokens=TOKENS)

    def ours() -> float:
        start: list[float] = []

        def stamp(_: str) -> None:
            if not start:
                start.append(time.perf_counter())

        answer = complete(backend, messages, options, on_text=stamp)
        seconds = time.perf_counter() - start[0]
        if answer.tokens != TOKENS:
            raise RuntimeError(f"{answer.tokens} tokens instead of {TOKENS}")
        return (TOKENS - answer.head) / seconds

    def raw() -> float:
        params = og.GeneratorParams(backend._model)
        params.set_search_options(max_length=len(ids) + TOKENS, min_length=len(ids) + TOKENS)
        generator = og.Generator(backend._model, params)
        stream = backend._tokenizer.create_stream()
        generator.append_tokens(ids)
        generator.generate_next_token()
        text = [stream.decode(generator.get_next_tokens()[0])]
        start = time.perf_counter()
        while not generator.is_done():
            generator.generate_next_token()
            text.append(stream.decode(generator.get_next_tokens()[0]))
        return (TOKENS - 1) / (time.perf_counter() - start)

    return ours, raw


def as_table(rows: list[Row]) -> str:
    """For people: a line each, with medians, ratio, interval and verdict."""
    width = max(len(row.what) for row in rows)
    lines = [f"{'':<{width}}  {'ours':>9}  {'theirs':>9}  unit      ratio  95 % interval   n  verdict"]
    for row in rows:
        r = row.result
        verdict = "" if row.kept is None else f"{'kept' if row.kept else 'NOT KEPT'}: at {row.at} {row.target}"
        verdict += "" if r.differs else "  (no difference shown)"
        lines.append(
            f"{row.what:<{width}}  {r.ours:>9.4g}  {r.theirs:>9.4g}  {row.unit:<8}  {r.ratio:5.3f}  "
            f"{r.low:5.3f} - {r.high:5.3f}  {r.n:>2}  {verdict.strip()}"
        )
    return "\n".join(lines)


def as_json(rows: list[Row]) -> str:
    """For programs: a list of objects."""
    values: list[dict[str, Any]] = [{**asdict(row), "kept": row.kept} for row in rows]
    return json.dumps(values, indent=1)
