"""Lines out of chunks of bytes, in bounded memory, for every runtime."""

from __future__ import annotations

from collections.abc import Iterator

from flowmate_airflow.runtimes.base import Limits, OutputLimitExceeded, Stream


class LineSplitter:
    """Cut a stream into lines; how it was chunked makes no difference to them.

    :param limit: the longest line, in bytes, without its newline
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # A bytearray, not a list of pieces: a component that writes single bytes would cost 40 of ours for
        # each.
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that `chunk` completes.

        :raises OutputLimitExceeded: a line is too long, ended or not
        """
        first, *others = chunk.split(b"\n")
        if not others:
            self._keep(first)
            return
        if self._rest:
            self._keep(first)
            first = bytes(self._rest)
        last = others.pop()
        self._check(len(first))
        yield first
        if len(chunk) <= self._limit:
            yield from others
        else:
            for line in others:
                self._check(len(line))
                yield line
        self._rest = bytearray()
        self._keep(last)

    def finish(self) -> Iterator[bytes]:
        """Yield the last line, when it has no newline."""
        if self._rest:
            yield bytes(self._rest)
            self._rest = bytearray()

    def _keep(self, piece: bytes) -> None:
        self._check(len(self._rest) + len(piece))
        self._rest += piece

    def _check(self, length: int) -> None:
        if length > self._limit:
            raise OutputLimitExceeded(
                f"the component wrote a line of more than {show_size(self._limit)}; one message must fit in "
                "a line: make its messages smaller or raise `limits.message` in the connector's manifest"
            )


class LogSplitter:
    """Cut log text into lines, shorten long ones, and drop (and count) what comes after `total` bytes."""

    def __init__(self, line: int, total: int) -> None:
        self._limit = line
        self._left = total
        self._rest = bytearray()
        self._cut = 0
        self._dropped = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that `chunk` completes."""
        if len(chunk) > self._left:
            self._dropped += len(chunk) - self._left
            chunk = chunk[: self._left]
        self._left -= len(chunk)
        first, *others = chunk.split(b"\n")
        self._keep(first)
        for piece in others:
            yield self._take()
            self._keep(piece)

    def finish(self) -> Iterator[bytes]:
        """Yield the last line, when it has no newline, and a line that says how much was dropped."""
        if self._rest:
            yield self._take()
        if self._dropped:
            yield b"(%d more bytes of the component's log were dropped)" % self._dropped

    def _keep(self, piece: bytes) -> None:
        room = self._limit - len(self._rest)
        self._rest += piece[:room]
        self._cut += max(0, len(piece) - room)

    def _take(self) -> bytes:
        note = b" (%d more bytes)" % self._cut if self._cut else b""
        line = bytes(self._rest) + note
        self._rest, self._cut = bytearray(), 0
        return line


class Output:
    """Both streams of one component, within its limits."""

    def __init__(self, limits: Limits) -> None:
        self._limit = self._left = limits.output
        self._stdout = LineSplitter(limits.line)
        self._stderr = LogSplitter(limits.log_line, limits.log)

    def feed(self, stream: Stream, chunk: bytes) -> Iterator[tuple[Stream, bytes]]:
        """Yield the lines that `chunk` completes.

        :raises OutputLimitExceeded: a stdout line or all of stdout is over its limit
        """
        if stream == "stderr":
            for line in self._stderr.feed(chunk):
                yield stream, line
            return
        self._left -= len(chunk)
        for line in self._stdout.feed(chunk if self._left >= 0 else chunk[: self._left]):
            yield stream, line
        if self._left < 0:
            raise OutputLimitExceeded(
                f"the component wrote more than {show_size(self._limit)} in all, which is its limit; "
                "let it read less at a time"
            )

    def finish(self) -> Iterator[tuple[Stream, bytes]]:
        """Yield what is left when both streams have ended."""
        for line in self._stdout.finish():
            yield "stdout", line
        for line in self._stderr.finish():
            yield "stderr", line


def lingering(limits: Limits) -> str:
    """Return why a component was stopped that did not end by itself."""
    return f"its output ended but it went on for {limits.linger:g} seconds, so it was stopped"


def show_size(size: int) -> str:
    """Return a size in bytes as people write it: `512m`, `1.5g`, `100 bytes`."""
    for unit, letter in ((1024**3, "g"), (1024**2, "m"), (1024, "k")):
        if size >= unit:
            return f"{size / unit:.4g}{letter}"
    return f"{size} bytes"
