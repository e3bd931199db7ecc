"""The two pipes to the host: events out on what was stdout, lines in on what was stdin."""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import sys
import threading
import time
from typing import Any, Callable

from flowmate_connector.errors import EXIT_BROKEN_PIPE, Ended, NotJson

FLUSH_BYTES = 256 * 1024
FLUSH_SECONDS = 1.0
READ_BYTES = 256 * 1024

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def to_line(value: Any) -> bytes:
    """Return a value as one line of JSON.

    :raises NotJson: JSON has no form for it
    """
    try:
        return _encoder.encode(value).encode("utf-8") + b"\n"
    except UnicodeEncodeError:
        raise NotJson("not valid JSON: a text has half a surrogate pair, which has no UTF-8") from None
    except ValueError as error:
        hint = " (NaN or infinity)" if "Out of range" in str(error) else ""
        raise NotJson(f"not valid JSON: {error}{hint}") from None
    except RecursionError:
        raise NotJson("not valid JSON: it is nested too deeply") from None
    except TypeError as error:
        raise NotJson(f"not valid JSON: {error}") from None


class Output:
    """Writes events, many at a time.

    A thread of its own writes what has been waiting for a second, so that a slow connector's messages are
    seen while it works. Everything else is written when the buffer is full and on :meth:`flush`.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        self._pending: list[bytes] = []
        self._size = 0
        self._waiting = threading.Event()
        self._broken = False
        self._closed = False
        threading.Thread(target=self._flush_late, name="flowmate-flush", daemon=True).start()

    def send(self, event: dict[str, Any], *, now: bool = False) -> None:
        """Send one event.

        :param now: write it at once, with everything before it
        :raises NotJson: the event cannot be written as JSON; nothing of it has been sent
        :raises Ended: the host has gone
        """
        line = to_line(event)
        with self._lock:
            self._pending.append(line)
            self._size += len(line)
            if now or self._size >= FLUSH_BYTES:
                self._write()
            elif not self._waiting.is_set():
                self._waiting.set()
        if self._broken:
            raise Ended(EXIT_BROKEN_PIPE)

    def flush(self) -> None:
        """Write everything that is pending.

        :raises Ended: the host has gone
        """
        if self._pending:
            with self._lock:
                self._write()
        if self._broken:
            raise Ended(EXIT_BROKEN_PIPE)

    def close(self) -> None:
        """Write what is pending, if anybody is there to read it, and stop."""
        with self._lock:
            self._write()
            self._closed = True
        self._waiting.set()

    def _write(self) -> None:
        if not self._pending or self._broken:
            return
        view = memoryview(b"".join(self._pending))
        self._pending, self._size = [], 0
        self._waiting.clear()
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            self._broken = True

    def _flush_late(self) -> None:
        while not self._closed:
            self._waiting.wait()
            if self._closed:
                return
            time.sleep(FLUSH_SECONDS)
            with self._lock:
                self._write()


class _Source(io.RawIOBase):
    """Stdin that lets the output be written before it waits."""

    def __init__(self, fd: int, before_waiting: Callable[[], None]) -> None:
        self._fd = fd
        self._before_waiting = before_waiting

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._ready():
            self._before_waiting()
        return os.readv(self._fd, [buffer])

    def _ready(self) -> bool:
        try:
            return bool(select.select([self._fd], [], [], 0)[0])
        except (OSError, ValueError):
            return False


class Channel:
    """Both directions.

    Taking the pipes over protects them: after it, file descriptor 1 is stderr and 0 is empty, so neither a
    `print()` nor a C library nor a child process can break into the events or eat the messages.
    """

    def __init__(self, input_fd: int, output_fd: int) -> None:
        self.output = Output(output_fd)
        self._source = io.BufferedReader(_Source(input_fd, self.output.flush), READ_BYTES)

    @classmethod
    def take_over(cls) -> Channel:
        """Return the channel on this process's stdin and stdout."""
        input_fd, output_fd = os.dup(0), os.dup(1)
        sys.stdout.flush()
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        if isinstance(sys.stdout, io.TextIOWrapper):
            with contextlib.suppress(ValueError):
                sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
        return cls(input_fd, output_fd)

    def read_line(self) -> bytes:
        """Return the next line of the input as soon as it has come, nothing at its end."""
        return self._source.readline()
