"""How fast things start: an import, and a fresh process to its first token."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

from utils.bench.rows import Row
from utils.bench.streams import MODEL, PROMPT
from utils.catalog import HOME
from utils.measure import compare
from utils.pocket import export, folder

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

# Both sides have their bytecode, as on a learner's machine, whatever the shell says: packages have it from the start.
USUAL = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def rows(pairs: int) -> list[Row]:
    """`import utils` beside ipywidgets, and `ask` beside a bare script."""
    ask = [sys.executable, "-m", "utils", "ask", "--mode", "offline", "--max-tokens", "8", PROMPT]
    bare = [sys.executable, "-c", BARE, str(export.made(folder(MODEL), "onnx-fp32")), PROMPT]
    imports = compare(lambda: import_s("utils"), lambda: import_s("ipywidgets"), pairs)
    cold = compare(lambda: first_output_s(ask), lambda: first_output_s(bare), pairs)
    return [
        Row("import utils ÷ import ipywidgets", "s", imports, "most", 1.2),
        Row("cold `ask` to first token ÷ bare script", "s", cold, "most", 1.3),
    ]


def import_s(module: str) -> float:
    """Seconds that importing `module` takes in a fresh process."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    done = subprocess.run([sys.executable, "-c", code], cwd=HOME.parent, env=USUAL, capture_output=True, check=True)
    return float(done.stdout)


def first_output_s(command: list[str]) -> float:
    """Seconds from the start of a process to the first byte that it prints."""
    start = time.perf_counter()
    quiet: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=HOME.parent, env=USUAL, **quiet) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        seconds = time.perf_counter() - start
        process.stdout.read()
    if not first:
        raise RuntimeError(f"{command[:4]} printed nothing (exit status {process.returncode})")
    return seconds
