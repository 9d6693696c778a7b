"""The facts: each says its unit, source and date; what can be computed is computed again; a wrong file says where."""

import pytest

from utils import catalog, facts

ROW = """
[[facts]]
what = "{what}"
unit = "%"
basis = "{basis}"
values = {values}
source = "{source}"
date = {date}
"""
GOOD = {"what": "MMLU", "basis": "published", "values": "{ A = 1.5 }", "source": "a paper", "date": "2026-11-21"}


def written(folder, text):
    file = folder / "facts.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_every_fact_can_be_traced() -> None:
    assert len(facts.load()) > 60
    for one in facts.load():
        assert one.unit and one.date.year >= 2026, one
        assert "https://" in one.source or one.basis != "published", one
        assert one.basis != "guess" or "never published" in one.source, one
        assert all(text.count("{}") == 1 for text in one.said), one


def test_a_number_reads_as_one_says_it() -> None:
    said = {str(facts.fact(*key)) for key in [("training tokens", "Phi-3-mini"), ("KV cache per token", "Phi-3-mini")]}
    assert said == {"3.3 trillion tokens", "384 KiB"}
    assert str(facts.fact("parameters", "GPT-4")) == "1.76 trillion? parameters"  # the doubt shows
    assert facts.fact("MMLU", "Phi-3-medium").number == "78.0"


def test_the_kv_caches_are_what_the_published_shapes_give() -> None:
    names = {"Phi-3-mini": "phi-3-mini-4k", "Phi-3.5-mini": "phi-3.5-mini", "Phi-3-medium": "phi-3-medium-4k"}
    for subject, name in (names | {"Phi-3.5-MoE": "phi-3.5-moe"}).items():
        row = catalog.load().models[name]
        shape = row.shape
        head = shape.get("head_dim", shape["hidden_size"] // shape["num_attention_heads"])
        per_token = 2 * shape["num_hidden_layers"] * shape["num_key_value_heads"] * head * 2
        assert facts.fact("KV cache per token", subject).value * 1024 == per_token == row.kv_bytes


def test_the_parameters_are_the_catalogues() -> None:
    names = {"Phi-3-mini": "phi-3-mini-4k", "Phi-3.5-mini": "phi-3.5-mini", "Phi-3-medium": "phi-3-medium-4k"}
    for subject, name in (names | {"Phi-3.5-MoE": "phi-3.5-moe"}).items():
        assert facts.fact("parameters", subject).value == catalog.load().models[name].parameters


def test_the_active_parameters_are_what_the_published_shape_gives() -> None:
    import torch
    from transformers import PhimoeConfig, PhimoeForCausalLM

    row = catalog.load().models["phi-3.5-moe"]
    with torch.device("meta"):
        model = PhimoeForCausalLM(PhimoeConfig(**row.shape, attention_bias=True, lm_head_bias=True))
    every = sum(p.numel() for p in model.parameters())
    experts = sum(p.numel() for name, p in model.named_parameters() if ".experts." in name)
    idle = 1 - row.shape["num_experts_per_tok"] / row.shape["num_local_experts"]
    assert every == row.parameters
    assert facts.fact("active parameters", "Phi-3.5-MoE").value == every - experts * idle


def test_a_table_shows_gaps_and_sources() -> None:
    shown = str(facts.table("MMLU", "HumanEval"))
    assert [line.split()[0] for line in shown.splitlines()[1:4]] == ["Phi-3-mini", "Phi-3-small", "Phi-3-medium"]
    assert shown.splitlines()[2].split()[-1] == "-"  # nothing published
    assert "https://arxiv.org/abs/2404.14219 (2026-11-21): Microsoft's own pipeline" in shown
    assert "phi-1" not in str(facts.table("HumanEval", subjects=["Phi-3-mini"]))
    assert facts.values("reading")["Claude 3 Haiku"] == 0.25


@pytest.mark.parametrize("ask", [lambda: facts.fact("MMLU", "Phi-9"), lambda: facts.table("MMLU", subjects=["Phi-9"])])
def test_an_unknown_subject_is_named(ask) -> None:
    with pytest.raises(LookupError, match=r"no fact .*Phi-9"):
        ask()


def test_an_unknown_quantity_says_what_is_known() -> None:
    with pytest.raises(LookupError, match="Known are parameters, "):
        facts.table("beauty")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[facts]\n", "cannot be read"),
        (ROW.format(**GOOD).replace("unit", "units"), "row 1: unknown field 'units'"),
        (ROW.format(**GOOD).replace('source = "a paper"', ""), "row 1: source is missing"),
        (ROW.format(**GOOD | {"basis": "rumour"}), "row 1 .MMLU.: basis 'rumour'"),
        (ROW.format(**GOOD | {"source": ""}), "needs a source"),
        (ROW.format(**GOOD | {"date": '"soon"'}), "the date"),
        (ROW.format(**GOOD | {"values": '{ A = "many" }'}), "values must be numbers"),
        (ROW.format(**GOOD | {"values": "3"}), "values must be numbers"),
        (ROW.format(**GOOD) * 2, "MMLU of A is told twice"),
    ],
)
def test_a_wrong_file_says_where(tmp_path, text, words) -> None:
    with pytest.raises(facts.FactsError, match=words):
        facts.load(written(tmp_path, text))
