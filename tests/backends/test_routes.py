"""What only local routes do: plain text, steps, files that are damaged, devices and providers."""

import json
import shutil
import sys
import types
import urllib.error
import urllib.request
from contextlib import closing

import pytest

from utils import Options, complete, connect, pocket
from utils.backends.target import Target
from utils.errors import BackendError, BadInput, BadModel, ExportFailed, NotInstalled, Unsupported
from utils.pocket import export

MODEL = "pocket-phi-3-mini"
MLX = [] if sys.platform == "win32" else ["mlx"]  # it has no build for Windows
QUESTION = "Tell me a story about a fox."


@pytest.fixture(scope="module", params=["onnx", "transformers", "onnx int4", "openvino", "llama.cpp", *MLX])
def backend(request):
    route, _, precision = request.param.partition(" ")
    backend = connect(route, f"{MODEL}:{precision}" if precision else MODEL, mode="offline")
    yield backend
    backend.close()


def test_a_plain_text_goes_on_without_a_chat_template(backend):
    pieces = list(backend.stream_text("Once upon a time", Options(max_tokens=8)))
    assert "".join(piece.text for piece in pieces).strip() and pieces[-1].tokens == 8
    assert pieces[-1].prompt_tokens < len(backend.prompt_ids([{"role": "user", "content": "Once upon a time"}]))


def test_every_step_is_handed_on_at_once(backend):
    """A chunk never waits for the next: after the first one, the model has made no more tokens than it says."""
    made = []
    generate = backend.generate
    backend.generate = lambda ids, options, _: (made.append(token) or token for token in generate(ids, options))
    try:
        stream = backend.stream([{"role": "user", "content": QUESTION}], Options(max_tokens=20))
        for chunk in stream:
            assert len(made) == chunk.tokens
    finally:
        del backend.generate
    assert made


def test_a_forced_length_is_kept_for_measuring(backend):
    assert complete(backend, "Hello", Options(max_tokens=150)).finish_reason == "stop"
    backend.force_length = True
    try:
        answer = complete(backend, "Hello", Options(max_tokens=150))
    finally:
        backend.force_length = False
    assert answer.tokens == 150 and answer.finish_reason == "length"


def test_the_files_of_the_weights_are_known(backend):
    """Of a pocket model of 4 million parameters in 4 to 32 bits each."""
    assert 2e6 < sum(file.stat().st_size for file in backend.files) < 20e6


def test_another_provider_of_the_route_onnx_is_registered_with_its_options(monkeypatch, tmp_path):
    from utils.backends import onnx

    told = []

    class Config:
        def __init__(self, folder):
            told.append("config")

        def __getattr__(self, name):
            return lambda *values: told.append((name, *values))

    library = types.SimpleNamespace(get_library_path=lambda: "/lib/qnn.so")
    monkeypatch.setitem(sys.modules, "onnxruntime_qnn", library)
    monkeypatch.setenv("ONNX_PROVIDER", "QNN")
    monkeypatch.setattr(onnx.og, "Config", Config)
    monkeypatch.setattr(onnx, "_registered", lambda *values: told.append(("register", *values)))
    onnx._config(tmp_path)
    name = "QNNExecutionProvider"
    assert told == [
        "config",
        ("register", name, "/lib/qnn.so"),
        ("clear_providers",),
        ("append_provider", name),
        ("set_provider_option", name, "backend_type", "htp"),
        ("set_provider_option", name, "htp_performance_mode", "burst"),
    ]


def test_a_provider_that_is_not_there_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("ONNX_PROVIDER", "abacus")
    with pytest.raises(BadInput, match=r"ONNX_PROVIDER is 'abacus', but it must be one of cpu, qnn\."):
        connect("onnx", MODEL, mode="offline")
    monkeypatch.setenv("ONNX_PROVIDER", "qnn")
    monkeypatch.setitem(sys.modules, "onnxruntime_qnn", None)
    with pytest.raises(NotInstalled, match=r"python -m utils setup qnn.*build\.py --use_qnn"):
        connect("onnx", MODEL, mode="offline")
    library = types.SimpleNamespace(get_library_path=lambda: str(tmp_path / "nothing.so"))
    monkeypatch.setitem(sys.modules, "onnxruntime_qnn", library)
    with pytest.raises(Unsupported, match=r"Qualcomm QNN does not start here: .*Snapdragon"):
        connect("onnx", MODEL, mode="offline")
    monkeypatch.setenv("ONNX_PROVIDER", "cpu")
    assert complete(connect("onnx", MODEL, mode="offline"), QUESTION, Options(max_tokens=3)).tokens == 3


def test_files_that_no_runtime_can_load_are_refused_in_words(tmp_path):
    broken = shutil.copytree(connect("onnx", MODEL, mode="offline").folder, tmp_path / "broken")
    (broken / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BadModel, match=r"broken cannot be loaded: .*Delete it and make it again\."):
        connect("onnx", str(broken))
    strange = shutil.copytree(pocket.folder(MODEL), tmp_path / "strange")
    (strange / "config.json").write_text('{"model_type": "no-such-architecture"}')
    with pytest.raises(BadModel, match=r"strange cannot be loaded: "):
        connect("transformers", str(strange))


@pytest.mark.parametrize(
    ("route", "form", "file", "keep"),
    [
        ("openvino", "openvino-fp32", "openvino_model.xml", 500),
        ("openvino", "openvino-fp32", "openvino_model.bin", 500),
        ("llama.cpp", "gguf-f32", "pocket-phi-3-mini-f32.gguf", 0),
        ("llama.cpp", "gguf-f32", "pocket-phi-3-mini-f32.gguf", 500),
        ("llama.cpp", "gguf-f32", "pocket-phi-3-mini-f32.gguf", 1_000_000),
    ],
)
def test_a_file_that_was_cut_off_is_refused_in_words(tmp_path, route, form, file, keep):
    folder = shutil.copytree(export.made(pocket.folder(MODEL), form), tmp_path / "cut-off")
    (folder / file).write_bytes((folder / file).read_bytes()[:keep])
    with pytest.raises(BadModel, match=r"cut-off.* cannot be loaded: .*Delete it and make it again\."):
        connect(route, str(folder))


def test_a_gguf_file_of_ones_own_is_read_as_it_is(tmp_path):
    [made] = export.made(pocket.folder(MODEL), "gguf-q8_0").glob("*.gguf")
    file = shutil.copy(made, tmp_path / "mine.gguf")
    backend = connect("llama.cpp", file)
    assert (backend.model, backend.source) == ("mine.gguf", "pocket")
    assert complete(backend, QUESTION, Options(max_tokens=5)).text


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setenv("OPENVINO_DEVICE", "NPU")
    with pytest.raises(BadInput, match="OpenVINO finds no NPU on this machine, only CPU: see OPENVINO_DEVICE"):
        connect("openvino", mode="offline")


def test_the_pipeline_for_an_npu_answers_like_the_other_one():
    """On the processor: no NPU was at hand."""
    from utils.backends import openvino

    with closing(connect("openvino", mode="offline")) as usual:
        target = Target(model=MODEL, source="pocket", folder=usual.folder, precision="fp32")
        with closing(openvino.OneByOneBackend(target, "CPU")) as backend:
            assert complete(backend, QUESTION).text == complete(usual, QUESTION).text
            drawn = Options(temperature=1.5, seed=4, max_tokens=12, stop=("e",))
            assert complete(backend, QUESTION, drawn).text == complete(backend, QUESTION, drawn).text
            assert complete(backend, QUESTION, Options(max_tokens=3)).tokens == 3
            stream = backend.stream([{"role": "user", "content": QUESTION}], Options())
            assert next(stream).text
            with pytest.raises(BackendError, match="one answer at a time"):
                complete(backend, QUESTION)
            stream.close()  # in the middle of its answer
            with pytest.raises(Unsupported, match="OPENVINO_DEVICE=CPU"):
                complete(backend, QUESTION, Options(logprobs=True))
            assert complete(backend, QUESTION).finish_reason == "stop"


def test_an_npu_is_given_fixed_lengths(monkeypatch):
    from utils.backends import openvino

    opened, real = [], openvino.genai.LLMPipeline
    monkeypatch.setenv("OPENVINO_DEVICE", "npu")
    monkeypatch.setattr(openvino.ov, "Core", lambda: types.SimpleNamespace(available_devices=["CPU", "NPU"]))
    monkeypatch.setattr(openvino.genai, "LLMPipeline", lambda *a, **k: opened.append((a[1], k)) or real(a[0], "CPU"))
    with closing(connect("openvino", mode="offline")) as backend:
        assert opened == [("NPU", {"MAX_PROMPT_LEN": 1024, "MIN_RESPONSE_LEN": 512})]
        assert backend.context == 1024 and complete(backend, QUESTION, Options(max_tokens=5)).text


def test_llama_cpp_can_be_closed_at_once():
    for _ in range(10):
        connect("llama.cpp", mode="offline").close()


def test_llama_cpp_asks_for_its_key():
    backend = connect("llama.cpp", mode="offline")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{backend._server.listening_address}/v1/chat/completions", data=b"{}")


def test_a_damaged_tokenizer_is_refused_in_words(tmp_path):
    folder = shutil.copytree(pocket.folder(MODEL), tmp_path / "no-words")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(BadModel, match="no-words cannot be loaded: "):
        connect("transformers", str(folder))


@pytest.mark.parametrize("route", ["onnx", "transformers", "openvino", *MLX])
def test_a_model_without_a_chat_template_goes_on_with_plain_text_only(tmp_path, route):
    folder = shutil.copytree(pocket.folder(MODEL), tmp_path / "no-template")
    (folder / "chat_template.jinja").unlink()
    with closing(connect(route, folder)) as backend:
        with pytest.raises(Unsupported, match=r"^no-template has no chat template .*stream_text") as caught:
            complete(backend, QUESTION)
        assert len(str(caught.value)) < 300 and "/" not in str(caught.value)
        assert "".join(chunk.text for chunk in backend.stream_text("Once upon a time", Options(max_tokens=8)))


def test_llama_cpp_is_not_given_another_models_chat_template(tmp_path):
    folder = shutil.copytree(pocket.folder(MODEL), tmp_path / "no-template")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ExportFailed, match=r"^no-template has no chat_template\.jinja"):
        connect("llama.cpp", folder)
    settings = json.loads((folder / "tokenizer_config.json").read_bytes())
    template = (pocket.folder(MODEL) / "chat_template.jinja").read_text()
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": template}))  # as older ones
    options = Options(max_tokens=9)
    with closing(connect("llama.cpp", folder)) as backend, closing(connect("onnx", MODEL, mode="offline")) as usual:
        assert complete(backend, QUESTION, options).text == complete(usual, QUESTION, options).text


def test_code_that_comes_with_a_model_is_never_run(tmp_path):
    folder = shutil.copytree(pocket.folder(MODEL), tmp_path / "with-code")
    (folder / "config.json").write_text('{"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}')
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(BadModel, match="with-code cannot be loaded: "):
        connect("transformers", str(folder))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("route", ["transformers", "onnx", "llama.cpp", "openvino", *MLX])
def test_36_code_beside_a_model_that_the_library_knows_is_not_run_either(tmp_path, route):
    """As in Microsoft's own repositories of Phi-3.5; MLX has a name of its own for such a file."""
    folder = shutil.copytree(pocket.folder(MODEL), tmp_path / "with-code")
    names = {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model", "AutoTokenizer": ["mine.Tokens", None]}
    for file in ("config.json", "tokenizer_config.json"):
        settings = json.loads((folder / file).read_bytes())
        mlx = {"model_file": "mine.py"} if route == "mlx" and file == "config.json" else {}
        (folder / file).write_text(json.dumps(settings | {"auto_map": names} | mlx))
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    if route == "mlx":
        with pytest.raises(BadModel, match="with-code cannot be loaded: "):
            connect(route, folder)
    else:
        with closing(connect(route, folder)) as backend:
            assert complete(backend, QUESTION, Options(max_tokens=5)).tokens == 5
    assert not (tmp_path / "ran").exists()


def test_broken_utf8_from_the_model_is_shown_and_nothing_after_it_is_lost():
    """Ids that spell half a mountain and then a word; ONNX Runtime GenAI's own decoder drops the word."""
    from tokenizers import Tokenizer

    backend = connect("onnx", MODEL, mode="offline")
    fast = Tokenizer.from_file(str(pocket.folder(MODEL) / "tokenizer.json"))
    half = fast.encode("\U0001f3d4", add_special_tokens=False).ids[:-1]
    ids = half + fast.encode("the hut", add_special_tokens=False).ids
    assert fast.decode(ids) == "\ufffdthe hut"
    backend.generate = lambda prompt, options, _: iter(ids)
    assert complete(backend, "Hello").text == "\ufffdthe hut"
