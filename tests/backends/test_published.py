"""ONNX folders in the form in which Microsoft publishes Phi-3.5, with tiny random weights in them."""

import json
import shutil
from contextlib import closing

import onnx
import pytest
import torch
import transformers
from onnx import TensorProto, helper

from utils import Options, catalog, complete, connect, pocket
from utils.pocket import builder, export, pictures, vision_onnx

POCKET = pocket.folder("pocket-phi-3-mini")
SHAPE = {
    "vocab_size": 7000,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LONG = {
    "type": "longrope",
    "rope_type": "longrope",
    "original_max_position_embeddings": 48,
    "short_factor": [1.0] * 8,
    "long_factor": [1.0, 1.5, 2, 3, 4, 6, 8, 12],
}


def made(folder, **settings):
    torch.manual_seed(5)
    transformers.Phi3ForCausalLM(transformers.Phi3Config(**SHAPE, **settings)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(POCKET / name, folder)
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Puts a folder where a download of the catalogue's model would be."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))

    def put(name, folder):
        owner, repository, inside = catalog.load().models[name].ids["onnx"].split("/", 2)
        home = tmp_path / "hub" / f"models--{owner}--{repository}"
        shutil.copytree(folder, home / "snapshots" / "0123abc" / inside)
        (home / "refs").mkdir()
        (home / "refs" / "main").write_text("0123abc")

    return put


def test_phi_3_5_mini_also_beyond_the_length_where_its_angles_change(hub, tmp_path):
    long = {"max_position_embeddings": 256, "original_max_position_embeddings": 48, "rope_parameters": LONG}
    folder = made(tmp_path / "phi", **long)
    hub("phi-3.5-mini", export.made(folder, "onnx-fp32"))
    with (
        closing(connect("onnx", "phi-3.5-mini", mode="live")) as published,
        closing(connect("transformers", f"{folder}:fp32", mode="auto")) as reference,
    ):
        assert (published.model, published.source, published.context) == ("phi-3.5-mini", "live", 256)
        published.force_length = reference.force_length = True
        for count in (20, 45, 60):
            ids = torch.randint(10, 4000, (count,), generator=torch.Generator().manual_seed(count)).tolist()
            told = [list(b.generate(ids, Options(max_tokens=40))) for b in (published, reference)]
            assert told[0] == told[1]


def tower(hidden):
    """Phi-3-vision's tower as ONNX Runtime GenAI calls it, which sees the mean of all pixels only: a row for each token
    that Phi3ImageTransform counts, (crops + 1) x 144 + (rows of crops + 1) x 12 + 1."""
    numbers = {"side": [336], "one": [1], "patches": [144], "line": [12], "wide": [hidden]}
    constants = [helper.make_tensor(name, TensorProto.INT64, [1], value) for name, value in numbers.items()]
    constants += [helper.make_tensor(name, TensorProto.INT64, [1], [i]) for i, name in enumerate(("first", "second"))]
    nodes = [
        ("Div", ["image_sizes", "side"], "crops"),
        ("Gather", ["crops", "first"], "rows"),
        ("Gather", ["crops", "second"], "columns"),
        ("Mul", ["rows", "columns"], "area"),
        ("Add", ["area", "one"], "views"),
        ("Mul", ["views", "patches"], "seen"),
        ("Add", ["rows", "one"], "lines"),
        ("Mul", ["lines", "line"], "ends"),
        ("Add", ["seen", "ends"], "most"),
        ("Add", ["most", "one"], "each"),
        ("ReduceSum", ["each"], "sum"),
        ("Reshape", ["sum", "one"], "tokens"),
        ("Concat", ["tokens", "wide"], "shape"),
        ("ReduceMean", ["pixel_values"], "mean"),
        ("Reshape", ["mean", "one"], "value"),
        ("Expand", ["value", "shape"], "image_features"),
    ]
    attributes = {"Gather": {"axis": 1}, "Concat": {"axis": 0}}
    made = [helper.make_node(kind, given, [out], **attributes.get(kind, {})) for kind, given, out in nodes]
    pixels = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["n", "crops", 3, 336, 336])
    sizes = helper.make_tensor_value_info("image_sizes", TensorProto.INT64, ["n", 2])
    out = helper.make_tensor_value_info("image_features", TensorProto.FLOAT, ["tokens", hidden])
    graph = helper.make_graph(made, "vision", [pixels, sizes], [out], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_phi_3_5_vision_with_its_own_transform(hub, tmp_path):
    folder, target = made(tmp_path / "phi", max_position_embeddings=4096), tmp_path / "onnx"
    target.mkdir()
    builder._decoder(folder, "fp32", target, target, "exclude_embeds=true")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    onnx.save(tower(SHAPE["hidden_size"]), target / "vision.onnx")
    words = model.get_input_embeddings().weight.detach().numpy()
    onnx.save(vision_onnx._embedding(words), target / "embedding.onnx")
    settings = json.loads((target / "genai_config.json").read_bytes())
    names = {name: name for name in ("pixel_values", "image_sizes")}
    settings["model"] |= {
        "type": "phi3v",
        "vision": {"filename": "vision.onnx", "inputs": names, "outputs": {"image_features": "image_features"}},
        "embedding": {
            "filename": "embedding.onnx",
            "inputs": {"input_ids": "input_ids", "image_features": "image_features"},
            "outputs": {"inputs_embeds": "inputs_embeds"},
        },
    }
    settings["model"]["vision"]["config_filename"] = "processor_config.json"
    (target / "genai_config.json").write_text(json.dumps(settings))
    steps = [("DecodeImage", {"color_space": "RGB"}), ("Phi3ImageTransform", {"num_crops": 16, "num_img_tokens": 144})]
    transforms = [{"operation": {"name": kind.lower(), "type": kind, "attrs": attrs}} for kind, attrs in steps]
    processor = {"processor": {"name": "phi_3_image", "transforms": transforms}}
    (target / "processor_config.json").write_text(json.dumps(processor))
    hub("phi-3.5-vision", target)
    with closing(connect("onnx", "phi-3.5-vision", mode="live")) as backend:
        assert backend.sees
        backend.force_length = True

        def ask(*colours):
            shown = [{"type": "image", "image": square(colour)} for colour in colours]
            content = [*shown, {"type": "text", "text": "What is it?"}]
            return complete(backend, [{"role": "user", "content": content}], Options(max_tokens=8))

        assert ask().prompt_tokens < 50 and ask("black").prompt_tokens > 2509
        assert ask("black").text != ask("white").text


def square(colour):
    from PIL import Image

    return pictures.png(Image.new("RGB", (336, 336), colour))
