import shutil

import pytest

from utils import catalog, pocket
from utils.backends.target import Target, downloaded, resolve
from utils.errors import BadInput, BadModel, NotInstalled, UnknownModel, Unsupported

POCKET = "pocket-phi-3-mini"
ONNX_PHI = "cpu_and_mobile/cpu-int4-awq-block-128-acc-level-4"


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty Hugging Face cache."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put(hub, repository, file):
    """As if `repository` had been downloaded."""
    home = hub / ("models--" + repository.replace("/", "--"))
    path = home / "snapshots" / "0123abc" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    (path.parent / "model.safetensors").touch()
    (home / "refs").mkdir(exist_ok=True)
    (home / "refs" / "main").write_text("0123abc")
    return path.parent


def test_a_download_without_its_weights_does_not_count(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    folder = put(tmp_path, "someone/small-model", "config.json")
    assert downloaded("someone/small-model") == folder
    (folder / "model.safetensors").unlink()
    assert downloaded("someone/small-model") is None


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data", "model.gguf", "openvino_model.bin"])
def test_a_git_lfs_pointer_of_any_format_is_told(tmp_path, name):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    (tmp_path / "other.safetensors").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadModel, match=f"{name} of {tmp_path.name} is a git-lfs pointer"):
        target("onnx", str(tmp_path), "auto")
    (tmp_path / name).unlink()
    assert target("onnx", str(tmp_path), "auto").folder == tmp_path


def target(route, wanted, mode):
    return resolve(catalog.load().routes[route], wanted, mode)


@pytest.mark.parametrize("route", ["onnx", "transformers"])
@pytest.mark.parametrize(("wanted", "mode"), [(None, "offline"), (None, "auto"), (POCKET, "offline"), (POCKET, "auto")])
def test_without_real_weights_the_pocket_model_answers_and_says_so(route, wanted, mode):
    usual = {"onnx": "fp32", "transformers": "auto"}[route]
    want = Target(model=POCKET, source="pocket", folder=pocket.folder(POCKET), precision=usual)
    assert target(route, wanted, mode) == want


@pytest.mark.parametrize("wanted", ["phi-3.5-mini", "microsoft/Phi-3.5-mini-instruct", None])
def test_a_real_model_is_used_when_it_is_there(hub, wanted):
    folder = put(hub, "microsoft/Phi-3.5-mini-instruct", "config.json")
    for mode in ("auto", "live"):
        found = target("transformers", wanted, mode)
        assert (found.model, found.source, found.folder) == ("phi-3.5-mini", "live", folder)
    if wanted is None:
        assert target("transformers", None, "offline").source == "pocket"
    assert target("onnx", "phi-3.5-mini", "auto").source == "pocket"


def test_a_real_model_in_a_folder_of_its_repository(hub):
    put(hub, "microsoft/Phi-3.5-mini-instruct-onnx", "README.md")
    assert target("onnx", None, "auto").source == "pocket"
    folder = put(hub, "microsoft/Phi-3.5-mini-instruct-onnx", f"{ONNX_PHI}/genai_config.json")
    assert target("onnx", None, "auto").folder == folder


def test_a_repository_that_the_catalogue_does_not_know_is_used_when_it_is_there(hub):
    with pytest.raises(NotInstalled, match=r"`hf download someone/small-model`"):
        target("transformers", "someone/small-model", "auto")
    folder = put(hub, "someone/small-model", "config.json")
    found = target("transformers", "someone/small-model", "auto")
    assert (found.model, found.source, found.folder) == ("someone/small-model", "live", folder)
    with pytest.raises(BadInput, match="mode 'offline' uses only those"):
        target("transformers", "someone/small-model", "offline")


def test_a_commit_pins_what_is_used(hub):
    put(hub, "someone/small-model", "config.json")  # the branch main
    pinned = f"someone/small-model@{'a' * 40}"
    with pytest.raises(NotInstalled, match=f"--revision {'a' * 40}`"):
        target("transformers", pinned, "live")
    folder = hub / "models--someone--small-model" / "snapshots" / ("a" * 40)
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").touch()
    assert target("transformers", pinned, "live").folder == folder
    with pytest.raises(BadInput, match="must have 40 digits"):
        target("transformers", "someone/small-model@main", "live")


def test_a_stand_in_never_bears_the_real_name():
    for named, stand_in in (("phi-3.5-mini", "pocket-phi-3.5-mini"), ("phi-3-mini-4k", POCKET), (None, POCKET)):
        found = target("onnx", named, "auto")
        assert (found.model, found.source) == (stand_in, "pocket")


@pytest.mark.parametrize(
    ("route", "wanted", "mode", "error", "said"),
    [
        (
            "onnx",
            "phi-9",
            "auto",
            UnknownModel,
            "There is no model 'phi-9'. There are: pocket-phi-3-mini, pocket-phi-3.5-mini, ",
        ),
        ("onnx", "pocket-phi3-mini", "auto", UnknownModel, "Did you mean 'pocket-phi-3-mini'?"),
        ("onnx", "phi-3.5-moe", "auto", UnknownModel, "The route onnx has no phi-3.5-moe."),
        (
            "onnx",
            "phi-3.5-mini",
            "offline",
            BadInput,
            "phi-3.5-mini is not a pocket model, and mode 'offline' uses only",
        ),
        (
            "onnx",
            POCKET,
            "live",
            BadInput,
            "pocket-phi-3-mini is a pocket model, but mode 'live' means the real thing.",
        ),
        (
            "transformers",
            f"{POCKET}:int4",
            "auto",
            Unsupported,
            "The route transformers has no int4. It has: auto",
        ),
        ("onnx", "phi-3.5-mini", "live", NotInstalled, "`python -m utils fetch phi-3.5-mini --for onnx`"),
        (
            "transformers",
            None,
            "live",
            NotInstalled,
            "(about 7.6 GB) with `python -m utils fetch phi-3.5-mini --for transformers`",
        ),
    ],
)
def test_what_cannot_be_had_is_said_with_what_to_do(route, wanted, mode, error, said):
    with pytest.raises(error) as caught:
        target(route, wanted, mode)
    assert said in str(caught.value)


def test_the_precision_is_part_of_the_name():
    found = target("onnx", f"{POCKET}:int4", "auto")
    assert (found.model, found.precision) == (f"{POCKET}:int4", "int4")
    assert target("onnx", f"{POCKET}:fp32", "auto").model == POCKET


def test_a_folder_of_the_learners_own(tmp_path):
    mine = shutil.copytree(pocket.folder(POCKET), tmp_path / "my-model")
    found = target("transformers", str(mine), "offline")
    assert (found.model, found.source, found.folder) == ("my-model", "pocket", mine)
    assert target("onnx", f"{mine}:int4", "auto").model == "my-model:int4"


def test_a_large_folder_is_not_called_a_pocket_model(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(300_000_000)
    assert target("transformers", str(tmp_path), "auto").source == "live"


@pytest.mark.parametrize("name", ["x" * 5000, "x" * 300 + "/y", "~nobody-of-that-name/model"])
def test_a_name_that_no_file_can_have_is_an_unknown_model(name):
    with pytest.raises(UnknownModel, match=r"^There is no model .* that can be read") as caught:
        target("onnx", name, "auto")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("route", ["onnx", "transformers", "mlx", "openvino"])
def test_a_gguf_file_is_for_llama_cpp(tmp_path, route):
    (tmp_path / "mine.gguf").write_bytes(b"GGUF")
    with pytest.raises(Unsupported, match=rf"mine\.gguf is a GGUF file, which the route {route} cannot read\. Use"):
        target(route, str(tmp_path / "mine.gguf"), "auto")
    assert target("llama.cpp", str(tmp_path / "mine.gguf"), "auto").folder.name == "mine.gguf"


@pytest.mark.parametrize("name", ["model.onnx", "model.gguf", "openvino_model.bin"])
def test_37_a_link_out_of_a_folder_is_refused_in_every_format(tmp_path, name):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (tmp_path / "away").write_text("x")
    (folder / name).symlink_to("../away")
    with pytest.raises(BadModel, match=f"{name} of mine is a link to a file outside"):
        target("onnx", str(folder), "auto")


@pytest.mark.parametrize("name", ["", ".", "..", "/", "nowhere/at-all"])
def test_a_folder_without_a_model_is_an_unknown_model(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "":
        assert target("onnx", name, "offline").model == POCKET
    else:
        with pytest.raises(UnknownModel):
            target("onnx", name, "offline")
