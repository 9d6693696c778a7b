"""The GGUF export in llama.cpp itself: the same prompt ids and, in float32, the same greedy answers."""

import http.client
import json
import threading
from urllib.parse import urlparse

import gguf
import pytest
import torch
import xllamacpp
from tokenizers import Tokenizer
from transformers import Phi3ForCausalLM

from utils.pocket import export, folder
from utils.pocket.evaluate import held_out, prompt_ids

NAME = "pocket-phi-3-mini"
PROMPTS = [
    "What is an SLM?",
    "Wie geht es dir? Größe, naïve, Ærø",
    "你好，世界 😀 こんにちは",
    "a  b\n\n\tc   d\r\n",
    'print("x")\nfor i in range(3):\n    pass',
    "  leading and trailing  ",
    "3.14 + 2,718 = ?",
    "x" * 300,
]


class LlamaCpp:
    """llama.cpp's own server in this process, asked by HTTP."""

    def __init__(self, file: str) -> None:
        params = xllamacpp.CommonParams()
        params.model.path, params.n_ctx, params.n_parallel, params.n_gpu_layers = file, 1024, 1, 0
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.warmup = False
        self.server = xllamacpp.Server(params)
        self.address = urlparse(self.server.listening_address)

    def post(self, path: str, **body: object) -> dict:
        connection = http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=120)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        return json.loads(answer.read())

    def ids(self, text: str) -> list[int]:
        return self.post("/tokenize", content=text, add_special=False, parse_special=True)["tokens"]

    def greedy(self, ids: list[int], count: int) -> list[int]:
        asked = {"prompt": ids, "n_predict": count, "temperature": 0, "top_k": 1, "samplers": ["top_k"]}
        return self.post("/completion", **asked, return_tokens=True, cache_prompt=False)["tokens"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(folder(NAME) / "tokenizer.json"))


@pytest.fixture(scope="module")
def llama_cpp() -> LlamaCpp:
    return LlamaCpp(str(made("gguf-f32")))


def made(form: export.Form):
    [file] = export.made(folder(NAME), form).glob("*.gguf")
    return file


@pytest.mark.parametrize("prompt", PROMPTS)
def test_prompt_ids_are_the_same(llama_cpp, tokenizer, prompt):
    text = f"<|system|>\nBe brief.<|end|>\n<|user|>\n{prompt}<|end|>\n<|assistant|>\n"
    assert llama_cpp.ids(text) == tokenizer.encode(text, add_special_tokens=False).ids


def test_greedy_answers_are_the_same_in_float32(llama_cpp, tokenizer):
    model = Phi3ForCausalLM.from_pretrained(folder(NAME), dtype=torch.float32).eval()
    ends = set(model.config.eos_token_id)
    asked = [
        held_out(task, 1)[0] for task in ("field", "hut", "reading", "booking", "tool call", "sums", "copy", "story")
    ]
    for conversation in asked:
        ids = prompt_ids(tokenizer, conversation.system, conversation.turns[0].prompt)
        with torch.inference_mode():
            ours = model.generate(torch.tensor([ids]), max_new_tokens=40, do_sample=False)[0, len(ids) :].tolist()
        theirs = llama_cpp.greedy(ids, 40)
        assert [i for i in theirs if i not in ends] == [i for i in ours if i not in ends], conversation.turns[0].prompt


@pytest.mark.parametrize(("form", "most"), [("gguf-q8_0", 0.3), ("gguf-q4_0", 0.17)])
def test_quantised_files_are_smaller_and_load(form, most):
    file = made(form)
    assert file.stat().st_size < most * made("gguf-f32").stat().st_size + 200_000  # the vocabulary stays as it is
    kinds = {tensor.tensor_type for tensor in gguf.GGUFReader(file).tensors}
    assert kinds == {gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType[form.partition("-")[2].upper()]}
    assert LlamaCpp(str(file)).greedy([5, 6, 7], 5)


def test_two_at_once_make_one_file(tmp_path, monkeypatch):
    monkeypatch.setenv("SLM_CACHE", str(tmp_path))
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(made("gguf-q4_0"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
