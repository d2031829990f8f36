"""Connections that end when the other side dawdles: no head, a body that trickles, a reply that nobody takes.

Uvicorn waits for ever for each of these. What is measured is the other side's doing only: while we do not read (a
full buffer) or have nothing to send (a quiet stream of events), no time runs.
"""

from __future__ import annotations

from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 15.0  # from the first moment, or the first byte of a further request, to the end of its head
WINDOW_S = 15.0  # a body brings LEAST_BYTES in each such time
LEAST_BYTES = 4096
STALL_S = 30.0  # a reply that is not taken at all for so long is given up
LOOK_S = 2.5


class Connection(H11Protocol):
    """HTTP on one connection, with deadlines."""

    def connection_made(self, transport: Any) -> None:
        """Begin to count."""
        super().connection_made(transport)
        now = self.loop.time()
        self._head_since: float | None = now
        self._window_since = now
        self._window_bytes = 0
        self._unsent = 0
        self._unsent_since: float | None = None
        self._look = self.loop.call_later(LOOK_S, self._check)

    def data_received(self, data: bytes) -> None:
        """Note what came."""
        now = self.loop.time()
        if self._head_since is None and self.conn.their_state is h11.IDLE:
            self._head_since = now
        was_body = self.conn.their_state is h11.SEND_BODY
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._head_since = None
        if self.conn.their_state is h11.SEND_BODY and not was_body:
            self._window_since, self._window_bytes = now, 0
        self._window_bytes += len(data)

    def on_response_complete(self) -> None:
        """Between two requests only uvicorn's own, shorter time runs."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._head_since = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting."""
        self._look.cancel()
        super().connection_lost(exc)

    def _check(self) -> None:
        now = self.loop.time()
        if self._has_no_head(now) or self._trickles(now) or self._is_not_taken(now):
            self.transport.abort()
            return
        self._look = self.loop.call_later(LOOK_S, self._check)

    def _has_no_head(self, now: float) -> bool:
        return self._head_since is not None and now - self._head_since > HEAD_S

    def _trickles(self, now: float) -> bool:
        if self.conn.their_state is not h11.SEND_BODY or self.flow.read_paused:
            self._window_since, self._window_bytes = now, 0
            return False
        if now - self._window_since < WINDOW_S:
            return False
        came, self._window_since, self._window_bytes = self._window_bytes, now, 0
        return came < LEAST_BYTES

    def _is_not_taken(self, now: float) -> bool:
        size = self.transport.get_write_buffer_size()
        if size == 0 or size != self._unsent or self._unsent_since is None:
            self._unsent, self._unsent_since = size, now
            return False
        return now - self._unsent_since > STALL_S
