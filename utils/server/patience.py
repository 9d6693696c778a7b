"""How long a connection may take to bring a request: uvicorn itself would wait for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 30.0  # from the connection, or a request's first byte, to its last


class Patient(H11Protocol):
    """Hangs up on a client that sends a request too slowly, or none at all."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(transport)
        self._late = self.loop.call_later(REQUEST_S, transport.close)

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request have come."""
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._late = self._late or self.loop.call_later(REQUEST_S, self.transport.close)
        else:
            self._in_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._in_time()
        super().connection_lost(exc)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def settings() -> dict[str, Any]:
    """For `uvicorn.Config`."""
    return {"http": Patient, "limit_concurrency": 2000, "timeout_keep_alive": 15}
