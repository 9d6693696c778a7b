"""What the course server tells about itself: counts and times, in Prometheus's text format, and never what was said.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from utils.core import Chunk

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
log = logging.getLogger("utils.server")


class Metrics:
    """One server's numbers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("requests", "Requests answered", ["path", "status"], registry=self.registry)
        self.waiting = Gauge("requests_waiting", "Requests in the queue", registry=self.registry)
        self.answering = Gauge("requests_answering", "Requests being answered", registry=self.registry)
        self.tokens = Counter("tokens", "Tokens read and made", ["kind"], registry=self.registry)
        self.first = Histogram(
            "time_to_first_token_seconds",
            "From a request to its first text, the queue included",
            registry=self.registry,
            buckets=SECONDS,
        )
        self.between = Histogram(
            "inter_token_latency_seconds", "Between two tokens", registry=self.registry, buckets=SECONDS
        )

    async def watched(self, chunks: AsyncGenerator[Chunk]) -> AsyncGenerator[Chunk]:
        """The same chunks, counted and timed."""
        asked = before = time.perf_counter()
        tokens = 0
        async with aclosing(chunks):
            async for chunk in chunks:
                now, made = time.perf_counter(), (chunk.tokens or 0) - tokens
                if tokens and made:
                    self.between.observe((now - before) / made)
                elif made:
                    self.first.observe(now - asked)
                self.tokens.labels("prompt").inc(chunk.prompt_tokens or 0)
                self.tokens.labels("generated").inc(made)
                tokens += made
                yield chunk
                before = time.perf_counter()  # what a slow reader takes is not the model's time


class Counted:
    """Around the application: counts each request by address and status, and writes it into the log."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str]) -> None:
        self.app, self.metrics, self.paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's call."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, start = 0, time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            path = scope["path"] if scope["path"] in self.paths else "other"
            self.metrics.requests.labels(path, status).inc()
            log.info("%s %s %s %.3f s", scope["method"], path, status, time.perf_counter() - start)
