"""The socket through which a container is fed and read."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

from flowmate_airflow.runtimes.base import RuntimeFailure

if TYPE_CHECKING:
    from docker import APIClient

_CHUNK = 256 * 1024
_CLOSE_TIMEOUT = 10.0


class Connection:
    """stdin, stdout and stderr of one container that is not started yet.

    One socket carries all three, and half of it is closed when the input ends. TLS knows no half-closed
    connection (in Python it would end both halves), and two threads must not use one TLS connection; so
    there stdin has a connection of its own.
    """

    def __init__(self, client: APIClient, container: str) -> None:
        url = str(client.base_url)
        if url.startswith(("http+docker://ssh", "http+docker://localnpipe")):
            raise RuntimeFailure(
                "FlowMate reaches a container engine by unix:// or tcp:// only; for an engine behind ssh "
                "forward its socket (ssh -L /tmp/docker.sock:/var/run/docker.sock HOST) and set DOCKER_HOST to that",
                retry=False,
            )
        # The objects of the HTTP library stay referenced: it closes the sockets when they are collected.
        self._held: list[Any] = []
        if url.startswith("https://"):
            self._stdin = self._attach(client, container, "stdin")
            self._output = self._attach(client, container, "stdout", "stderr")
        else:
            self._stdin = self._output = self._attach(client, container, "stdin", "stdout", "stderr")

    def receive(self) -> bytes:
        """Return what has come in, or nothing when the container's output has ended."""
        return self._output.recv(_CHUNK)

    def send(self, data: bytes) -> None:
        """Write all of `data` to stdin, waiting while the component is busy."""
        self._stdin.sendall(data)

    def close_stdin(self) -> None:
        """Tell the component that its input has ended."""
        with contextlib.suppress(OSError):  # the other side may be gone already
            if isinstance(self._stdin, ssl.SSLSocket):
                self._stdin.settimeout(_CLOSE_TIMEOUT)
                self._stdin.unwrap().close()
            else:
                self._stdin.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """End both directions, so that threads waiting in them go on. Safe twice."""
        for each in (self._stdin, self._output):
            # Not SSLSocket.shutdown: it would take the TLS session away from under the thread that waits in
            # it.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the sockets back, after :meth:`abort`, when no thread uses them any more."""
        for each in self._held:
            with contextlib.suppress(OSError):
                each.close()

    def _attach(self, client: APIClient, container: str, *streams: str) -> socket.socket:
        held = client.attach_socket(container, {**dict.fromkeys(streams, 1), "stream": 1})
        connected = getattr(held, "_sock", held)
        self._held += [held, connected]
        # The client's timeout is for API calls; a component may be silent for hours.
        connected.settimeout(None)
        if connected.family != socket.AF_UNIX:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        result: socket.socket = connected
        return result
