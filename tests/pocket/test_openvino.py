"""The OpenVINO export in OpenVINO GenAI itself: the same prompt ids and the same greedy answers in float32."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import openvino as ov
import openvino_genai
import pytest
import torch
from openvino_telemetry.utils.sender import TelemetrySender
from tokenizers import Tokenizer
from transformers import Phi3ForCausalLM

from utils.errors import ExportFailed
from utils.pocket import builder, export, folder
from utils.pocket.evaluate import held_out, prompt_ids

NAME = "pocket-phi-3-mini"
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}  # its own choice may be coarser
TASKS = ("field", "reading", "summary", "booking", "tool call", "story", "sums", "sentiment")


@pytest.fixture(scope="module")
def made():
    return export.made(folder(NAME), "openvino-fp32")


@pytest.fixture(scope="module")
def pipeline(made):
    return openvino_genai.LLMPipeline(str(made), "CPU", **EXACT)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_file(str(folder(NAME) / "tokenizer.json"))


@pytest.mark.parametrize(
    "prompt",
    [
        "What is an SLM?",
        "Wie geht es dir? Größe, naïve, Ærø",
        "你好，世界 😀 こんにちは",
        "a  b\n\n\tc   d\r\n",
        'print("x")\nfor i in range(3):\n    pass',
        "  leading and trailing  ",
        "3.14 + 2,718 = ?",
        "x" * 300,
    ],
)
def test_prompts_have_the_same_ids(pipeline, tokenizer, prompt):
    history = openvino_genai.ChatHistory(
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": prompt}]
    )
    text = pipeline.get_tokenizer().apply_chat_template(history, add_generation_prompt=True)
    ids = pipeline.get_tokenizer().encode(text, add_special_tokens=False).input_ids.data[0].tolist()
    assert ids == prompt_ids(tokenizer, "Be brief.", prompt)


def test_float32_gives_the_same_greedy_tokens(pipeline, tokenizer):
    model = Phi3ForCausalLM.from_pretrained(folder(NAME), dtype=torch.float32).eval()
    settings = openvino_genai.GenerationConfig(max_new_tokens=80, do_sample=False)
    for task in TASKS:
        for asked in held_out(task, 2):
            ids = prompt_ids(tokenizer, asked.system, asked.turns[-1].prompt)
            wanted = model.generate(torch.tensor([ids]), max_new_tokens=80, do_sample=False)[0, len(ids) :].tolist()
            given = ov.Tensor(np.array([ids])), ov.Tensor(np.ones((1, len(ids)), np.int64))
            got = pipeline.generate(openvino_genai.TokenizedInputs(*given), settings).tokens[0]
            assert got == wanted, task


def test_several_rows_and_beams_have_states_of_their_own(pipeline):
    asked = ["What is an SLM?", "What is 47 + 38?"]
    alone = [pipeline.generate(text, max_new_tokens=40, do_sample=False) for text in asked]
    assert pipeline.generate(asked, max_new_tokens=40, do_sample=False).texts == alone
    beams = pipeline.generate(asked[:1], max_new_tokens=40, num_beams=3, num_return_sequences=3)
    assert len(set(beams.texts)) == 3


def test_nothing_is_reported_to_anyone(tmp_path, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)  # no consent file, as on a new machine
    sent = []
    monkeypatch.setattr(TelemetrySender, "send", lambda *args: sent.append(args))
    builder.MAKERS["openvino"](folder(NAME), "fp32", tmp_path, tmp_path)
    assert not sent
    assert "CI" not in os.environ


def test_without_openvino_the_export_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "utils.pocket.openvino", raising=False)
    with pytest.raises(ExportFailed, match=r"python -m utils setup openvino"):
        builder.MAKERS["openvino"](folder(NAME), "fp32", tmp_path, tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change", [{"model_type": "llama"}, {"rope_parameters": {"rope_type": "longrope"}}, {"sliding_window": 12}]
)
def test_what_cannot_be_traced_is_refused(tmp_path, change):
    from utils.pocket import openvino

    config = json.loads((folder(NAME) / "config.json").read_text())
    changed = {k: config.get(k, {}) | v if isinstance(v, dict) else v for k, v in change.items()}
    if "rope_parameters" in changed:
        factors = [1.0] * 16
        changed["rope_parameters"] |= {"short_factor": factors, "long_factor": factors, "factor": 2.0}
    (tmp_path / "config.json").write_text(json.dumps(config | changed))
    with pytest.raises(ExportFailed, match="without LongRoPE or sliding window"):
        openvino.write(tmp_path, tmp_path)
