import json

import pytest

from utils import catalog, pocket
from utils.catalog import FILE, CatalogError
from utils.pocket import weights

ROUTE = """
[[route]]
name = "onnx"
title = "ONNX"
module = "utils.backends.onnx"
packages = { onnxruntime_genai = "onnxruntime-genai" }
precisions = ["fp32"]
pocket = "tiny"
live = "big"
status = "live"
checked = 2026-11-21
source = "https://example.com"
"""
MODELS = """
[[model]]
name = "tiny"
title = "Tiny"
kind = "pocket"
parameters = 4
context = 8
license = "MIT"
source = "here"
[[model]]
name = "big"
title = "Big"
kind = "real"
parameters = 4
context = 8
license = "MIT"
source = "there"
stand_in = "tiny"
ids.onnx = "owner/big"
"""


def load(tmp_path, text):
    file = tmp_path / "catalog.toml"
    file.write_text(text, encoding="utf-8")
    return catalog.load(file)


def test_the_small_catalogue_of_these_tests_is_valid(tmp_path):
    read = load(tmp_path, ROUTE + MODELS)
    assert list(read.routes) == ["onnx"] and list(read.models) == ["tiny", "big"] and read.keys == {}
    assert read.routes["onnx"].precisions == ("fp32",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('title = "ONNX"\n', ""), "catalog.toml, line 2, route 'onnx': title is missing."),
        (('title = "ONNX"', "title = 5"), "catalog.toml, line 4, route 'onnx': title must be of type str, not 5."),
        (
            ('title = "ONNX"', 'titel = "ONNX"'),
            "catalog.toml, line 4, route 'onnx': unknown field 'titel'; known are name,",
        ),
        (('status = "live"', 'status = "alive"'), "route 'onnx': status 'alive' is none of live, limited, retired."),
        (('pocket = "tiny"', 'pocket = "big"'), "route 'onnx': pocket 'big' is not a pocket model of this file."),
        (('live = "big"', 'live = "huge"'), "route 'onnx': no id for 'huge'."),
        (
            ('precisions = ["fp32"]', "precisions = []"),
            "route 'onnx': precisions belong to every route without a server,",
        ),
        (('source = "https', 'key_variable = "K"\nsource = "https'), "route 'onnx': key 'K' has no row."),
        (('name = "big"', 'name = "tiny"'), "catalog.toml, line 23, model 'tiny': the name is used twice."),
        (('kind = "real"', 'kind = "unreal"'), "model 'big': kind 'unreal' is none of pocket, real."),
        (('stand_in = "tiny"', ""), "line 22, model 'big': a real model needs a pocket stand_in."),
        (("context = 8", "context = 0"), "line 19, model 'tiny': context must be above 0."),
        (("context = 8", "context = true"), "model 'tiny': context must be of type int, not True."),
        (("ids.onnx =", "ids.onix ="), "route 'onnx': no id for 'big'."),
        (('"owner/big"', '"big"'), "model 'big': an id for Hugging Face is owner/name."),
        (("[[model]]", "[[modle]]"), "catalog.toml, line 14: unknown table 'modle'."),
        (("[[route]]", "[[route"), "catalog.toml cannot be read:"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path, change, said):
    assert change[0] in ROUTE + MODELS
    with pytest.raises(CatalogError) as caught:
        load(tmp_path, (ROUTE + MODELS).replace(*change))
    assert said in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CatalogError, match=r"nowhere\.toml cannot be read"):
        catalog.load(tmp_path / "nowhere.toml")


def test_every_pocket_model_has_a_row_that_is_true():
    """Parameters counted from the weights' header (a head that is the embedding once), context from the settings."""
    rows = {name: row for name, row in catalog.load().models.items() if row.kind == "pocket"}
    assert set(rows) == set(pocket.NAMES)
    for name, row in rows.items():
        folder = pocket.folder(name)
        config = json.loads((folder / "config.json").read_bytes())
        assert row.context == config.get("text_config", config)["max_position_embeddings"]
        again = config["vocab_size"] * config["hidden_size"] if "num_local_experts" in config else 0
        assert row.parameters == weights.parameters(folder) - again


def test_published_sizes_are_what_the_configurations_give():
    """Counted from the published shapes: embeddings in and out, attention, feed-forward, norms."""

    def phi3(hidden, layers, heads, kv_heads, head, ffn, vocabulary=32064):
        attention = hidden * (heads + 2 * kv_heads) * head + heads * head * hidden
        return 2 * vocabulary * hidden + layers * (attention + 3 * hidden * ffn + 2 * hidden) + hidden

    models = catalog.load().models
    for name in ("phi-3-mini-4k", "phi-3-mini-128k", "phi-3.5-mini"):
        assert models[name].parameters == phi3(3072, 32, 32, 32, 96, 8192)
    for name in ("phi-3-medium-4k", "phi-3-medium-128k"):
        assert models[name].parameters == phi3(5120, 40, 40, 10, 128, 17920)


def test_the_memory_of_every_real_model_is_known():
    models = catalog.load().models
    for model in models.values():
        assert (model.needs_gb() is not None) == (model.kind == "real"), model.name
    assert models["phi-4"].needs_gb(0) == 9.1 and not models["phi-4"].estimated  # as Ollama publishes it
    moe = models["phi-3.5-moe"]
    assert moe.estimated and moe.needs_gb(1000) == pytest.approx(41.873 * 4.5 / 8 + 0.131, abs=0.001)


def test_sources_are_addresses_or_files_of_this_repository():
    read = catalog.load()
    for row in [*read.routes.values(), *read.models.values(), *read.keys.values()]:
        assert row.source.startswith("https://") or (FILE.parents[2] / row.source).is_file(), row.name


def test_variables_come_from_the_environment_then_from_dotenv(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "HOME", tmp_path / "utils")
    (tmp_path / ".env").write_text('# keys\nexport A_KEY="from file"\nB_KEY=b=c\n\nbroken line\nEMPTY=\n')
    monkeypatch.delenv("A_KEY", raising=False)
    assert catalog.variable("A_KEY") == "from file"
    assert catalog.variable("B_KEY") == "b=c"
    assert catalog.variable("EMPTY") is None and catalog.variable("NOT_THERE") is None
    monkeypatch.setenv("A_KEY", " from environment\n")
    assert catalog.variable("A_KEY") == "from environment"


def test_the_cache_folder_is_where_slm_cache_says(tmp_path, monkeypatch):
    monkeypatch.setenv("SLM_CACHE", str(tmp_path))
    assert catalog.cache_folder() == tmp_path
    monkeypatch.delenv("SLM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "x"))
    assert catalog.cache_folder() == tmp_path / "x" / "pocket-phi"
