"""What guards an answer on its way over the network, below every client library.

The libraries differ in what they survive (a carriage return, a raw U+2028, broken UTF-8, a page of HTML, a server that
falls silent or never ends). So bytes are put right before a library reads them, and one watch keeps the time.
"""

from __future__ import annotations

import codecs
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from utils.errors import BackendError, BadAnswer, Interrupted, TimedOut

FIRST_S = 60.0  # until the first text
BETWEEN_S = 30.0  # from one piece of text to the next
ANSWER_BYTES = 16_000_000  # what no answer of a language model reaches
STREAMS = ("text/event-stream", "application/x-ndjson", "application/json")
# Line ends for some libraries, but no line ends in JSON; as an escape they are the same text and disturb nobody.
BREAKS = {ord(c): f"\\u{ord(c):04x}" for c in "\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1e"}

T = TypeVar("T")


def in_time(ask: Callable[[], T], seconds: float, give_up: Callable[[], object] = lambda: None) -> T:
    """What `ask` returns or raises; TimeoutError after so many seconds: looking up a name, or the head of a response
    that dribbles in, knows no limit of its own. A thread goes on with it then; `give_up` may hurry that."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(ask())
        except BaseException as error:  # raised again where it is waited for
            future.set_exception(error)

    threading.Thread(target=work, name="ask", daemon=True).start()
    try:
        return future.result(seconds)
    except BaseException:  # Ctrl-C as well
        if not future.done():
            give_up()
        raise


def check_kind(content_type: str) -> None:
    """Raises BadAnswer where a web page, or something else that is no stream of a model, comes back."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in STREAMS:
        raise BadAnswer(
            f"What answers there is not a model server: it sent {kind or 'nothing'}. Check the address and its path."
        )


def mended(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes as valid UTF-8 with plain line feeds. Raises BadAnswer when there is no end to them."""
    decoder, total, carriage = codecs.getincrementaldecoder("utf-8")("replace"), 0, ""
    for piece in pieces:
        total += len(piece)
        if total > ANSWER_BYTES:
            raise BadAnswer(f"The server sent more than {ANSWER_BYTES // 1_000_000} MB and did not stop.")
        text = carriage + decoder.decode(piece)
        carriage = "\r" if text.endswith("\r") else ""  # its line feed may come with the next piece
        text = text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n").translate(BREAKS)
        if text:
            yield text.encode()
    rest = (carriage + decoder.decode(b"", True)).replace("\r", "\n")
    if rest:
        yield rest.encode()


class Watch:
    """Ends a connection on which no text has come for too long: it wakes the library that waits there.

    `late` says afterwards that this is why the stream broke.
    """

    retry_after: str | None = None  # the response's header, which Ollama's own error does not keep

    def __init__(self, first_s: float, between_s: float) -> None:
        self._wait, self._between = first_s, between_s
        self._until = time.monotonic() + first_s
        self._over = threading.Event()
        self._hang_up: Callable[[], None] = lambda: None
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._until

    @property
    def left(self) -> float:
        """Seconds until then, and a little more, so that `late` is true after them."""
        return max(0.0, self._until - time.monotonic()) + 0.02

    def guard(self, hang_up: Callable[[], None]) -> None:
        """The response has begun: from now on this is how its connection is ended, from another thread."""
        self._hang_up = hang_up
        if self.late:  # its head alone took too long
            hang_up()

    def text(self) -> None:
        """Some text has come."""
        self._wait = self._between
        self._until = time.monotonic() + self._between

    def pause(self) -> None:
        """The reader is busy with what has come: its time is not the server's."""
        self._until = float("inf")

    def hang_up(self) -> None:
        """The answer is no longer wanted, whether it has begun or not."""
        self._until = 0.0
        with suppress(Exception):  # it has hung up already
            self._hang_up()

    def done(self) -> None:
        """The answer is there, or given up."""
        self._over.set()

    def error(self, partial: str) -> BackendError:
        """What to raise when `late`."""
        if not partial:
            return TimedOut(f"No answer within {self._wait:.0f} s. Try again, or use another route.")
        return Interrupted(f"The answer broke off: nothing came for {self._wait:.0f} s. The text so far is kept.")

    def _run(self) -> None:
        while not self._over.wait(max(0.05, min(self._until - time.monotonic(), 0.5))):
            if self.late:  # again and again: the response may not have begun yet
                with suppress(Exception):  # it has hung up already
                    self._hang_up()


def shut(connection: Any) -> None:
    """Ends a connection so that a thread waiting on it wakes up, which closing alone does not do."""
    with suppress(OSError, TypeError):  # closed already
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # the plain one: TLS has its own, which may wait


class Hook(threading.local):
    """For httpx and httpx2, called when a response begins. Each thread sets the `watch` of the request it makes."""

    watch: Watch | None = None

    @contextmanager
    def watched(self, watch: Watch | None) -> Iterator[None]:
        """While requests of this thread are under this watch."""
        self.watch = watch
        try:
            yield
        finally:
            self.watch = None

    def __call__(self, response: Any) -> None:
        if self.watch is None:
            return
        self.watch.retry_after = response.headers.get("retry-after")
        if response.status_code == 200:
            check_kind(response.headers.get("content-type", ""))
        self.watch.guard(lambda: shut(response.extensions["network_stream"].get_extra_info("socket")))
        library, raw = sys.modules[type(response).__module__.partition(".")[0]], response.stream

        class Mended(library.SyncByteStream):  # type: ignore[misc, name-defined]
            def __iter__(self) -> Iterator[bytes]:
                return mended(iter(raw))

            def close(self) -> None:
                raw.close()

        response.stream = Mended()
