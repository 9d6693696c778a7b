"""What every route promises, asked of each of them with the same pocket model: the local ones, and the hosted ones
through their own client libraries over the course server."""

import gc
import json
import sys
import threading

import psutil
import pytest

from utils import Options, catalog, complete, connect
from utils.errors import BackendError, BadInput, TooLong, Unsupported

MODEL = "pocket-phi-3-mini"
MLX = [] if sys.platform == "win32" else ["mlx"]  # it has no build for Windows
LOCAL = ["onnx", "onnx int4", "transformers", "llama.cpp", "openvino", *MLX]
HOSTED = ["ollama", "nim", "github-models", "github-models openai", "foundry", "foundry openai"]
ROUTES = [*LOCAL, *HOSTED]
QUESTION = "Tell me a story about a fox."
PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)


def connected(wanted):
    """`route`, `route precision` or `route client`."""
    route, _, detail = wanted.partition(" ")
    if detail == "openai":
        return connect(route, MODEL, mode="offline", client=detail)
    return connect(route, f"{MODEL}:{detail}" if detail else MODEL, mode="offline")


@pytest.fixture(scope="module", params=ROUTES)
def backend(request):
    backend = connected(request.param)
    backend.exact = request.param != "onnx int4"  # rounded weights answer in their own words
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def reference():
    backend = connect("onnx", MODEL, mode="offline")
    yield backend
    backend.close()


def asked(text):
    return [{"role": "user", "content": text}]


def said(backend, text, options):
    return "".join(chunk.text for chunk in backend.stream(asked(text), options))


def test_the_nine_routes_are_all_here():
    assert {wanted.partition(" ")[0] for wanted in ROUTES} | {"mlx"} == set(catalog.load().routes)


def test_an_answer_is_labelled_counted_and_timed(backend, reference):
    answer = complete(backend, QUESTION, Options(max_tokens=30))
    assert (answer.source, answer.badge) == ("pocket", "POCKET")
    assert answer.backend == backend.name and answer.model.startswith(MODEL)
    assert answer.text and 1 <= answer.tokens <= 30
    assert answer.prompt_tokens == len(reference.prompt_ids(asked(QUESTION)))
    assert answer.finish_reason == ("length" if answer.tokens == 30 else "stop")
    assert 0 < answer.first_token_s <= answer.total_s and len(answer.arrivals) > 5
    assert repr(backend) == f"<POCKET {backend.model} on {backend.name}>"


@pytest.mark.parametrize(
    "prompt", [QUESTION, "What does SLM mean?", "Grüße 你好 🦊", "مرحبا، كيف حالك؟ שלום", "a\u2028b\u0085c"]
)
def test_every_route_says_the_same_token_for_token(backend, reference, prompt):
    options = Options(max_tokens=40)
    there, here = complete(backend, prompt, options), complete(reference, prompt, options)
    assert there.prompt_tokens == here.prompt_tokens
    assert complete(backend, prompt, options).text == there.text  # greedy answers repeat
    if backend.exact:
        assert (there.text, there.tokens, there.finish_reason) == (here.text, here.tokens, here.finish_reason)


def test_a_conversation_is_read_whole(backend, reference):
    talk = [
        {"role": "system", "content": "Answer in one sentence."},
        {"role": "user", "content": "Hello!"},
        {"role": "assistant", "content": "Hello! How can I help you?"},
        {"role": "user", "content": [{"type": "text", "text": "What does SLM mean?"}]},
    ]
    options = Options(max_tokens=40)
    there, here = complete(backend, talk, options), complete(reference, talk, options)
    assert there.prompt_tokens == here.prompt_tokens
    assert there.text == here.text or not backend.exact


def test_a_schema_binds_the_answer_or_is_refused(backend):
    kinds = {"open": {"type": "boolean"}, "beds": {"enum": [1, 2, 3]}}
    schema = {"type": "object", "properties": kinds, "required": list(kinds), "additionalProperties": False}
    question = "Is the hut open, and how many beds are free?"
    if backend.name in ("transformers", "openvino", "mlx"):
        with pytest.raises(Unsupported, match=r"cannot follow a JSON schema\. Use the route onnx\."):
            complete(backend, question, Options(schema=schema))
        return
    answer = complete(backend, question, Options(schema=schema))
    told = json.loads(answer.text)
    assert told.keys() == kinds.keys() and told["open"] in (True, False) and told["beds"] in (1, 2, 3)
    assert answer.finish_reason == "stop"
    with pytest.raises(BadInput, match="schema"):
        complete(backend, question, Options(schema={"type": "nonsense"}))
    assert complete(backend, QUESTION, Options(max_tokens=5)).tokens == 5


@pytest.mark.parametrize("route", HOSTED)
def test_sampling_reaches_the_model_behind_the_server(route, reference):
    backend = connected(route)
    for options in (
        Options(max_tokens=30, temperature=1.5, seed=5),
        Options(max_tokens=30, temperature=1.0, top_p=0.5, seed=6),
    ):
        assert complete(backend, QUESTION, options).text == complete(reference, QUESTION, options).text
    backend.close()


def test_logprobs_are_those_of_the_tokens(backend, reference):
    options = Options(max_tokens=12, logprobs=True)
    there, here = complete(backend, QUESTION, options), complete(reference, QUESTION, options)
    assert len(here.logprobs) == here.tokens == 12 and all(value <= 0 for value in here.logprobs)
    assert len(there.logprobs) == 12
    if backend.exact:
        assert there.logprobs == pytest.approx(here.logprobs, abs=2e-3)
    drawn = complete(backend, QUESTION, Options(max_tokens=12, logprobs=True, temperature=1.5, seed=2))
    assert sum(drawn.logprobs) < sum(there.logprobs)  # of the model, not of the heated draw
    assert complete(backend, QUESTION, Options(max_tokens=2)).logprobs is None


@pytest.mark.parametrize("n", [1, 2, 7])
def test_max_tokens_is_exact(backend, n):
    answer = complete(backend, QUESTION, Options(max_tokens=n))
    assert answer.tokens == n and answer.finish_reason == "length"


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
    assert answer.text == whole[: whole.index(stop)] and answer.finish_reason == "stop"


def test_two_answers_at_the_same_time_do_not_mix(backend):
    options = Options(max_tokens=20)
    prompts = (QUESTION, "What is an SLM?")
    alone = [said(backend, prompt, options) for prompt in prompts]
    mixed = ["", ""]

    def ask(number):
        mixed[number] = said(backend, prompts[number], options)

    threads = [threading.Thread(target=ask, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mixed == alone


@pytest.mark.parametrize("route", ROUTES)
def test_the_first_question_may_come_from_another_thread(route, reference):
    backend, options, answers = connected(route), Options(max_tokens=5), []
    thread = threading.Thread(target=lambda: answers.append(said(backend, QUESTION, options)))
    thread.start()
    thread.join()
    assert answers and (route == "onnx int4" or answers == [said(reference, QUESTION, options)])
    backend.close()


@pytest.mark.parametrize("other", ROUTES)
def test_two_backends_live_side_by_side(other, reference):
    with_it = connected(other)
    stream = with_it.stream(asked(QUESTION), Options(max_tokens=10))
    first = next(stream).text
    assert said(reference, QUESTION, Options(max_tokens=5))
    rest = "".join(chunk.text for chunk in stream)
    assert said(with_it, QUESTION, Options(max_tokens=10)) == first + rest
    with_it.close()


def test_an_answer_that_is_stopped_half_way_leaves_the_backend_usable(backend):
    whole = complete(backend, QUESTION, Options(max_tokens=20)).text
    stream = backend.stream(asked(QUESTION), Options(max_tokens=500))
    next(stream)
    stream.close()
    assert complete(backend, QUESTION, Options(max_tokens=20)).text == whole


def test_the_context_bounds_prompt_and_answer(backend, reference):
    with pytest.raises(
        TooLong,
        match=r"The prompt is 3,0\d\d tokens long, but pocket-phi-3-mini\S* can hold 1,024,.*Shorten the prompt\.$",
    ):
        complete(backend, "hut " * 3000)
    with pytest.raises(TooLong, match=r"characters long, but \S+ can hold"):
        complete(backend, "hut " * 2_500_000)
    long = next(n for n in range(480, 1100) if len(reference.prompt_ids(asked("hut " * n))) > 1000)
    answer = complete(backend, "hut " * long, Options(max_tokens=500))
    assert answer.prompt_tokens + answer.tokens <= 1024


@pytest.mark.parametrize("text", ["", "a\0b", "a\udfffb"])
def test_bad_prompts_are_refused_by_the_backend_itself(backend, text):
    with pytest.raises(BadInput, match=r"empty|NUL|half a character"):
        list(backend.stream(asked(text), Options()))


def test_pictures_are_refused_by_a_model_that_does_not_see(backend):
    picture = [{"type": "text", "text": "What is it?"}, {"type": "image", "image": PNG}]
    with pytest.raises((Unsupported, BadInput), match="cannot look at pictures"):
        complete(backend, [{"role": "user", "content": picture}])


@pytest.mark.parametrize("route", ROUTES)
def test_a_closed_backend_says_so(route):
    backend = connected(route)
    complete(backend, QUESTION, Options(max_tokens=3))
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match=r"This backend is closed\. Call connect\(\) again\."):
        complete(backend, QUESTION)


@pytest.mark.parametrize("route", LOCAL)
def test_an_answer_ends_in_words_where_its_backend_was_closed(route, capfd):
    backend = connected(route)
    stream = backend.stream(asked(QUESTION), Options(max_tokens=100))
    assert next(stream).text
    backend.close()
    with pytest.raises(BackendError, match=r"^This backend is closed\. Call connect\(\) again\.$"):
        next(stream)
    with pytest.raises(BackendError, match=r"^This backend is closed\. Call connect\(\) again\.$"):
        list(backend.stream_ids([5, 6], Options()))
    del stream
    assert "leak" not in capfd.readouterr().err


@pytest.mark.parametrize("route", ROUTES)
def test_connecting_again_and_again_costs_no_memory(route):
    def once():
        backend = connected(route)
        complete(backend, QUESTION, Options(max_tokens=2))
        backend.close()

    def resident():
        gc.collect()
        return psutil.Process().memory_info().rss

    once()
    once()
    before = resident()
    for _ in range(20):
        once()
    assert resident() < 1.1 * before
