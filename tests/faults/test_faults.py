"""What may go wrong between a client library and a server: each case of it, done to each library over a real socket."""

import json
import random
import threading
import time
import traceback
import types
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from loopback import KEY, KEYS, ROUTES, VARIABLES, WIRES, FaultServer, answer, begin, error, head, piece, reset

from utils import Options, complete, connect
from utils.backends import address, hosted, probe, stream
from utils.backends.trouble import Trouble
from utils.errors import (
    BackendError,
    BadAnswer,
    BadInput,
    Interrupted,
    KeyProblem,
    NotRunning,
    RateLimited,
    Retired,
    TimedOut,
    TooLong,
    UnknownModel,
    Unsupported,
)

MODEL = "phi-3.5-mini"
CHUNK = piece("openai", "Hello")


@pytest.fixture(params=WIRES, ids=lambda wire: f"{wire.route} {wire.client or ''}".strip())
def wire(request):
    return request.param


@pytest.fixture
def served(wire, monkeypatch):
    """Makes a backend of the wire's route, whose server does what the test says."""
    servers, backends = [], []

    def make(*acts, listing=b"", **settings):
        server = FaultServer(list(acts), listing)
        route, client = getattr(wire, "route", ROUTES[wire]), getattr(wire, "client", None)
        monkeypatch.setenv(VARIABLES[route], server.url)
        if route in KEYS:
            monkeypatch.setenv(KEYS[route], KEY)
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        backend = connect(route, None if route == "foundry" else MODEL, mode="live", client=client)
        servers.append(server)
        backends.append(backend)
        return backend, server

    monkeypatch.setattr(hosted.random, "uniform", lambda low, high: 0.1)  # tries follow quickly
    yield make
    for thing in (*backends, *servers):
        thing.close()


@contextmanager
def fails(kind, match):
    """As `pytest.raises`; besides, neither message nor traceback may show the key."""
    with pytest.raises(kind, match=match) as caught:
        yield caught
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__context__)
    assert KEY not in shown and "Secret" not in shown
    assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)


def test_a_healthy_answer(served, wire):
    backend, server = served(answer(wire, "Good", " day"))
    result = complete(backend, "Hello!", Options(max_tokens=9, temperature=0.5, top_p=0.9, seed=3, stop=("x",)))
    assert result.text == "Good day" and result.finish_reason == "stop"
    assert (result.tokens, result.prompt_tokens, result.source) == (2, 7, "live")
    sent = json.loads(server.requests[0].body)
    given = sent["options"] if wire == "ollama" else sent
    assert given["num_predict" if wire == "ollama" else "max_tokens"] == 9
    assert (given["temperature"], given["top_p"], given["seed"], given["stop"]) == (0.5, 0.9, 3, ["x"])
    assert sent["messages"] == [{"role": "user", "content": "Hello!"}] and sent["stream"] is True
    assert KEY not in repr(backend) + repr(backend.address)


@pytest.mark.parametrize("wire", ["ollama"])
def test_what_only_ollama_has_is_sent(served, wire):
    _, server = served(answer(wire, "Hi"))
    backend = connect("ollama", MODEL, mode="live", num_ctx=64, keep_alive="1m")
    complete(backend, "Hello!")
    sent = json.loads(server.requests[0].body)
    assert sent["options"]["num_ctx"] == 64 and sent["keep_alive"] == "1m"
    backend.close()


@pytest.mark.parametrize("wire", ["openai"])
def test_a_picture_that_is_too_large_for_the_service_is_not_sent(served, wire):
    backend, server = served(answer(wire, "A hut."))
    for size, sent in ((1000, True), (140_000, False)):
        picture = {"type": "image", "image": b"\x89PNG\r\n\x1a\n" + bytes(size)}
        question = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture]}]
        if sent:
            assert complete(backend, question).text == "A hut."
            continue
        with fails(BadInput, r"takes 186,\d\d\d characters, but this service takes 180,000"):
            complete(backend, question)
    assert len(server.requests) == 1


# ---- keys and HTTP


@pytest.mark.parametrize("route", ["nim"])
def test_1_no_key(route):
    with fails(KeyProblem, rf"set {KEYS[route]} .*or use mode 'offline'"):
        connect(route, mode="live")


def test_1_a_cloud_resource_needs_its_key(monkeypatch):
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", "https://someone.openai.azure.com/openai/v1")
    with fails(KeyProblem, r"set AZURE_INFERENCE_CREDENTIAL .*or use mode 'offline'"):
        connect("foundry", mode="live")
    backend = connect("foundry")  # in mode auto a pocket model answers
    assert backend.source == "pocket"
    backend.close()


@pytest.mark.parametrize("wire", ["ollama"])
def test_4_a_server_that_wants_a_key_says_which(served, wire):
    backend, _ = served(error(wire, 401, "unauthorized"), OLLAMA_API_KEY="")
    with fails(KeyProblem, "wants a key: set OLLAMA_API_KEY"):
        complete(backend, "Hello!")


def test_2_a_key_with_blanks_and_line_ends_is_cleaned(served, wire):
    backend, server = served(answer(wire, "Hi"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEYS[wire.route], f" {KEY[:9]}\n{KEY[9:]} \r\n")
        backend = connect(wire.route, backend.model, mode="live", client=wire.client)
    complete(backend, "Hello!")
    sent = server.requests[0].headers
    assert KEY in (sent.get("authorization", ""), sent.get("api-key", "")) or sent["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("route", ["nim", "github-models", "ollama"])
def test_3_a_key_in_typographic_quotes(route, monkeypatch):
    monkeypatch.setenv(KEYS[route], f"“{KEY}”")
    with fails(KeyProblem, f"^{KEYS[route]} is not plain ASCII"):
        connect(route, MODEL, mode="live")


@pytest.mark.parametrize(
    ("status", "message", "kind", "match"),
    [
        pytest.param(401, f"bad key {KEY}", KeyProblem, "rejected the key", id="4 a key that is refused"),
        pytest.param(403, f"bad key {KEY}", KeyProblem, "does not let this key use", id="5 no permission"),
        pytest.param(
            404, "Function 'a1': Not found for account 'Secret77'", UnknownModel, "to your account", id="7 not yours"
        ),
        pytest.param(
            410,
            "has reached its end of life on 2026-07-30T00:00:00Z",
            Retired,
            r"switched off \(has reached its end of life on 2026-07-30.*\)\. .*(Use|Ask for|Deploy)",
            id="8 a retired model",
        ),
        pytest.param(
            400,
            "maximum context length is 4096 tokens, your messages have 5000",
            TooLong,
            r"4096 tokens.*5000.*Shorten",
            id="13 a prompt that is too long",
        ),
        pytest.param(
            422,
            "temperature must be at most 1",
            BadInput,
            "refused the request: temperature must be at most 1",
            id="another refusal keeps the server's words",
        ),
    ],
)
def test_a_refusal_is_explained_and_not_tried_again(served, wire, status, message, kind, match):
    backend, server = served(error(wire, status, message))
    with fails(kind, match):
        complete(backend, "Hello!")
    assert len(server.requests) == 1


def test_6_an_unknown_model_and_what_there_is(served, wire):
    body = {
        "openai": {"object": "list", "data": [{"id": "phi-x", "object": "model", "created": 1, "owned_by": "x"}]},
        "azure": {"model_name": "phi-x", "model_type": "chat-completion", "model_provider_name": "x"},
        "ollama": {"models": [{"name": "phi-x", "model": "phi-x"}]},
    }[wire]
    backend, _ = served(
        error(wire, 404, "no such model"), listing=head(200, "application/json") + json.dumps(body).encode()
    )
    with fails(UnknownModel, r"has no model .*It has: phi-x\."):
        complete(backend, "Hello!")


def test_9_a_short_wait_is_kept(served, wire):
    backend, server = served(error(wire, 429, "slow down", retry_after=1), answer(wire, "Hi"))
    before = time.monotonic()
    assert complete(backend, "Hello!").text == "Hi"
    assert len(server.requests) == 2 and 1 <= time.monotonic() - before < 3


def test_10_a_long_wait_is_told_at_once(served, wire):
    backend, server = served(error(wire, 429, "slow down", retry_after=3600))
    before = time.monotonic()
    with fails(RateLimited, "Ask again in 3,600 s"):
        complete(backend, "Hello!")
    assert len(server.requests) == 1 and time.monotonic() - before < 1


@pytest.mark.parametrize(("seconds", "kept"), [(2, True), (3600, False)])
def test_9_10_a_wait_may_be_a_date(seconds, kept):
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    wait = Trouble(429, "slow down", until).wait_s
    assert (wait is not None and 0 <= wait <= seconds) if kept else wait is None


def test_an_option_that_the_server_ignores_is_told(served, wire):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    kept, cut = answer(wire, '{"a"', ": 1}"), answer(wire, '{"a": 1')
    backend, server = served(answer(wire, "Hi"), answer(wire, "Hi", " there"), kept, cut)
    with fails(Unsupported, "sent no log-probabilities"):
        complete(backend, "Hello!", Options(logprobs=True))
    with fails(BadAnswer, "ignored the schema") as caught:
        complete(backend, "Hello!", Options(schema=schema))
    assert caught.value.partial == "Hi there"
    assert complete(backend, "Hello!", Options(schema=schema)).text == '{"a": 1}'
    assert complete(backend, "Hello!", Options(schema=schema, stop=("}",))).text == '{"a": 1'
    assert len(server.requests) == 4


def test_a_stop_text_that_the_server_ignores_ends_the_answer_all_the_same(served, wire):
    gone = threading.Event()

    def endless(connection):
        connection.sendall(begin(wire) + piece(wire, "one") + piece(wire, " ST") + piece(wire, "OP two"))
        with suppress(OSError):
            while True:
                connection.sendall(piece(wire, "more "))
                time.sleep(0.01)
        gone.set()

    backend, _ = served(endless, answer(wire, "one", " STO"), begin(wire) + piece(wire, "one ST"))
    result = complete(backend, "Hello!", Options(stop=("never", "STOP")))
    assert (result.text, result.finish_reason, result.tokens) == ("one ", "stop", None)
    assert gone.wait(3)
    result = complete(backend, "Hello!", Options(stop=("STOP",)))  # what only looked like one
    assert (result.text, result.finish_reason, result.tokens) == ("one STO", "stop", 2)
    assert complete(backend, "Hello!", Options(stop=("STOP",))).text == "one ST"


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), *((s, NotRunning) for s in (500, 502, 503, 529))])
def test_11_12_three_tries_at_most(served, wire, status, kind):
    backend, server = served(error(wire, status, "busy"))
    with fails(kind, "Ask again later|out of order or busy"):
        complete(backend, "Hello!")
    assert len(server.requests) == 3


@pytest.mark.parametrize("wire", ["openai"])
@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [(None, [0.25, 0.5], [0.5, 1.0]), (0, [0.25, 0.5], [0.5, 1.0]), (0.9, [0.9, 0.9], [1.1, 1.1])],
)
def test_12_the_waits_grow_are_jittered_and_never_shorter_than_asked(served, wire, monkeypatch, asked, least, most):
    monkeypatch.setattr(hosted.random, "uniform", random.Random(1).uniform)
    waits = []
    monkeypatch.setattr(hosted.time, "sleep", waits.append)
    fields = {} if asked is None else {"retry_after": asked}
    backend, _ = served(error(wire, 503, "busy", **fields))
    for _ in range(5):
        with fails(NotRunning, "out of order"):
            complete(backend, "Hello!")
    pairs = list(zip(waits[::2], waits[1::2], strict=True))
    assert len(pairs) == 5 and len(set(pairs)) == 5
    assert all(least[n] <= pair[n] <= most[n] for pair in pairs for n in (0, 1))


def test_12_a_server_that_recovers(served, wire):
    backend, server = served(error(wire, 503, "busy"), answer(wire, "Hi"))
    assert complete(backend, "Hello!").text == "Hi" and len(server.requests) == 2


@pytest.mark.parametrize("wire", ["ollama"])
def test_14_a_prompt_that_the_server_would_cut_is_warned_of(served, wire):
    backend, _ = served(answer(wire, "Hi"))
    with pytest.warns(UserWarning, match=r"about 5,000 tokens, but the context is 4,096.*num_ctx"):
        complete(backend, "hut " * 5000)
    with pytest.warns(UserWarning, match=r"about 5,000 tokens"):
        complete(backend, "屋" * 5000)
    backend.num_ctx = 8192
    assert complete(backend, "hut " * 5000).text == "Hi"


@pytest.mark.parametrize("wire", ["ollama"])
def test_a_context_that_does_not_fit_into_memory_is_warned_of(served, wire, monkeypatch):
    backend, _ = served(answer(wire, "Hi"))
    backend.num_ctx = 131072  # 48 GiB of KV cache
    memory = types.SimpleNamespace(available=16e9)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    with pytest.warns(UserWarning, match=r"131,072 tokens needs about 53\.7 GB of memory with phi-3\.5-mini"):
        complete(backend, "Hello!")


# ---- network and streams


def test_15_nothing_listens(monkeypatch, wire):
    server = FaultServer([b""])
    server.close()
    monkeypatch.setenv(VARIABLES[wire.route], server.url)
    with fails(NotRunning, "does not answer at http://127.0.0.1"):
        connect(wire.route, mode="live", client=wire.client)
    assert connect(wire.route, mode="auto", client=wire.client).source == "pocket"


def test_15_a_server_that_has_gone(served, wire):
    backend, server = served(b"")
    server.close()
    time.sleep(0.05)
    with fails(NotRunning, "does not answer|out of order"):
        complete(backend, "Hello!")


def hang(*arguments, **named):
    """What a resolver does without a network."""
    time.sleep(6)
    raise OSError


@pytest.mark.parametrize("route", VARIABLES)
def test_16_no_network(monkeypatch, route):
    monkeypatch.setattr(probe.socket, "create_connection", hang)
    monkeypatch.setenv(KEYS[route], KEY)
    if route != "nim":  # it has an address of its own
        monkeypatch.setenv(VARIABLES[route], "https://service.example.org/v1")
    connect(route, "pocket-phi-3-mini", mode="offline").close()  # the course server is there already
    before = time.monotonic()
    assert connect(route, mode="auto").source == "pocket"
    with fails(NotRunning, "Is the network there|ollama serve"):
        connect(route, mode="live")
    assert time.monotonic() - before < 4


def idle(wire):
    """What keeps a stream open without saying anything."""
    return b"\n" if wire == "ollama" else b": wait\n\n"


def trickle(connection, piece):
    """Ten times a second, far longer than anyone should wait."""
    for _ in range(100):
        connection.sendall(piece)
        time.sleep(0.1)


def test_17_no_answer(served, wire):
    silence = threading.Event()
    backend, _ = served(lambda connection: silence.wait(5), SLM_TIMEOUT="0.6")
    before = time.monotonic()
    with fails(TimedOut, "No answer within"):
        complete(backend, "Hello!")
    assert time.monotonic() - before < 3
    silence.set()


def test_17_comments_are_no_answer(served, wire):
    gone = threading.Event()

    def chatter(connection):
        try:
            connection.sendall(begin(wire))
            trickle(connection, idle(wire))
        except OSError:
            gone.set()

    backend, _ = served(chatter, SLM_TIMEOUT="0.6")
    before = time.monotonic()
    with fails(BackendError, "No answer within|no answer of a model"):
        complete(backend, "Hello!")
    assert time.monotonic() - before < 3
    assert gone.wait(3)  # it was hung up on


def test_17_a_head_that_comes_late_is_no_answer(served, wire):
    """Every byte of it comes in time for a reader's own limit, all of it too late; and then nothing ends."""

    def dribble(connection):
        for byte in begin(wire):
            connection.sendall(bytes([byte]))
            time.sleep(0.01)
        trickle(connection, idle(wire))

    backend, _ = served(dribble, SLM_TIMEOUT="0.5")
    before = time.monotonic()
    with fails(BackendError, "No answer within|no answer of a model"):
        complete(backend, "Hello!")
    assert time.monotonic() - before < 4


def test_17_a_head_that_does_not_end_is_not_waited_for(served, wire):
    """A line of it every now and then, each in time for a reader's own limit; the server is hung up on when it ends."""
    gone = threading.Event()

    def dribble(connection):
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            for number in range(25):
                connection.sendall(b"x-%d: wait\r\n" % number)
                time.sleep(0.2)
            connection.sendall(begin(wire).partition(b"\r\n")[2])
            while True:
                connection.sendall(piece(wire, "late "))
                time.sleep(0.02)
        except OSError:
            gone.set()

    backend, server = served(dribble, SLM_TIMEOUT="0.5")
    before = time.monotonic()
    with fails(TimedOut, "No answer within"):
        complete(backend, "Hello!")
    assert time.monotonic() - before < 2 and len(server.requests) == 1
    assert gone.wait(8)


@pytest.mark.parametrize("wire", ["openai", "ollama"])
def test_6_a_list_that_does_not_end_is_not_waited_for(served, wire, monkeypatch):
    monkeypatch.setattr(hosted, "OFFERS_S", 0.5)
    backend, server = served(error(wire, 404, "no such model"))
    hears = server._serve

    def trickles(connection):
        if len(server.requests) < 1:
            return hears(connection)
        with connection, suppress(OSError):  # nobody waits for the whole of it
            connection.recv(65536)
            connection.sendall(head(200, "application/json") + b"[")
            trickle(connection, b" ")

    monkeypatch.setattr(server, "_serve", trickles)
    before = time.monotonic()
    with fails(UnknownModel, "Ask the service for its list"):
        complete(backend, "Hello!")
    assert time.monotonic() - before < 4


def test_18_silence_in_mid_stream(served, wire):
    silence = threading.Event()

    def stall(connection):
        connection.sendall(begin(wire) + piece(wire, "Half"))
        silence.wait(10)

    backend, server = served(stall, SLM_TIMEOUT="1")
    before = time.monotonic()
    with fails(Interrupted, "nothing came for") as caught:
        complete(backend, "Hello!")
    silence.set()
    assert caught.value.partial == "Half" and len(server.requests) == 1 and time.monotonic() - before < 4


def test_19_a_reset_in_mid_stream(served, wire):
    def cut(connection):
        connection.sendall(begin(wire) + piece(wire, "Half"))
        time.sleep(0.2)
        reset(connection)

    backend, server = served(cut)
    with fails(Interrupted, "broke off") as caught:
        complete(backend, "Hello!")
    assert caught.value.partial == "Half" and len(server.requests) == 1


def test_20_an_end_without_a_finish(served, wire):
    backend, _ = served(begin(wire) + piece(wire, "Half"))
    result = complete(backend, "Hello!")
    assert result.text == "Half" and result.finish_reason is None and "incomplete" in result._repr_markdown_()


@pytest.mark.parametrize("first", [True, False])
def test_21_a_malformed_piece(served, wire, first):
    broken = b"{ no json\n" if wire == "ollama" else b"data: { no json\n\n"
    backend, _ = served(begin(wire) + (b"" if first else piece(wire, "Half")) + broken)
    with fails(BadAnswer if first else Interrupted, "no answer of a model" if first else "broke off") as caught:
        complete(backend, "Hello!")
    assert caught.value.partial == ("" if first else "Half")


@pytest.mark.parametrize("first", [True, False])
def test_22_an_error_inside_the_stream(served, wire, first):
    said = b'{"error": "out of memory"}\n' if wire == "ollama" else b'data: {"error": {"message": "out of memory"}}\n\n'
    backend, _ = served(begin(wire) + (b"" if first else piece(wire, "Half")) + said)
    with fails(BadAnswer if first else Interrupted, "out of memory") as caught:
        complete(backend, "Hello!")
    assert caught.value.partial == ("" if first else "Half")


def test_23_letters_split_between_packets(served, wire):
    data = answer(wire, "Grüße, 世界 🦊")

    def dribble(connection):
        for at in range(0, len(data), 7):
            connection.sendall(data[at : at + 7])
            time.sleep(0.002)

    backend, _ = served(dribble)
    assert complete(backend, "Hello!").text == "Grüße, 世界 🦊"


def test_23_bytes_that_are_no_letters(served, wire):
    backend, _ = served(answer(wire, "a@b").replace(b"a@b", b"a\xffb"))
    assert complete(backend, "Hello!").text == "a\ufffdb"


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\u0085"])
def test_24_line_ends_that_are_text(served, wire, odd):
    backend, _ = served(answer(wire, f"one{odd}two"))
    assert complete(backend, "Hello!").text == f"one{odd}two"


def test_24_carriage_returns_between_events(served, wire):
    top, rest = begin(wire), answer(wire, "Good", " day").partition(b"\r\n\r\n")[2]
    data = rest.replace(b"\n", b"\r\n")

    def dribble(connection):
        connection.sendall(top)
        for at in range(0, len(data), 3):  # so that some packets end between the two
            connection.sendall(data[at : at + 3])

    backend, _ = served(dribble)
    result = complete(backend, "Hello!")
    assert result.text == "Good day" and result.finish_reason == "stop"


@pytest.mark.parametrize("what", ["no choices", "empty choices", "null"])
def test_25_an_empty_answer(served, wire, what):
    if wire == "ollama":
        body = begin(wire) + piece(wire, None if what == "null" else "")
    elif what == "null":
        body = begin(wire) + piece(wire, None) + b"data: [DONE]\n\n"
    else:
        event = json.loads(CHUNK.removeprefix(b"data: "))
        event.pop("choices")
        event |= {"choices": []} if what == "empty choices" else {}
        body = begin(wire) + b"data: " + json.dumps(event).encode() + b"\n\ndata: [DONE]\n\n"
    backend, _ = served(body)
    with fails(BadAnswer, "empty|no answer of a model"):
        complete(backend, "Hello!")


@pytest.mark.parametrize(
    ("kind", "body"), [("text/html", b"<html>Sign in</html>"), ("application/json", b"[]"), ("application/json", b"")]
)
def test_26_what_is_no_model_server(served, wire, kind, body):
    backend, server = served(head(200, kind) + body)
    with fails(BadAnswer, "not a model server|empty|no answer of a model"):
        complete(backend, "Hello!")
    assert len(server.requests) == 1


def test_27_an_answer_that_never_ends(served, wire):
    def endless(connection):
        connection.sendall(begin(wire))
        while True:
            connection.sendall(piece(wire, "more "))

    backend, _ = served(endless)
    result = complete(backend, "Hello!", Options(max_tokens=20))
    assert result.text == "more " * 20 and result.finish_reason == "length"


def test_27_bytes_that_never_end(served, wire, monkeypatch):
    monkeypatch.setattr(stream, "ANSWER_BYTES", 300_000)

    def endless(connection):
        connection.sendall(begin(wire))
        while True:
            connection.sendall(b"x" * 50_000)

    backend, _ = served(endless)
    with fails(BadAnswer, "and did not stop"):
        complete(backend, "Hello!")


def test_27_an_error_that_never_ends(served, wire, monkeypatch):
    monkeypatch.setattr(stream, "ANSWER_BYTES", 300_000)
    sent = []

    def endless(connection):
        connection.sendall(head(400, "application/json"))
        while True:
            connection.sendall(b"x" * 50_000)
            sent.append(50_000)

    backend, _ = served(endless, SLM_TIMEOUT="5")
    before = time.monotonic()
    with fails(BackendError, r"did not stop|refused|not a model server"):
        complete(backend, "Hello!")
    assert time.monotonic() - before < 4 and sum(sent) < 100e6


def test_28_a_redirect_is_not_followed(served, wire):
    other = FaultServer([answer(wire, "Hi")])
    backend, server = served(head(307, "text/plain", location=f"{other.url}/chat"))
    with fails(BadAnswer, "sends us on to another address"):
        complete(backend, "Hello!")
    assert len(server.requests) == 1 and not other.requests
    other.close()


def test_29_a_proxy_is_not_asked_for_this_machine(served, wire):
    proxy = FaultServer([b""])
    backend, _ = served(answer(wire, "Hi"), HTTP_PROXY=proxy.url, http_proxy=proxy.url, ALL_PROXY=proxy.url)
    assert complete(backend, "Hello!").text == "Hi" and not proxy.requests
    proxy.close()


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("0.0.0.0", "http://127.0.0.1:11434"),
        (" localhost ", "http://localhost:11434"),
        ("http://127.0.0.1:5000/", "http://127.0.0.1:5000"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("::1", "http://[::1]:11434"),
        (":5000", "http://127.0.0.1:5000"),
        ("https://x.example/models/chat/completions?api-version=1", "https://x.example/models"),
        ("https://ollama.example.org/base/", "https://ollama.example.org/base"),
    ],
)
def test_30_addresses_are_made_normal(given, normal):
    assert address.normal(given, "OLLAMA_HOST", 11434) == normal


@pytest.mark.parametrize("given", ["file:///etc/passwd", "http://", "http://a b", "127.0.0.1:port"])
def test_30_what_is_no_address_is_refused(given, monkeypatch):
    monkeypatch.setenv("OLLAMA_HOST", given)
    with fails(BadInput, r"^OLLAMA_HOST is .*, which is no address"):
        connect("ollama", MODEL, mode="live")


def test_30_a_password_in_an_address_is_not_shown(monkeypatch):
    monkeypatch.setenv("OLLAMA_HOST", "http://someone:Secret77@host:port")
    with fails(BadInput, r"^OLLAMA_HOST holds a user name or a password"):
        connect("ollama", MODEL, mode="live")


@pytest.mark.parametrize("prompt", ["", "a\0b", "a\ud800b"])
def test_31_bad_prompts_are_never_sent(served, wire, prompt):
    backend, server = served(answer(wire, "Hi"))
    with fails(BadInput, "empty|NUL|half a character"):
        complete(backend, prompt)
    assert not server.requests


def test_32_a_stopped_answer_hangs_up(served, wire):
    gone = threading.Event()

    def endless(connection):
        connection.sendall(begin(wire))
        try:
            while True:
                connection.sendall(piece(wire, "more "))
                time.sleep(0.01)
        except OSError:
            gone.set()

    backend, _ = served(endless)
    pieces = backend.stream([{"role": "user", "content": "Hello!"}], Options())
    next(pieces)
    pieces.close()
    assert gone.wait(3)
    assert wait_for(lambda: "watch" not in [thread.name for thread in threading.enumerate()])


def wait_for(condition, seconds=3):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def test_a_closed_backend_says_so(served, wire):
    backend, _ = served(answer(wire, "Hi"))
    backend.close()
    backend.close()
    with fails(BackendError, "This backend is closed"):
        complete(backend, "Hello!")
