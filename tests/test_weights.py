import json
import shutil
import struct

import pytest

from utils import pocket
from utils.errors import BadModel
from utils.pocket import weights

NAME = "pocket-phi-3-mini"


@pytest.fixture
def folder(tmp_path):
    """A copy of the committed model that may be damaged."""
    return shutil.copytree(pocket.folder(NAME), tmp_path / NAME)


def refused(folder):
    with pytest.raises(BadModel) as caught:
        weights.check(folder)
    return str(caught.value)


def test_the_committed_model_is_whole():
    assert weights.check(pocket.folder(NAME)) == [pocket.folder(NAME) / "model.safetensors"]


def test_a_missing_folder(tmp_path):
    assert refused(tmp_path / "gone") == (
        f"There is no model folder {tmp_path / 'gone'}. "
        "Restore it with `git checkout -- gone` (or download the model again)."
    )


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file(folder, name):
    (folder / name).unlink()
    said = refused(folder)
    assert f"{NAME} has no" in said and name in said and f"git checkout -- {name}" in said


@pytest.mark.parametrize("at", [-1, -4_000_000])
def test_weights_with_a_wrong_hash(folder, at):
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)
    assert refused(folder).startswith(
        f"model.safetensors of {NAME} is damaged: its SHA-256 is not the one in training.json. Restore it"
    )


@pytest.mark.parametrize("keep", [0, 5, 8, 100, 1000, 100_000, -1])
def test_truncated_weights(folder, keep):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    assert refused(folder).startswith(f"model.safetensors of {NAME} is damaged: ")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"{}",
        b"{",
        b"null",
        b'{"a": 1}',
        b'{"a": {"data_offsets": [0]}}',
        b'{"a": {"data_offsets": [0, "x"]}}',
    ],
)
def test_a_header_that_is_nonsense(folder, header):
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 10)
    assert "is damaged" in refused(folder)


def test_bytes_behind_the_weights(folder):
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"more")
    assert "is damaged" in refused(folder)


def test_a_git_lfs_pointer(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert refused(folder) == (
        f"model.safetensors of {NAME} is a git-lfs pointer, not the weights. Run `git lfs pull`."
    )


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pkl", "model.ckpt"])
def test_pickles_are_refused(folder, name):
    (folder / "model.safetensors").rename(folder / name)
    said = refused(folder)
    assert name in said and "pickle" in said and "safetensors" in said


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]"])
def test_damaged_settings(folder, content):
    (folder / "config.json").write_bytes(content)
    assert refused(folder).startswith(f"config.json of {NAME} is damaged: ")


def test_weights_in_several_files_must_all_be_there(folder):
    whole = (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": whole.name, "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert refused(folder).startswith(f"model-00002-of-00002.safetensors of {NAME} is missing")
    shutil.copy(whole, folder / "model-00002-of-00002.safetensors")
    assert len(weights.check(folder)) == 2


def test_an_index_cannot_lead_out_of_the_folder(folder):
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "../../elsewhere.safetensors"}})
    )
    assert "outside" in refused(folder)


def test_a_link_cannot_lead_out_of_the_folder(folder, tmp_path):
    away = (folder / "model.safetensors").rename(tmp_path / "away.safetensors")
    (folder / "model.safetensors").symlink_to(away)
    assert refused(folder) == f"model.safetensors of {NAME} is a link to a file outside, so this model is refused."
    (folder / "model.safetensors").unlink()
    away.rename(folder / "whole.bin")
    (folder / "model.safetensors").symlink_to("whole.bin")
    assert weights.check(folder)


def test_links_within_hugging_faces_cache_are_followed(folder, tmp_path):
    repository = tmp_path / "hub" / "models--someone--small"
    (repository / "snapshots").mkdir(parents=True)
    (repository / "blobs").mkdir()
    snapshot = folder.rename(repository / "snapshots" / "0123abc")
    (snapshot / "model.safetensors").rename(repository / "blobs" / "feed")
    (snapshot / "model.safetensors").symlink_to("../../blobs/feed")
    assert weights.check(snapshot)
    (repository / "blobs" / "feed").rename(tmp_path / "hub" / "feed")
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors").symlink_to("../../../feed")
    assert "is a link to a file outside" in refused(snapshot)
