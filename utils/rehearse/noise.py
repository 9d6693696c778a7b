"""A model of a published shape with random weights: how fast it answers depends on the shape, not on the values.

Only two layers are made; a form for a runtime is made of these, and then its last layer is written again and again,
each time with bytes of its own on the disk and in memory. So the peak while building is that of two layers and two
word tables, and a model of 3.8 billion parameters takes seconds where converting a real one takes minutes.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from utils.pocket import folder

MADE = 2  # layers: the first begins at the word table, the others at the layer before them
TOKENIZER = "pocket-phi-3-mini"
CONTEXT = 4096  # tokens
LAYER = re.compile(r"\b(layers|past_key_values|present|blk)\.(\d+)\b")
SHIFT = 64  # bytes that each copy is turned by: of equal weights ONNX Runtime keeps one in memory
PAGE = 65536  # bytes: what is mapped into memory begins at a multiple of this


def base(shape: Mapping[str, int], target: Path) -> int:
    """Writes MADE layers of `shape` into the folder `target`; returns the bytes of weights."""
    import torch
    from transformers import Phi3Config, Phi3ForCausalLM

    from utils.pocket.quiet import quiet

    torch.manual_seed(0)
    theirs = {**shape, "num_hidden_layers": MADE, "max_position_embeddings": CONTEXT, "sliding_window": None}
    config = Phi3Config.from_pretrained(folder(TOKENIZER))
    config.update({**theirs, "original_max_position_embeddings": CONTEXT, "tie_word_embeddings": False})
    shutil.copytree(folder(TOKENIZER), target, ignore=shutil.ignore_patterns("*.safetensors", "*.json"))
    _tokenizer(target, shape["vocab_size"])
    usual = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.bfloat16)
        with quiet():
            Phi3ForCausalLM(config).save_pretrained(target, max_shard_size="100GB")
    finally:
        torch.set_default_dtype(usual)
    return (target / "model.safetensors").stat().st_size


def _tokenizer(target: Path, size: int) -> None:
    """The pocket models' tokenizer with as many tokens as the shape has."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder(TOKENIZER) / name, target)
    made = json.loads((target / "tokenizer.json").read_text(encoding="utf-8"))
    known = made["model"]["vocab"]
    first = 1 + max(*known.values(), *(token["id"] for token in made["added_tokens"]))
    known.update({f"noise{number}": number for number in range(first, size)})
    (target / "tokenizer.json").write_text(json.dumps(made), encoding="utf-8")


def moved(name: str, by: int) -> str:
    """The name of something in a layer `by` layers later: layers.1.mlp -> layers.2.mlp."""
    return LAYER.sub(lambda found: f"{found[1]}.{int(found[2]) + by}", name)


def in_last(name: str) -> bool:
    """Whether a name belongs to the last layer that was made."""
    found = LAYER.search(name)
    return found is not None and int(found[2]) == MADE - 1


def repeat_onnx(target: Path, layers: int) -> None:
    """Gives the model that ONNX Runtime GenAI's builder has written into `target` as many layers."""
    import onnx

    model = onnx.load(target / "model.onnx", load_external_data=False)
    graph, extra = model.graph, range(1, layers - MADE + 1)
    nodes = list(graph.node)
    end = 1 + max(i for i, node in enumerate(nodes) if in_last(node.name))
    for node in nodes[end:]:  # the last norm and the output now follow the last copy
        _rename(node.input, lambda name: moved(name, extra.stop - 1) if in_last(name) else name)
    copies = [_copy(node, by) for by in extra for node in nodes[:end] if in_last(node.name)]
    _replace(graph.node, [*nodes[:end], *copies, *nodes[end:]])
    for values in (graph.input, graph.output):
        values.extend([_copy(value, by) for by in extra for value in list(values) if in_last(value.name)])
    del graph.value_info[:]
    _repeat_data(graph, target / "model.onnx.data", extra)
    onnx.save(model, target / "model.onnx")
    settings = json.loads((target / "genai_config.json").read_text(encoding="utf-8"))
    settings["model"]["decoder"]["num_hidden_layers"] = layers
    (target / "genai_config.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")


def _rename(names: Any, change: Any) -> None:
    names[:] = [change(name) for name in names]


def _replace(field: Any, values: list[Any]) -> None:
    kept = [_copy(value, 0) for value in values]
    del field[:]
    field.extend(kept)


def _copy(thing: Any, by: int) -> Any:
    """A node, value or tensor, as it is in a layer `by` layers later."""
    made = type(thing)()
    made.CopyFrom(thing)
    made.name = moved(made.name, by)
    for names in (getattr(made, "input", ()), getattr(made, "output", ())):
        if names:
            _rename(names, lambda name: moved(name, by))
    return made


def _repeat_data(graph: Any, file: Path, extra: range) -> None:
    """Writes the last layer's numbers once more for each layer that is added."""
    last = [tensor for tensor in graph.initializer if in_last(tensor.name)]
    with file.open("rb") as source, file.open("ab") as out:
        for by in extra:
            for tensor in last:
                made = _copy(tensor, by)
                place = {entry.key: entry for entry in made.external_data}
                if place:
                    source.seek(int(place["offset"].value))
                    out.write(b"\0" * (-out.tell() % PAGE))
                    place["offset"].value = str(out.tell())
                    numbers = source.read(int(place["length"].value))
                    out.write(numbers[SHIFT * by :] + numbers[: SHIFT * by])
                graph.initializer.append(made)


def repeat_safetensors(source: Path, target: Path, layers: int) -> None:
    """Writes the model of `source` with as many layers into the new folder `target`, a file for each layer."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.safetensors"))
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    (target / "config.json").write_text(json.dumps(config | {"num_hidden_layers": layers}), encoding="utf-8")
    weights = load_file(source / "model.safetensors")
    parts = {"first": {name: value for name, value in weights.items() if not in_last(name)}}
    last = {name: value for name, value in weights.items() if in_last(name)}
    places: dict[str, str] = {}
    for label, part in _files(parts["first"], last, layers):
        save_file(part, target / f"model-{label}.safetensors", metadata={"format": "pt"})
        places |= dict.fromkeys(part, f"model-{label}.safetensors")
    index = {"metadata": {}, "weight_map": places}
    (target / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def _files(first: dict[str, Any], last: dict[str, Any], layers: int) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "first", first
    for layer in range(MADE - 1, layers):
        yield f"{layer:03}", {moved(name, layer - MADE + 1): value for name, value in last.items()}
