"""How long a client may take to bring a request and to read its answer, and how many may come: uvicorn itself would
wait for ever, and turn clients away without saying when to come back."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from utils.server.app import busy

REQUEST_S = 30.0  # from the connection, or a request's first byte, to its last
UNREAD_S = 60.0  # with an answer waiting for it
CONNECTIONS = 2000  # at a time


class Patient(H11Protocol):
    """Hangs up on a client that sends a request too slowly, or none at all, or that does not read what it asked for."""

    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            self.app = busy
        self._late = self.loop.call_later(REQUEST_S, transport.close)

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request have come."""
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._late = self._late or self.loop.call_later(REQUEST_S, self.transport.close)
        else:
            self._in_time()

    def pause_writing(self) -> None:
        """More has been written than the client has read."""
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        self._is_read()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._in_time()
        self._is_read()
        super().connection_lost(exc)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


def settings() -> dict[str, Any]:
    """For `uvicorn.Config`."""
    return {"http": Patient, "timeout_keep_alive": 15}
