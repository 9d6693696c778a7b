"""The forms in which a model can be rehearsed, and how each is made of two layers of noise."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from utils.errors import ExportFailed, Unsupported
from utils.pocket import builder
from utils.rehearse import noise
from utils.roofline import Load

# Bytes on the disk for each parameter, with what goes beside it; the builder's word table is in 32 bit.
BYTES = {"int4": 0.75, "fp32": 4.1, "q4_0": 0.6, "q8_0": 1.1, "f32": 4.1, "bf16": 2.1}
READ = {"int4": 0.625, "fp32": 4, "q4_0": 0.5625, "q8_0": 1.0625, "f32": 4, "bf16": 2}  # with the scales of 32 weights
# Bytes in memory for each parameter while a model is measured, the pages of mapped files with it: llama.cpp packs q4_0
# anew beside the file, and Transformers turns 16 bits into 32 beside it.
RESIDENT = {"onnx-int4": 1.05, "onnx-fp32": 4.05, "transformers-bf16": 2.15, "transformers-fp32": 6.1}
RESIDENT |= {"llama.cpp-q4_0": 1.15, "llama.cpp-q8_0": 1.1, "llama.cpp-f32": 4.1}
LIBRARIES = 0.5e9  # bytes of memory, whatever the model
BUILDING = 10.5  # bytes of memory for each parameter of two layers, while those are turned into another form
SPARE = 1.2  # times what is needed on the disk


@dataclass(frozen=True)
class Form:
    """A route and a precision, written as "onnx-int4"."""

    route: str
    precision: str

    def __str__(self) -> str:
        return f"{self.route}-{self.precision}"


FORMS = [Form("onnx", "int4"), Form("onnx", "fp32"), Form("transformers", "bf16"), Form("transformers", "fp32")]
FORMS += [Form("llama.cpp", precision) for precision in ("q4_0", "q8_0", "f32")]


def named(text: str) -> Form:
    """The form of that name; of a route alone the first. Raises Unsupported."""
    for form in FORMS:
        if text in (str(form), form.route):
            return form
    raise Unsupported(f"No rehearsal as {text!r}. There are: {', '.join(map(str, FORMS))}.")


def parameters(shape: Mapping[str, int]) -> int:
    """Of a Phi-3 of that shape."""
    width, inner = shape["hidden_size"], shape["intermediate_size"]
    head = width // shape["num_attention_heads"]
    attention = width * head * 2 * (shape["num_attention_heads"] + shape["num_key_value_heads"])
    layer = attention + 3 * width * inner + 2 * width
    return shape["num_hidden_layers"] * layer + (2 * shape["vocab_size"] + 1) * width


def load(shape: Mapping[str, int], form: Form) -> Load:
    """What one token asks of the machine after a short prompt."""
    working = parameters(shape) - shape["vocab_size"] * shape["hidden_size"]  # of the word table one row is read
    return Load(READ[form.precision] * working, working)


def room(shape: Mapping[str, int], form: Form) -> tuple[float, float]:
    """Bytes of disk and of memory that it takes to make a model of that shape and to measure it."""
    made, whole = parameters(dict(shape) | {"num_hidden_layers": noise.MADE}), parameters(shape)
    resident = RESIDENT[str(form)] * whole + LIBRARIES
    if form.route == "llama.cpp":  # which reserves the whole context's keys and values, in 16 bit
        head = shape["hidden_size"] // shape["num_attention_heads"]
        resident += 4 * noise.CONTEXT * shape["num_hidden_layers"] * shape["num_key_value_heads"] * head
    return SPARE * BYTES[form.precision] * whole + builder.ROOM * 2 * made, max(resident, BUILDING * made)


def check_room(shape: Mapping[str, int], form: Form, home: Path) -> None:
    """Raises ExportFailed when `home` or the memory have too little room for a model of that shape."""
    disk, memory = room(shape, form)
    free, available = shutil.disk_usage(home).free, psutil.virtual_memory().available
    for what, needed, there in (("disk", disk, free), ("memory", memory, available)):
        if there < needed:
            raise ExportFailed(
                f"The rehearsal needs {needed / 1e9:,.0f} GB of {what}, and {there / 1e9:,.0f} GB are free. "
                "Rehearse fewer layers" + (", or set SLM_CACHE to a folder on another disk." * (what == "disk") or ".")
            )


def base(shape: Mapping[str, int], form: Form, scratch: Path) -> Path:
    """A folder in `scratch` of which `deepen` makes models of any depth. Raises ExportFailed."""
    source = scratch / "two-layers"
    bytes_ = noise.base(shape, source)
    if form.route != "onnx":
        return source
    exported = scratch / "two-layers-onnx"
    builder.build(source, f"onnx-{form.precision}", exported, bytes_)
    shutil.rmtree(source)
    return exported


def whole(shape: Mapping[str, int], form: Form, scratch: Path, layers: int) -> Path:
    """A model with so many layers in a new folder of `scratch`. Raises ExportFailed."""
    made = scratch / "whole"
    deepen(base(shape, form, scratch), form, made, layers)
    return made


def deepen(source: Path, form: Form, target: Path, layers: int) -> None:
    """Writes the model with so many layers into the new folder `target`."""
    if form.route == "onnx":
        shutil.copytree(source, target)
        noise.repeat_onnx(target, layers)
    elif form.route == "llama.cpp":
        from utils.pocket import gguf

        target.mkdir()
        gguf.write(source, target / f"{target.name}-{form.precision}.gguf", form.precision, layers - noise.MADE)
    else:
        noise.repeat_safetensors(source, target, layers)
