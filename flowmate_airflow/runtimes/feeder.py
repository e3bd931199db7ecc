"""The threads that write a component's stdin while its output is being read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

_AHEAD = 256 * 1024


class Feeder:
    """Write the lines of an iterable, one after the other, then close, at once or when told to.

    One thread takes lines from the feed, another writes those that are there: a quick feed is written in
    large blocks (a system call for each line costs six times as much), and no line of a slow one waits.
    While the component is busy the feed has to wait, so that only a few lines of it are in memory.

    :param feed: the lines
    :param write: write all of a block, blocking; an OSError means that the component reads no more
    :param close: tell the component that its input has ended; called once
    :param failed: called when `feed` raised; it must make the reader of the output come to an end
    :param keep: leave stdin open when the feed has ended, for lines of :meth:`send`, until :meth:`finish`
    """

    def __init__(
        self,
        feed: Iterable[bytes],
        *,
        write: Callable[[bytes], object],
        close: Callable[[], object],
        failed: Callable[[], object],
        keep: bool = False,
    ) -> None:
        self._feed = feed
        self._keep = keep
        self._write = write
        self._close = close
        self._failed = failed
        self._changed = threading.Condition()
        self._pending: list[bytes] = []
        self._size = 0
        self._complete = False
        self._stopped = False
        self.error: BaseException | None = None
        """What `feed` raised."""
        self._threads = [
            threading.Thread(target=self._pull, name="flowmate-feed", daemon=True),
            threading.Thread(target=self._push, name="flowmate-stdin", daemon=True),
        ]

    def start(self) -> None:
        """Start feeding."""
        for thread in self._threads:
            thread.start()

    def send(self, line: bytes) -> None:
        """Write a line that is not of the feed, before all that is not being written yet; nothing after the end."""
        with self._changed:
            self._pending.insert(0, line)
            self._size += len(line)
            self._changed.notify_all()

    def finish(self) -> None:
        """Close stdin when the feed has ended, if it was to be kept open."""
        with self._changed:
            self._keep = False
            self._changed.notify_all()

    def stop(self) -> None:
        """Close stdin after what is being written, even if the feed is waiting for its next line."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def join(self, timeout: float) -> bool:
        """Stop, wait until the threads have ended, and return whether they have.

        Nothing can end them while `feed` itself is waiting for something.
        """
        self.stop()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(timeout)
        return not any(thread.is_alive() for thread in self._threads)

    def _pull(self) -> None:
        lines: Iterable[bytes] = ()
        try:
            lines = iter(self._feed)
            for line in lines:
                if not self._offer(line):
                    break
        except BaseException as error:
            self.error = error
            # Before stdin is closed: the component must not take half of its input for all of it.
            self._failed()
            self.stop()
        finally:
            # A generator left in the middle has files to close, and only this thread may do it.
            getattr(lines, "close", lambda: None)()
            with self._changed:
                self._complete = True
                self._changed.notify_all()

    def _offer(self, line: bytes) -> bool:
        with self._changed:
            while self._size >= _AHEAD and not self._stopped:
                self._changed.wait()
            if not self._size:  # else the writer has not taken what is there, and is not waiting
                self._changed.notify_all()
            self._pending.append(line)
            self._size += len(line)
            return not self._stopped

    def _push(self) -> None:
        try:
            while block := self._take():
                self._write(block)
        except OSError:
            # It closed its stdin, or has ended: its exit code says whether that is a failure.
            self.stop()
        finally:
            self._close()

    def _take(self) -> bytes:
        """Return what is to be written next; nothing when that was all."""
        with self._changed:
            while not (self._size or self._stopped or (self._complete and not self._keep)):
                self._changed.wait()
            if self._stopped:
                return b""
            block = b"".join(self._pending)
            self._pending.clear()
            self._size = 0
            self._changed.notify_all()
            return block
