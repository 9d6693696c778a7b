"""MLX reads the model folder as it is: the same prompt ids and, in float32, the same greedy answers."""

import sys

import pytest
import torch
from tokenizers import Tokenizer
from transformers import Phi3ForCausalLM

from utils.pocket import folder
from utils.pocket.evaluate import held_out, prompt_ids

if sys.platform == "win32":
    pytest.skip("MLX has no build for Windows", allow_module_level=True)

import mlx.core as mx
import mlx_lm
from mlx_lm.generate import generate_step

NAME = "pocket-phi-3-mini"
TASKS = ("field", "hut", "reading", "booking", "tool call", "sums", "copy", "story")


def test_ids_and_greedy_answers_are_the_same():
    model, wrapped = mlx_lm.load(str(folder(NAME)))
    model.set_dtype(mx.float32)
    reference = Phi3ForCausalLM.from_pretrained(folder(NAME), dtype=torch.float32).eval()
    ends = set(reference.config.eos_token_id)
    tokenizer = Tokenizer.from_file(str(folder(NAME) / "tokenizer.json"))
    for conversation in (held_out(task, 1)[0] for task in TASKS):
        prompt = conversation.turns[0].prompt
        ids = prompt_ids(tokenizer, "Be brief.", prompt)
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": prompt}]
        assert wrapped.apply_chat_template(messages, add_generation_prompt=True) == ids
        ours = reference.generate(torch.tensor([ids]), max_new_tokens=40, do_sample=False)[0, len(ids) :].tolist()
        theirs = [int(token) for token, _ in generate_step(mx.array(ids), model, max_tokens=len(ours))]
        assert [i for i in theirs if i not in ends] == [i for i in ours if i not in ends], prompt
