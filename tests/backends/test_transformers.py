"""The route transformers with models other than the pocket ones: tiny ones with random weights, made here."""

import shutil

import pytest
import torch
import transformers

from utils import Options, complete, connect, pocket
from utils.errors import BackendError, BadInput, BadModel

POCKET = pocket.folder("pocket-phi-3-mini")
SHAPE = {
    "vocab_size": 4096,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "original_max_position_embeddings": 48,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LONG = {"rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [1.0, 1.5, 2, 3, 4, 6, 8, 12]}


def made(folder, model):
    """The model and a pocket model's tokenizer in `folder`, bfloat16 as real ones are."""
    model.to(torch.bfloat16).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(POCKET / name, folder)
    return folder


@pytest.fixture(scope="module")
def phi(tmp_path_factory):
    """Phi-3 in the form that reads long texts: beyond 48 tokens it takes other angles for all of them."""
    torch.manual_seed(1)
    config = transformers.Phi3Config(**SHAPE, rope_parameters=LONG | {"original_max_position_embeddings": 48})
    return made(tmp_path_factory.mktemp("phi") / "phi", transformers.Phi3ForCausalLM(config))


@pytest.fixture(scope="module")
def experts(tmp_path_factory):
    torch.manual_seed(2)
    scales = {"short_mscale": 1.1, "long_mscale": 1.2, "original_max_position_embeddings": 48}
    config = transformers.PhimoeConfig(**SHAPE, num_local_experts=4, rope_parameters=LONG | scales)
    return made(tmp_path_factory.mktemp("experts") / "experts", transformers.PhimoeForCausalLM(config))


@pytest.mark.parametrize("prompt_tokens", [20, 45, 60])
@pytest.mark.parametrize("kind", ["phi", "experts"])
def test_an_answer_is_that_of_generate_also_across_the_switch_to_long_texts(request, kind, prompt_tokens):
    folder = request.getfixturevalue(kind)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.randint(10, 4000, (1, prompt_tokens), generator=torch.Generator().manual_seed(3))
    settings = {"do_sample": False, "max_new_tokens": 40, "eos_token_id": None}
    want = model.generate(ids, attention_mask=torch.ones_like(ids), **settings)[0, prompt_tokens:].tolist()
    backend = connect("transformers", f"{folder}:fp32", mode="live")
    backend.force_length = True
    assert list(backend.generate(ids[0].tolist(), Options(max_tokens=40))) == want
    backend.close()


OTHERS = {
    "gpt2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=7000, n_embd=64, n_layer=2, n_head=2, n_positions=128)
    ),
    "opt": lambda: transformers.OPTForCausalLM(
        transformers.OPTConfig(
            vocab_size=7000,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            ffn_dim=64,
            max_position_embeddings=128,
            word_embed_proj_dim=64,
        )
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_model_of_another_family_answers_too(tmp_path, kind):
    torch.manual_seed(4)
    backend = connect("transformers", made(tmp_path / kind, OTHERS[kind]()), mode="auto")
    assert backend.context == 128
    backend.force_length = True
    assert complete(backend, "What is an SLM?", Options(max_tokens=5)).tokens == 5
    backend.close()


def test_a_family_that_names_no_context_is_refused_in_words(tmp_path):
    config = transformers.BloomConfig(vocab_size=7000, hidden_size=64, n_layer=2, n_head=2)
    folder = made(tmp_path / "bloom", transformers.BloomForCausalLM(config))
    with pytest.raises(BadModel, match=r"bloom cannot be loaded: .*max_position_embeddings"):
        connect("transformers", folder)


def test_a_tokenizer_with_more_tokens_than_the_model(tmp_path):
    config = transformers.GPT2Config(vocab_size=50, n_embd=64, n_layer=2, n_head=2, n_positions=128)
    backend = connect("transformers", made(tmp_path / "few", transformers.GPT2LMHeadModel(config)))
    with pytest.raises(BackendError, match="PyTorch could not go on: index out of range"):
        complete(backend, "What is an SLM?")


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("", torch.float32), (":bf16", torch.bfloat16), (":fp16", torch.float16), (":fp32", torch.float32)],
)
def test_a_name_may_say_the_precision(name, dtype):
    backend = connect("transformers", f"pocket-phi-3-mini{name}", mode="offline")
    assert backend._model.dtype == dtype and backend.model == f"pocket-phi-3-mini{name}"
    assert complete(backend, "What does SLM mean?", Options(max_tokens=8)).text
    backend.close()


def test_a_tag_for_pictures_is_plain_text_to_a_model_that_does_not_see():
    backend = connect("transformers", mode="offline")
    assert complete(backend, "What does <|image_1|> mean?", Options(max_tokens=5)).tokens == 5
    backend.close()


@pytest.mark.parametrize("device", [5, object()])
def test_a_device_is_a_name(device):
    for route in ("transformers", "openvino"):
        with pytest.raises(BadInput, match="finds no "):
            connect(route, mode="offline", device=device)


@pytest.mark.parametrize(
    ("device", "said"),
    [("abacus", "PyTorch finds no abacus on this machine"), ("cpu:x", "'cpu:x' is no device")],
)
def test_a_device_that_is_not_there(monkeypatch, device, said):
    monkeypatch.setenv("TORCH_DEVICE", device)
    with pytest.raises(BadInput, match=said):
        connect("transformers", mode="offline")
    connect("transformers", mode="offline", device="cpu").close()
