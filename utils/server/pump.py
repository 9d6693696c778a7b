"""From a thread that makes an answer to the event loop that sends it.

A hop to a thread and back for every token would cost more than a tiny model's token. So one thread makes the whole
answer, and the loop takes what has come whenever it is awake.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Executor

from utils.core import Chunk
from utils.errors import Interrupted

ENDING = "The course server is ending, and this answer with it. Ask again when it runs."
AHEAD = 64  # chunks that the model may be ahead of a slow reader
PAUSE_S = 0.002  # from one look to the next: what a tiny model writes meanwhile goes out together, and costs it less


async def pumped(
    begin: Callable[[], Iterator[Chunk]], threads: Executor, closing: threading.Event
) -> AsyncGenerator[Chunk]:
    """The chunks of `begin()`, made in one of `threads`. Leaving early ends the work and waits for that end; `closing`
    ends it too, even where a client neither reads nor leaves.

    Raises what `begin` and its iterator raise, and Interrupted for an answer that `closing` has cut off.
    """
    loop = asyncio.get_running_loop()
    made: deque[Chunk] = deque()
    news, room, stopped = asyncio.Event(), threading.Semaphore(AHEAD), threading.Event()

    def work() -> bool:
        """Whether the answer is whole."""
        chunks = begin()
        try:
            for chunk in chunks:
                _wait(room, closing)
                if stopped.is_set() or closing.is_set():
                    return False
                made.append(chunk)
                if not news.is_set():
                    loop.call_soon_threadsafe(news.set)
                if not resting:
                    time.sleep(1e-6)  # gives the interpreter to the loop, which else may wait 5 ms for it
            return True
        finally:
            chunks.close()  # type: ignore[attr-defined]

    next_look, resting = loop.time(), False
    working = loop.run_in_executor(threads, work)
    working.add_done_callback(lambda _: news.set())
    try:
        while not working.done() or made:
            await news.wait()
            if (rest := next_look - loop.time()) > 0:
                resting = True
                await asyncio.wait([working], timeout=rest)  # an answer's end is told at once
                resting = False
            news.clear()  # before looking: what comes from now on is told again
            next_look = loop.time() + PAUSE_S
            while made:
                room.release()
                yield made.popleft()
        if not working.result():
            raise Interrupted(ENDING)
    finally:
        stopped.set()
        room.release()
        await asyncio.wait([working])


def _wait(room: threading.Semaphore, closing: threading.Event) -> None:
    """Until there is room for another chunk, or the server ends."""
    while not room.acquire(timeout=0.5) and not closing.is_set():
        pass
