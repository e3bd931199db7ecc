"""Work that somebody hands in who must not wait for it: the scheduler, or a request."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from flowmate_airflow.store.errors import StoreError

log = logging.getLogger(__name__)

T = TypeVar("T")
LIMIT = 1000
"""Items that wait; beyond it the oldest is dropped."""
TRIES = 3
"""Of an item whose work fails for another reason than a store that does not answer."""
_WAITS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between two tries; the last counts for all that follow."""


class Backlog(Generic[T]):
    """Does work in a thread of its own, which is there only while there is work.

    A scheduler forks its workers, and a thread that always ran would be one more that a fork could interrupt. Nobody
    who hands work in ever waits for it: when it hangs, what comes later waits in memory, and at last the oldest is
    dropped. What cannot be done because the store does not answer is tried until it does.

    :param work: done for each item, in order
    :param name: of the work, for logs
    :param wait: waits some seconds before another try
    """

    def __init__(
        self,
        work: Callable[[T], object],
        name: str,
        *,
        limit: int = LIMIT,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self._work = work
        self._name = name
        self._limit = limit
        self._wait = wait
        self._begin()
        atexit.register(self.flush, 3.0)
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        # In a child of this process, too, whose parent does the work that waits, and may hold the lock just now.
        self._changed = threading.Condition()
        self._items: deque[T] = deque()
        self._is_working = False

    def put(self, item: T) -> None:
        """Hand in an item; returns at once."""
        with self._changed:
            if len(self._items) >= self._limit:
                log.error("%s: %d wait, as the work hangs; the oldest is dropped", self._name, self._limit)
                self._items.popleft()
            self._items.append(item)
            if not self._is_working:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                thread.start()
                self._is_working = True

    def flush(self, seconds: float) -> bool:
        """Wait until all is done; False when it was not within some seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._is_working, seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._items:
                    self._is_working = False
                    self._changed.notify_all()
                    return
                item = self._items.popleft()
            self._do(item)

    def _do(self, item: T) -> None:
        tries = 0
        while True:
            try:
                self._work(item)
            except Exception as error:
                tries += 1
                is_transient = isinstance(error, StoreError) and error.transient
                if not is_transient and tries >= TRIES:
                    log.error("%s: given up: %s", self._name, _reason(error))
                    return
                seconds = _WAITS[min(tries, len(_WAITS)) - 1]
                log.warning("%s: tried again in %d s: %s", self._name, seconds, _reason(error))
                self._wait(seconds)
            else:
                return


def _reason(error: Exception) -> str:
    # Whatever else is raised may hold a secret in its text.
    return str(error) if isinstance(error, StoreError | ValueError) else type(error).__name__
