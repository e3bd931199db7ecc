"""The proxy of one step: it passes on what goes to the hosts of the connector's manifest, and nothing else.

TLS is passed on as it is, so nothing but the host's name and the port is known of what it carries.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from flowmate_airflow.runtimes.base import Log
from flowmate_airflow.runtimes.egress.heads import END, MAX_HEAD, BadHead, RequestHead, answer_head, request_head
from flowmate_airflow.runtimes.egress.reaching import Unreachable, connect
from flowmate_airflow.runtimes.egress.rules import Egress, host_and_port
from flowmate_airflow.runtimes.egress.tunnel import CHUNK, Channel, relay

MAX_CONNECTIONS = 64
"""Of one step, at once."""
HEAD_SECONDS = 15.0
"""For the whole head of a request, however slowly it comes."""
ANSWER_SECONDS = 600.0
"""Until an answer over plain HTTP begins."""
MAX_TOLD = 50
"""Hosts whose refusal is told in the log."""
_MAX_INTERIM = 8
_MAX_CHUNK_LINE = 1024
_MAX_DRAINED = 1024 * 1024


class Proxy:
    """Serves the connections of one step.

    :param log: where it is told, once for each host, what is refused
    """

    def __init__(self, egress: Egress, log: Log) -> None:
        self._egress = egress
        self._log = log
        self._told: set[str] = set()

    async def serve(self, channel: Channel) -> None:
        """Serve one connection to its end. What it was opened for is `host:port`, or empty: then HTTP says it."""
        try:
            if channel.target:
                await self._pass_on(channel, channel.target.decode("ascii", "replace"))
            else:
                await self._serve_http(channel)
        except (OSError, asyncio.TimeoutError):
            pass  # one of the two is gone, which the other sees by what is closed now
        finally:
            await channel.close()

    async def _pass_on(self, channel: Channel, target: str) -> None:
        try:
            name, port = host_and_port(target)
            async with self._connected(name, port) as (reader, writer):
                await relay(channel, reader, writer)
        except (ValueError, Unreachable):
            return  # told in the log; there is no way to tell the component

    async def _serve_http(self, channel: Channel) -> None:
        incoming = _Incoming(channel)
        try:
            head = await _head(incoming)
            async with self._connected(head.name, head.port) as (reader, writer):
                if head.is_connect:
                    await channel.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    writer.write(incoming.rest())
                    await relay(channel, reader, writer)
                else:
                    await _exchange(channel, incoming, head, reader, writer)
        except Unreachable as error:
            await channel.write(_refusal(error.status, str(error)))
        await channel.end()
        await _drain(channel)

    @contextlib.asynccontextmanager
    async def _connected(
        self, name: str, port: int
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        try:
            reader, writer = await connect(self._egress, name, port)
        except Unreachable as error:
            self._tell(f"{name}:{port}", str(error))
            raise
        try:
            yield reader, writer
        except BaseException:
            writer.transport.abort()
            raise
        writer.close()

    def _tell(self, host: str, text: str) -> None:
        if host in self._told or len(self._told) > MAX_TOLD:
            return
        self._told.add(host)
        if len(self._told) > MAX_TOLD:
            text = "the connector asked for more hosts that it cannot reach; they are not listed"
        self._log.warning("%s", text)


class _Incoming:
    """What comes in a connection, with what was read too far."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._buffer = b""

    async def until(self, mark: bytes, limit: int) -> bytes:
        """Return all up to and with a mark.

        :raises BadHead: there is none within so many bytes, or the connection ended before it
        """
        while (place := self._buffer.find(mark, 0, limit)) < 0:
            if len(self._buffer) >= limit:
                raise BadHead(f"a head or line is longer than {limit:,} bytes")
            chunk = await self._channel.read()
            if not chunk:
                raise BadHead("the request ended in its middle")
            self._buffer += chunk
        found, self._buffer = self._buffer[: place + len(mark)], self._buffer[place + len(mark) :]
        return found

    async def pieces(self, size: int) -> AsyncIterator[bytes]:
        """Yield so many bytes, as they come.

        :raises ConnectionResetError: it ended before
        """
        while size:
            piece = self._buffer or await self._channel.read()
            if not piece:
                raise ConnectionResetError("the request ended in its middle")
            piece, self._buffer = piece[:size], piece[size:]
            size -= len(piece)
            yield piece

    def rest(self) -> bytes:
        """Return what was read too far."""
        found, self._buffer = self._buffer, b""
        return found


async def _head(incoming: _Incoming) -> RequestHead:
    try:
        return request_head(await asyncio.wait_for(incoming.until(END, MAX_HEAD), HEAD_SECONDS))
    except asyncio.TimeoutError:
        raise Unreachable(f"no whole request came in {HEAD_SECONDS:g} seconds", 408) from None
    except BadHead as error:
        raise Unreachable(str(error), 400) from None


async def _exchange(
    channel: Channel,
    incoming: _Incoming,
    head: RequestHead,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Pass on one request and its answer; what comes after the request is not read: it could be for another host."""
    writer.write(head.forwarded)
    sending = asyncio.ensure_future(_send_body(incoming, head, writer))
    try:
        status = 100
        for _ in range(_MAX_INTERIM):
            status, answered = await _answer_head(reader, sending, head.name)
            await channel.write(answered)
            if status >= 200:
                break
        while status >= 200 and (chunk := await reader.read(CHUNK)):
            await channel.write(chunk)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _send_body(incoming: _Incoming, head: RequestHead, writer: asyncio.StreamWriter) -> None:
    try:
        if head.body == "chunked":
            async for piece in _chunks(incoming):
                writer.write(piece)
                await writer.drain()
        else:
            async for piece in incoming.pieces(head.body):
                writer.write(piece)
                await writer.drain()
    except (BadHead, OSError):
        writer.transport.abort()  # half a request must not look like a whole one


async def _chunks(incoming: _Incoming) -> AsyncIterator[bytes]:
    """Yield a body in chunks as it is, up to its end."""
    size = -1
    while size:
        line = await incoming.until(b"\r\n", _MAX_CHUNK_LINE)
        try:
            size = _chunk_size(line)
        except ValueError:
            raise BadHead("a chunk has no size") from None
        yield line.partition(b";")[0].strip() + b"\r\n"
        async for piece in incoming.pieces(size):
            yield piece
        # No trailers are passed on: what follows the last chunk must be the end.
        if await incoming.until(b"\r\n", _MAX_CHUNK_LINE) != b"\r\n":
            raise BadHead("a chunk is longer than it says, or trailers follow")
        yield b"\r\n"


def _chunk_size(line: bytes) -> int:
    text = line.partition(b";")[0].strip(b" \t\r\n")
    if not text.isalnum() or len(text) > 15:
        raise ValueError("no size")
    return int(text, 16)


async def _answer_head(reader: asyncio.StreamReader, sending: asyncio.Future[None], name: str) -> tuple[int, bytes]:
    """Return the status and the head of the next answer, which has time from when the request was sent.

    :raises Unreachable: there was none
    """
    reading = asyncio.ensure_future(reader.readuntil(END))
    try:
        both: set[asyncio.Future[Any]] = {reading, sending}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({reading}, timeout=ANSWER_SECONDS)
        if not reading.done():
            raise Unreachable(f"{name} did not answer in {ANSWER_SECONDS:g} seconds", 504)
        return answer_head(reading.result())
    except (OSError, EOFError, BadHead, asyncio.LimitOverrunError):
        raise Unreachable(f"{name} did not answer as HTTP/1.1 wants it", 502) from None
    finally:
        reading.cancel()


def _refusal(status: int, text: str) -> bytes:
    # The sentence stands in the status line, too: of what answers CONNECT many clients show no more than that.
    body = f"{text}\n".encode("ascii", "backslashreplace")
    line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}: ".encode() + body.strip()[:400]
    fields = f"Content-Type: text/plain; charset=us-ascii\r\nContent-Length: {len(body)}\r\nConnection: close"
    return line + b"\r\n" + fields.encode() + END + body


async def _drain(channel: Channel) -> None:
    """Read what still comes: a connection that is cut meanwhile may take the answer with it."""

    async def read() -> None:
        size = 0
        while size < _MAX_DRAINED and (chunk := await channel.read()):
            size += len(chunk)

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(read(), HEAD_SECONDS)
