"""From the thread that makes an answer to the loop that sends it: nothing is lost, late or left running."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from itertools import pairwise

import pytest

from utils.core import Chunk
from utils.server.pump import pumped


def taken(begin, *, until=None):
    """When each chunk came, with its text; `until` leaves early."""

    async def take():
        found = []
        with ThreadPoolExecutor(1) as threads:
            async with aclosing(pumped(begin, threads, threading.Event())) as chunks:
                async for chunk in chunks:
                    found.append((time.perf_counter(), chunk.text))
                    if len(found) == until:
                        break
        return found

    return asyncio.run(take())


def written(count, pause=0.0, ended=None):
    def begin():
        try:
            for number in range(count):
                time.sleep(pause)
                yield Chunk(f"{number} ")
        finally:
            if ended is not None:
                ended.set()

    return begin


def test_a_fast_writer_is_heard_whole_and_in_order():
    assert [text for _, text in taken(written(5000))] == [f"{number} " for number in range(5000)]


def test_pieces_of_a_slow_writer_come_one_by_one():
    times = [when for when, _ in taken(written(6, pause=0.05))]
    assert min(b - a for a, b in pairwise(times)) > 0.02


def test_who_leaves_early_ends_the_work():
    ended = threading.Event()
    assert len(taken(written(10**9, ended=ended), until=3)) == 3 and ended.is_set()


def test_what_goes_wrong_comes_after_what_was_written():
    def begin():
        yield Chunk("so far ")
        raise ValueError("broken")

    heard = []

    async def take():
        with ThreadPoolExecutor(1) as threads:
            async for chunk in pumped(begin, threads, threading.Event()):
                heard.append(chunk.text)

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(take())
    assert heard == ["so far "]
