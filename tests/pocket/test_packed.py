"""Weights in 8 bits: nearly the same numbers, unpacked once, whole or not at all, and refused when damaged."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from utils.errors import BadModel
from utils.pocket import PACKED, folder
from utils.pocket.packed import pack, unpacked

MINI = folder("pocket-phi-3-mini")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def model(tmp_path):
    made = tmp_path / "pocket-phi-3-mini"
    shutil.copytree(MINI, made)
    pack(made)
    return made


def test_the_numbers_are_nearly_the_same_in_half_the_space(model):
    assert not (model / "model.safetensors").exists()
    whole, again = load_file(MINI / "model.safetensors"), load_file(unpacked(model) / "model.safetensors")
    assert (model / PACKED).stat().st_size < 0.55 * (MINI / "model.safetensors").stat().st_size
    assert set(whole) == set(again)
    for name, value in whole.items():
        assert again[name].dtype == torch.float16 and again[name].shape == value.shape
        assert (again[name].float() - value.float()).norm() < 0.01 * value.float().norm(), name


def test_a_folder_in_16_bits_is_left_as_it_is(cache):
    assert unpacked(MINI) == MINI
    assert not cache.exists()


def test_it_is_unpacked_once_and_the_other_files_come_along(model):
    made = unpacked(model)
    stamp = (made / "model.safetensors").stat().st_mtime_ns
    assert unpacked(model) == made and (made / "model.safetensors").stat().st_mtime_ns == stamp
    assert made.name == model.name
    for name in ("config.json", "tokenizer.json", "README.md"):
        assert (made / name).read_bytes() == (model / name).read_bytes()


def test_a_head_that_is_the_embedding_is_kept_once(tmp_path):
    from safetensors.torch import save_file

    made = tmp_path / "own"
    shutil.copytree(MINI, made)
    whole = load_file(MINI / "model.safetensors")
    save_file(whole | {"lm_head.weight": whole["model.embed_tokens.weight"].clone()}, made / "model.safetensors")
    pack(made)
    again = load_file(unpacked(made) / "model.safetensors")
    assert torch.equal(again["lm_head.weight"], again["model.embed_tokens.weight"])
    assert (made / PACKED).stat().st_size < 0.55 * (MINI / "model.safetensors").stat().st_size


def test_two_at_once_make_one_folder(model, cache):
    code = f"from pathlib import Path; from utils.pocket.packed import unpacked; print(unpacked(Path({str(model)!r})))"
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ)
        for _ in range(3)
    ]
    said = {one.communicate()[0].strip() for one in both}
    assert said == {str(unpacked(model))} and all(one.returncode == 0 for one in both)
    assert [p.name for p in (cache / "weights").iterdir()] == [Path(said.pop()).parent.name]


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-100]), "is damaged"),
        (lambda file: file.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "git-lfs pointer"),
    ],
)
def test_damaged_weights_are_refused_and_nothing_is_left(model, cache, harm, said):
    harm(model / PACKED)
    with pytest.raises(BadModel, match=said):
        unpacked(model)
    assert not (cache / "weights").exists()


def test_a_cache_that_cannot_be_written_to_is_told(model, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SLM_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(BadModel, match=r"could not be unpacked into .* SLM_CACHE"):
        unpacked(model)


def test_a_full_disk_is_told_before_anything_is_written(model, cache, monkeypatch):
    monkeypatch.setattr("utils.pocket.packed.ROOM", 10**12)
    with pytest.raises(BadModel, match=r"No space left.* Free some space"):
        unpacked(model)
    assert list((cache / "weights").iterdir()) == []


def test_other_settings_are_another_folder(model):
    first = unpacked(model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"initializer_range": 0.03}))
    os.utime(model / PACKED)
    assert unpacked(model) != first
