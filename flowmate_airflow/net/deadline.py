"""A limit on the whole of a request. Timeouts of sockets limit a single piece, of which a slow sender has many."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType


class Deadline:
    """Cuts the connections that it watches when its time is over; whoever reads from one then sees its end.

    :param seconds: from its beginning as a context
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.is_over = False
        self._watched: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def watch(self, connection: socket.socket) -> None:
        """Watch a connection: a duplicate of its socket, as TLS takes the socket itself out of our hands."""
        twin = connection.dup()
        with self._lock:
            self._watched.append(twin)
            if self.is_over:
                _end(twin)

    def _cut(self) -> None:
        with self._lock:
            self.is_over = True
            for twin in self._watched:
                _end(twin)

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for twin in self._watched:
                twin.close()
            self._watched.clear()


def _end(twin: socket.socket) -> None:
    with suppress(OSError):  # the other side was faster
        twin.shutdown(socket.SHUT_RDWR)
