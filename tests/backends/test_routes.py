"""What the local routes promise, asked of each."""

import gc
import shutil
import sys
import types
import urllib.error
import urllib.request
import weakref

import pytest

from utils import Options, complete, connect, pocket
from utils.errors import BackendError, BadInput, BadModel, NotInstalled, TooLong, Unsupported
from utils.pocket import export

MODEL = "pocket-phi-3-mini"
MLX = [] if sys.platform == "win32" else ["mlx"]  # it has no build for Windows
QUESTION = "Tell me a story about a fox."
PICTURE = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, {"type": "image", "image": b""}]}]


@pytest.fixture(scope="module", params=["onnx", "transformers", "onnx int4", "openvino", "llama.cpp", *MLX])
def backend(request):
    route, _, precision = request.param.partition(" ")
    backend = connect(route, f"{MODEL}:{precision}" if precision else MODEL, mode="offline")
    yield backend
    backend.close()


def test_an_answer_is_labelled_counted_and_timed(backend):
    answer = complete(backend, QUESTION, Options(max_tokens=30))
    assert answer.source == "pocket" and answer.badge == "POCKET"
    assert answer.backend == backend.name and answer.model.startswith(MODEL)
    assert answer.text and 1 <= answer.tokens <= 30
    assert answer.prompt_tokens == len(backend.prompt_ids([{"role": "user", "content": QUESTION}]))
    assert answer.finish_reason == ("length" if answer.tokens == 30 else "stop")
    assert 0 < answer.first_token_s <= answer.total_s


def test_greedy_answers_repeat(backend):
    answers = {complete(backend, QUESTION, Options(max_tokens=30)).text for _ in range(3)}
    assert len(answers) == 1


def test_a_plain_text_goes_on_without_a_chat_template(backend):
    pieces = list(backend.stream_text("Once upon a time", Options(max_tokens=8)))
    assert "".join(piece.text for piece in pieces).strip() and pieces[-1].tokens == 8
    assert pieces[-1].prompt_tokens < len(backend.prompt_ids([{"role": "user", "content": "Once upon a time"}]))


@pytest.mark.parametrize("n", [1, 2, 7])
def test_max_tokens_is_exact(backend, n):
    answer = complete(backend, QUESTION, Options(max_tokens=n))
    assert answer.tokens == n and answer.finish_reason == "length"


def test_every_step_is_handed_on_at_once(backend):
    """A chunk never waits for the next: after the first one, the model has made no more tokens than it says."""
    made = []
    generate = backend.generate
    backend.generate = lambda ids, options: (made.append(token) or token for token in generate(ids, options))
    try:
        stream = backend.stream([{"role": "user", "content": QUESTION}], Options(max_tokens=20))
        for chunk in stream:
            assert len(made) == chunk.tokens
    finally:
        del backend.generate
    assert made


def test_a_seed_repeats_a_draw_and_another_seed_does_not(backend):
    def draw(seed):
        return complete(backend, QUESTION, Options(max_tokens=30, temperature=1.5, seed=seed)).text

    assert draw(1) == draw(1)
    assert len({draw(seed) for seed in range(4)}) > 1


def test_a_tiny_nucleus_is_the_likeliest_token(backend):
    greedy = complete(backend, QUESTION, Options(max_tokens=20)).text
    assert complete(backend, QUESTION, Options(max_tokens=20, temperature=1.0, top_p=1e-6)).text == greedy


def test_the_answer_ends_before_a_stop_text(backend):
    whole = complete(backend, QUESTION, Options(max_tokens=40)).text
    stop = whole[len(whole) // 2 :][:3]
    answer = complete(backend, QUESTION, Options(max_tokens=40, stop=("never said", stop)))
    assert answer.text == whole[: whole.index(stop)]
    assert answer.finish_reason == "stop"


def test_two_answers_at_the_same_time_do_not_mix(backend):
    options = Options(max_tokens=20)
    prompts = [[{"role": "user", "content": text}] for text in (QUESTION, "What is an SLM?")]
    alone = ["".join(chunk.text for chunk in backend.stream(prompt, options)) for prompt in prompts]
    streams = [backend.stream(prompt, options) for prompt in prompts]
    mixed = ["", ""]
    for _ in range(21):
        for number, stream in enumerate(streams):
            chunk = next(stream, None)
            mixed[number] += chunk.text if chunk else ""
    assert mixed == alone


def test_an_answer_that_is_stopped_half_way_leaves_the_backend_usable(backend):
    whole = complete(backend, QUESTION, Options(max_tokens=20)).text
    stream = backend.stream([{"role": "user", "content": QUESTION}], Options(max_tokens=20))
    next(stream)
    stream.close()
    assert complete(backend, QUESTION, Options(max_tokens=20)).text == whole


def test_the_context_bounds_prompt_and_answer(backend):
    with pytest.raises(TooLong, match=r"^The prompt is [\d,]+ tokens long, but pocket-phi-3-mini\S* can hold 1,024,"):
        complete(backend, "hut " * 3000)
    long = next(n for n in range(480, 1100) if len(ids_of(backend, "hut " * n)) > 1000)
    answer = complete(backend, "hut " * long, Options(max_tokens=500))
    assert answer.prompt_tokens + answer.tokens <= 1024


def ids_of(backend, text):
    return backend.prompt_ids([{"role": "user", "content": text}])


@pytest.mark.parametrize("text", ["", "a\0b", "a\udfffb"])
def test_bad_prompts_are_refused_by_the_backend_itself(backend, text):
    with pytest.raises(BadInput):
        list(backend.stream([{"role": "user", "content": text}], Options()))


def test_pictures_are_refused(backend):
    with pytest.raises(Unsupported, match="cannot look at pictures"):
        complete(backend, PICTURE)


@pytest.mark.parametrize("route", ["onnx", "transformers", "openvino", "llama.cpp", *MLX])
def test_close_frees_the_model(route):
    backend = connect(route, MODEL, mode="offline")
    complete(backend, QUESTION, Options(max_tokens=3))
    if route == "transformers":
        model = weakref.ref(backend._model)
        backend.close()
        gc.collect()
        assert model() is None
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match=r"This backend is closed\. Call connect\(\) again\."):
        complete(backend, QUESTION)


@pytest.mark.parametrize("route", ["onnx", "llama.cpp"])
def test_a_schema_binds_the_answer(route):
    import json

    schema = {
        "type": "object",
        "properties": {"open": {"type": "boolean"}, "beds": {"enum": [1, 2, 3]}},
        "required": ["open", "beds"],
        "additionalProperties": False,
    }
    backend = connect(route, MODEL, mode="offline")
    answer = complete(backend, "Is the hut open, and how many beds are free?", Options(schema=schema))
    said = json.loads(answer.text)
    assert said["open"] in (True, False) and said["beds"] in (1, 2, 3) and len(said) == 2
    assert answer.finish_reason == "stop"
    with pytest.raises(BadInput, match=r"^The schema cannot be followed: "):
        complete(backend, "x", Options(schema={"type": "nonsense"}))
    assert complete(backend, QUESTION, Options(max_tokens=5)).tokens == 5


@pytest.mark.parametrize("route", ["transformers", "openvino", *MLX])
def test_a_schema_is_refused_by_a_route_that_cannot_follow_it(route):
    backend = connect(route, MODEL, mode="offline")
    with pytest.raises(Unsupported, match=r"cannot follow a JSON schema\. Use the route onnx\."):
        complete(backend, QUESTION, Options(schema={}))


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
    with pytest.raises(NotInstalled, match=r'pip install -e "\.\[qnn\]".*build\.py --use_qnn'):
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


def test_code_that_comes_with_a_model_is_never_run(tmp_path):
    folder = shutil.copytree(pocket.folder(MODEL), tmp_path / "with-code")
    (folder / "config.json").write_text('{"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}')
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(BadModel, match="with-code cannot be loaded: "):
        connect("transformers", str(folder))
    assert not (tmp_path / "ran").exists()


def test_a_backend_shows_itself(backend):
    assert repr(backend) == f"<POCKET {backend.model} on {backend.name}>"


def test_a_forced_length_is_kept_for_measuring():
    from utils.backends.onnx import OnnxBackend
    from utils.backends.target import Target

    target = Target(model=MODEL, source="pocket", folder=pocket.folder(MODEL), precision="fp32")
    answer = complete(OnnxBackend(target, force_length=True), "Hello", Options(max_tokens=150))
    assert answer.tokens == 150 and answer.finish_reason == "length"


def test_broken_utf8_from_the_model_is_shown_and_nothing_after_it_is_lost():
    """Ids that spell half a mountain and then a word; ONNX Runtime GenAI's own decoder drops the word."""
    from tokenizers import Tokenizer

    backend = connect("onnx", MODEL, mode="offline")
    fast = Tokenizer.from_file(str(pocket.folder(MODEL) / "tokenizer.json"))
    half = fast.encode("\U0001f3d4", add_special_tokens=False).ids[:-1]
    ids = half + fast.encode("the hut", add_special_tokens=False).ids
    assert fast.decode(ids) == "\ufffdthe hut"
    backend.generate = lambda prompt, options: iter(ids)
    assert complete(backend, "Hello").text == "\ufffdthe hut"
