"""Models of noise: in every form the same function, as deep as asked for, and of the shape that was published."""

import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, Phi3Config, Phi3ForCausalLM

import utils
from utils.catalog import load
from utils.core import Options
from utils.rehearse import forms, noise

SHAPES = {name: row.shape for name, row in load().models.items() if row.shape}


@pytest.mark.parametrize("name", SHAPES)
def test_the_published_shapes_have_the_published_parameters(name):
    shape = SHAPES[name]
    if "num_local_experts" in shape:
        config = AutoConfig.for_model("phimoe", **shape, attention_bias=True, lm_head_bias=True)
    else:
        config = Phi3Config(**shape, pad_token_id=0)
        assert forms.parameters(shape) == load().models[name].parameters
    with torch.device("meta"):
        assert AutoModelForCausalLM.from_config(config).num_parameters() == load().models[name].parameters


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny):
    """Each form with all layers, their copies not turned: so they are one function."""
    usual, noise.SHIFT = noise.SHIFT, 0
    folders = {}
    try:
        for name in ("onnx-fp32", "llama.cpp-f32", "transformers-fp32"):
            form, scratch = forms.named(name), tmp_path_factory.mktemp("noise")
            folders[name] = forms.whole(tiny, form, scratch, tiny["num_hidden_layers"])
    finally:
        noise.SHIFT = usual
    return folders


def test_three_runtimes_compute_the_same_noise(made):
    ids = list(range(10, 40))
    answers = {}
    for name, folder in made.items():
        route, _, precision = name.rpartition("-")
        backend = utils.connect(route, f"{folder}:{precision}")
        answers[name] = list(backend.generate(ids, Options(max_tokens=12)))
        backend.close()
    first, *others = answers.values()
    assert len(set(first)) > 1 and all(other == first for other in others), answers


def test_the_layers_are_all_there(made, tiny):
    config = json.loads((made["transformers-fp32"] / "config.json").read_text(encoding="utf-8"))
    model = Phi3ForCausalLM.from_pretrained(made["transformers-fp32"])
    assert config["num_hidden_layers"] == len(model.model.layers) == 6
    assert model.num_parameters() == forms.parameters(tiny)
    settings = json.loads((made["onnx-fp32"] / "genai_config.json").read_text(encoding="utf-8"))
    assert settings["model"]["decoder"]["num_hidden_layers"] == 6


def test_no_two_layers_of_an_onnx_model_hold_the_same_bytes(tmp_path, tiny):
    """ONNX Runtime would keep one of them in memory, and read it from the processor's cache."""
    import onnx

    model = onnx.load(forms.whole(tiny, forms.named("onnx-int4"), tmp_path, 6) / "model.onnx")
    weights = [t.raw_data for t in model.graph.initializer if t.name.endswith("up_proj.MatMul.weight_Q4")]
    assert len(weights) == 6 and len(set(weights)) == len(weights)


def test_bfloat16_becomes_gguf(tmp_path, tiny):
    """What a learner may have saved it in; numpy alone does not know it."""
    noise.base(tiny, tmp_path / "model")
    from utils.pocket import gguf

    gguf.write(tmp_path / "model", tmp_path / "model.gguf", "q8_0")
    assert (tmp_path / "model.gguf").stat().st_size > 400_000


def test_names_move_with_their_layer():
    assert noise.moved("/model/layers.1/attn/q", 30) == "/model/layers.31/attn/q"
    assert noise.moved("past_key_values.1.key", 2) == "past_key_values.3.key"
    assert noise.moved("model.layers.0.mlp", 1) == "model.layers.1.mlp" and noise.moved("lm_head", 9) == "lm_head"
    assert noise.in_last("present.1.value") and not noise.in_last("model.layers.0.mlp") and not noise.in_last("cos")
