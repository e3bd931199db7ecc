"""Reading a request: bounded in bytes, headers and time."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from flowmate_airflow.store.values import MIB
from flowmate_airflow.webhooks.answers import Receive, Refused, Scope, explained, later
from flowmate_airflow.webhooks.bodies import BodyError, check_encoding

Headers = tuple[tuple[str, str], ...]

_TELLING = re.compile(
    r"content-(type|length|encoding)|authorization|.*(signature|token|hmac|secret|timestamp).*|(webhook|svix|ce)-.*"
)
"""Headers that decide something: two of them would let somebody choose which one is checked."""
_SMALL = 16 * 1024
"""Bytes of a body for which there is always room."""
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a request may take up.

    :param header_bytes: of all headers together
    :param headers: how many there may be
    :param seconds: until a request has come wholly
    :param bytes_at_once: of all bodies that are being read
    :param requests_at_once: that are being dealt with
    """

    header_bytes: int = 64 * 1024
    headers: int = 100
    seconds: float = 30.0
    bytes_at_once: int = 256 * MIB
    requests_at_once: int = 4096


class Gone(Exception):
    """The sender has gone away; nobody is there to be answered."""


def read_headers(scope: Scope, bounds: Bounds) -> Headers:
    """Return a request's headers, names in lower case.

    :raises Refused: there are too many, or one that decides something is there twice
    """
    raw = scope["headers"]
    if len(raw) > bounds.headers or sum(len(name) + len(text) for name, text in raw) > bounds.header_bytes:
        raise Refused(explained(431, "the headers are too large", closes=True))
    headers = tuple((name.decode("latin-1").lower(), text.decode("latin-1").strip()) for name, text in raw)
    names = [name for name, _ in headers]
    if len(set(names)) < len(names):
        _check_twice(names)
    return headers


def _check_twice(names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen and _TELLING.fullmatch(name):
            raise Refused(explained(400, f"the header {name[:100]} is there twice", closes=True))
        seen.add(name)


def check_size(size: int, limit: int) -> None:
    """Check the size of a body.

    :raises Refused: it is larger than the limit
    """
    if size > limit:
        raise Refused(explained(413, f"the body is larger than {limit:,} bytes", closes=True))


class Intake:
    """Reads bodies, and counts what they take up together."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._bytes = 0

    async def body(self, headers: Headers, receive: Receive, limit: int) -> bytes:
        """Return a request's body.

        :param limit: bytes that it may have
        :raises Refused: it is larger, compressed or too slow, or there is no room for it now
        :raises Gone: the sender has gone away before its end
        """
        _check_head(dict(headers), limit)
        task = asyncio.current_task()
        assert task is not None
        timer = _Timer(task)
        handle = task.get_loop().call_later(self._bounds.seconds, timer.ring)
        try:
            return await self._read(receive, limit)
        except asyncio.CancelledError:
            if not timer.silence():
                raise
            raise Refused(explained(408, "the request came too slowly", closes=True)) from None
        finally:
            handle.cancel()

    async def _read(self, receive: Receive, limit: int) -> bytes:
        chunks: list[bytes] = []
        size = 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                chunk = message.get("body", b"")
                size += len(chunk)
                self._bytes += len(chunk)
                check_size(size, limit)
                # Those who fill the room with large bodies keep out no small one.
                if self._bytes > self._bounds.bytes_at_once and size > _SMALL:
                    raise Refused(later(1, closes=True))
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        finally:
            self._bytes -= size


class _Timer:
    """Interrupts a task, and knows that it was this one that did."""

    def __init__(self, task: asyncio.Task[object]) -> None:
        self._task = task
        self._has_rung = False

    def ring(self) -> None:
        """Interrupt the task."""
        self._has_rung = True
        self._task.cancel()

    def silence(self) -> bool:
        """Return whether it has rung, so that its interruption is dealt with."""
        if self._has_rung and hasattr(self._task, "uncancel"):  # of Python 3.11
            return bool(self._task.uncancel() == 0)
        return self._has_rung


def _check_head(headers: dict[str, str], limit: int) -> None:
    try:
        check_encoding(headers.get("content-encoding"))
    except BodyError as error:
        raise Refused(explained(error.status, str(error), closes=True)) from None
    length = headers.get("content-length")
    if length is None:
        return
    if not _NUMBER.fullmatch(length):
        raise Refused(explained(400, "the header content-length is not a number", closes=True))
    check_size(int(length), limit)
