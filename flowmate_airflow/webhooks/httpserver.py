"""uvicorn's HTTP with bounds that it lacks: how large the head of a request may be, and how long it may take."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_HEAD = 128 * 1024
"""Bytes of a request before its body; the receiver has a smaller bound, and answers those above it."""
HEAD_SECONDS = 30.0


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _head = 0
    _is_in_head = True
    _heads = 0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """See :class:`asyncio.Protocol`."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        if self._is_in_head and self._timer is None:
            self._await_head()
        was_in_head, heads = self._is_in_head, self._heads
        super().data_received(data)
        if was_in_head and self._is_in_head and self._heads == heads:  # all of it was of one head
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._refuse(431)

    def on_headers_complete(self) -> None:
        """The parser has found the head's end."""
        self._is_in_head = False
        self._head = 0
        self._heads += 1
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The parser has found the request's end."""
        super().on_message_complete()
        self._is_in_head = True

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(HEAD_SECONDS, self._refuse, 408)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()
