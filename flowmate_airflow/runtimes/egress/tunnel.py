"""Many connections over one pair of pipes, and the end of it that runs in the container.

A container without network reaches the worker only by the standard streams of a helper beside it, which shares its
loopback interface. The helper is this very file, run by `python3 -c`: so nothing but the standard library is imported,
and nothing that Python 3.9 lacks is used. The worker trusts it no more than the component.

Both directions are a row of frames: the connection's number, what it is, and a length, then so many bytes. Each side
sends of one connection no more than :data:`WINDOW` bytes that the other has not yet taken: one that nobody reads
neither fills the memory nor keeps the others waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

WINDOW = 256 * 1024
CHUNK = 64 * 1024
"""The longest payload."""
HEADER = struct.Struct(">IBI")
OPEN, DATA, END, RESET, CREDIT = range(5)
"""A connection begins (with what it is for), goes on, has no more in this direction, broke; bytes were taken."""
MAX_TARGET = 300
READY = b"ready\n"
"""The first that the helper writes: it listens."""

Send = Callable[[bytes], Awaitable[None]]


class TunnelError(Exception):
    """The other side does not keep to the rules."""


class Channel:
    """One of the connections, at one of its ends."""

    def __init__(self, tunnel: Tunnel, number: int, target: bytes) -> None:
        self.target = target
        self._tunnel = tunnel
        self._number = number
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._credit = WINDOW
        self._changed = asyncio.Event()
        self._ended = self._broken = self._sent_end = False

    async def read(self) -> bytes:
        """Return what has come next; nothing when that was all.

        :raises ConnectionResetError: it broke
        """
        while not self._chunks:
            if self._broken:
                raise ConnectionResetError("the other side broke the connection")
            if self._ended:
                return b""
            await self._wait()
        chunk = self._chunks.popleft()
        self._held -= len(chunk)
        if not (self._ended or self._broken):
            await self._tunnel.send(self._number, CREDIT, struct.pack(">I", len(chunk)))
        return chunk

    async def write(self, data: bytes) -> None:
        """Send, as soon as the other side has room.

        :raises ConnectionResetError: it broke
        """
        view = memoryview(data)
        while view:
            while not self._credit and not self._broken:
                await self._wait()
            if self._broken:
                raise ConnectionResetError("the other side broke the connection")
            size = min(len(view), self._credit, CHUNK)
            self._credit -= size
            await self._tunnel.send(self._number, DATA, bytes(view[:size]))
            view = view[size:]

    async def end(self) -> None:
        """Say that there is no more to come from this side. Safe twice."""
        if not (self._sent_end or self._broken):
            self._sent_end = True
            await self._tunnel.send(self._number, END)

    async def close(self) -> None:
        """Forget it; to the other side it breaks, unless both have ended."""
        if self._tunnel.forget(self._number) and not (self._broken or (self._sent_end and self._ended)):
            with contextlib.suppress(OSError):
                await self._tunnel.send(self._number, RESET)
        self.break_off()

    def take(self, kind: int, payload: bytes) -> None:
        """Take a frame of this connection.

        :raises TunnelError: it comes where it must not
        """
        if kind == CREDIT:
            if len(payload) != 4:
                raise TunnelError("a credit without a number")
            self._credit += struct.unpack(">I", payload)[0]
            if self._credit > WINDOW:
                raise TunnelError("more was taken than sent")
        elif kind == RESET:
            self._broken = True
        elif self._ended:
            raise TunnelError("more after the end")
        elif kind == END:
            self._ended = True
        else:
            self._held += len(payload)
            if self._held > WINDOW:
                raise TunnelError("more was sent than there is room for")
            if payload:
                self._chunks.append(payload)
        self._changed.set()

    def break_off(self) -> None:
        """Let all that waits go on, and fail."""
        self._broken = True
        self._chunks.clear()
        self._changed.set()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class Tunnel:
    """All connections, at one end.

    :param write: writes to the other side, all of it
    :param opened: is told each connection that the other side opens; None: it must open none
    :param limit: of connections at once; more are broken off
    """

    def __init__(self, write: Send, opened: Callable[[Channel], None] | None, limit: int) -> None:
        self._write = write
        self._opened = opened
        self._limit = limit
        self._channels: dict[int, Channel] = {}
        self._last = 0
        self._buffer = bytearray()

    async def open(self, target: bytes) -> Channel:
        """Open a connection; it is broken at once where there are too many.

        :param target: what it is for
        """
        self._last += 1
        channel = self._channels[self._last] = Channel(self, self._last, target)
        await self.send(self._last, OPEN, target)
        return channel

    async def send(self, number: int, kind: int, payload: bytes = b"") -> None:
        """Send a frame."""
        await self._write(HEADER.pack(number, kind, len(payload)) + payload)

    async def feed(self, data: bytes) -> None:
        """Take what has come from the other side.

        :raises TunnelError: it is no row of frames
        """
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            number, kind, size = HEADER.unpack_from(self._buffer)
            if kind > CREDIT or size > CHUNK:
                raise TunnelError("no frame")
            end = HEADER.size + size
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[HEADER.size : end])
            del self._buffer[:end]
            if kind == OPEN:
                await self._begin(number, payload)
            elif number in self._channels:  # else this side has closed it, and the other does not know it yet
                self._channels[number].take(kind, payload)

    def forget(self, number: int) -> bool:
        """Forget a connection, and return whether it was known."""
        return self._channels.pop(number, None) is not None

    def close(self) -> None:
        """Break all connections off."""
        for channel in self._channels.values():
            channel.break_off()

    async def _begin(self, number: int, target: bytes) -> None:
        if self._opened is None or number <= self._last or len(target) > MAX_TARGET:
            raise TunnelError("a connection that cannot be")
        self._last = number
        if len(self._channels) >= self._limit:
            await self.send(number, RESET)
            return
        channel = self._channels[number] = Channel(self, number, target)
        self._opened(channel)


async def relay(channel: Channel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on in both directions until both have ended, or one breaks.

    :raises OSError: it broke
    """

    async def outwards() -> None:
        while True:
            data = await channel.read()
            if not data:
                break
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):  # it may be gone, which is no matter: nothing is lost
            writer.write_eof()

    async def inwards() -> None:
        while True:
            data = await reader.read(CHUNK)
            if not data:
                break
            await channel.write(data)
        await channel.end()

    both = [asyncio.ensure_future(outwards()), asyncio.ensure_future(inwards())]
    try:
        await asyncio.gather(*both)
    finally:
        for each in both:
            each.cancel()
        await asyncio.gather(*both, return_exceptions=True)


# --- in the container


async def _serve(listens: Any) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=WINDOW)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(1, "wb", 0))
    out = asyncio.StreamWriter(transport, protocol, None, loop)

    async def write(data: bytes) -> None:
        out.write(data)
        await out.drain()

    tunnel = Tunnel(write, None, 0)

    def accepting(target: bytes) -> Any:
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            channel = await tunnel.open(target)
            try:
                await relay(channel, reader, writer)
            except OSError:
                writer.transport.abort()
            finally:
                await channel.close()
                writer.close()

        return accepted

    for address, port, target in listens:
        await asyncio.start_server(accepting(target.encode()), address, port, limit=CHUNK)
    await write(READY)
    while True:
        data = await reader.read(CHUNK)
        if not data:
            return  # the worker is gone, or done
        await tunnel.feed(data)


def main() -> None:
    """Listen where the argument says, a JSON list of [address, port, target], until stdin ends."""
    asyncio.run(_serve(json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
