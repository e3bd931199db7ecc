"""The thread that writes a component's stdin while its output is being read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable


class Feeder:
    """Write the lines of an iterable, one after the other, then close.

    The writes block while the component is busy, so no more than one line of the feed is in memory.

    :param feed: the lines
    :param write: write all of a line, blocking; an OSError means that the component reads no more
    :param close: tell the component that its input has ended; called once, by whoever ends the feeding
    :param failed: called from the thread when `feed` raised; it must make the reader of the output come to
        an end
    """

    def __init__(
        self,
        feed: Iterable[bytes],
        *,
        write: Callable[[bytes], object],
        close: Callable[[], None],
        failed: Callable[[], None],
    ) -> None:
        self._feed = feed
        self._write = write
        self._close = close
        self._failed = failed
        self._closing = threading.Event()
        self._writing = threading.Lock()
        self._closed = False
        self.error: BaseException | None = None
        """What `feed` raised."""
        self._thread = threading.Thread(target=self._run, name="flowmate-feeder", daemon=True)

    def start(self) -> None:
        """Start feeding."""
        self._thread.start()

    def stop(self) -> None:
        """Close stdin after the line being written, at once if the feed is waiting for its next line."""
        self._closing.set()
        # When the lock is taken, the thread is in the middle of a line; it sees the event right after it.
        if self._writing.acquire(blocking=False):
            try:
                self._close_once()
            finally:
                self._writing.release()

    def join(self, timeout: float) -> bool:
        """Wait until the thread has ended; return whether it has.

        It can't be made to end while `feed` itself is waiting for something.
        """
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        lines: Iterable[bytes] = ()
        try:
            lines = iter(self._feed)
            for line in lines:
                if not self._write_line(line):
                    break
            with self._writing:
                self._close_once()
        except BaseException as error:
            self.error = error
            self._failed()
        finally:
            # A generator left in the middle has files to close, and only this thread may do it.
            getattr(lines, "close", lambda: None)()

    def _write_line(self, line: bytes) -> bool:
        with self._writing:
            if self._closing.is_set():
                return False
            try:
                self._write(line)
            except OSError:
                # It closed its stdin, or has ended: its exit code says whether that is a failure.
                return False
            return not self._closing.is_set()

    def _close_once(self) -> None:
        if not self._closed:
            self._closed = True
            self._close()
