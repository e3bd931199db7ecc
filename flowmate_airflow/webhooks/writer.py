"""Writing deliveries: many requests, one commit.

Requests hand over what they bring and wait. One thread takes all that waits and commits it in one transaction, and only
then are the requests answered. While it commits the next ones gather, so that groups grow with the load by themselves.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.values import MIB
from flowmate_airflow.webhooks.limits import Buckets

if TYPE_CHECKING:
    from flowmate_airflow.store.deliveries import NewDelivery, Stored

log = logging.getLogger(__name__)

GROUP = 500
"""Deliveries of one commit."""
GROUP_BYTES = 8 * MIB
MAX_WAITING = 5000
"""Deliveries that wait at most."""
MAX_WAITING_BYTES = 64 * MIB
PATIENCE = 15.0
"""Seconds that a request waits for its commit: no sender waits much longer."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""Seconds that a store which has failed is left alone, doubled each time."""
LOGS_A_MINUTE = 20


class StoreDown(Exception):
    """The deliveries are not stored, or nobody knows yet.

    :param retry_after: seconds after which another try makes sense
    :param is_theirs: whether the store takes others, so that their endpoint's owner has to do something
    """

    def __init__(self, reason: str, retry_after: float = 1.0, *, is_theirs: bool = False) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.is_theirs = is_theirs


@dataclass(slots=True)
class _Parcel:
    """What one request brings: stored wholly or not at all."""

    deliveries: Sequence[NewDelivery]
    size: int
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[list[Stored]] = field(repr=False)


class Writer:
    """The one thread that writes deliveries, and the queue before it.

    :param insert: stores deliveries in one transaction and returns what became of each, in order; called in the thread
    """

    def __init__(self, insert: Callable[[Sequence[NewDelivery]], list[Stored]], *, patience: float = PATIENCE) -> None:
        self._insert = insert
        self._patience = patience
        self._queue: SimpleQueue[_Parcel | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._is_closed = False
        self._waiting = self._waiting_bytes = 0
        self._down_until = 0.0
        self._pause = FIRST_PAUSE
        self._logs = Buckets()

    async def put(self, deliveries: Sequence[NewDelivery]) -> list[Stored]:
        """Store deliveries, and return when they are committed.

        :raises StoreDown: they are not stored; or the commit takes too long, and another try will find them there
        """
        self._check_room()
        loop = asyncio.get_running_loop()
        parcel = _Parcel(deliveries, sum(len(each.payload) for each in deliveries), loop, loop.create_future())
        self._waiting += len(deliveries)
        self._waiting_bytes += parcel.size
        timer = loop.call_later(self._patience, _give_up, parcel.done)
        self._queue.put(parcel)
        if self._thread is None:
            self._start()
        try:
            return await parcel.done
        finally:
            timer.cancel()
            self._waiting -= len(deliveries)
            self._waiting_bytes -= parcel.size

    async def close(self) -> None:
        """Wait until all that was handed over is stored, and end the thread."""
        self._is_closed = True
        self._queue.put(None)
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _check_room(self) -> None:
        if self._is_closed:
            raise StoreDown("the receiver is ending")
        left = self._down_until - time.monotonic()
        if left > 0:
            raise StoreDown("the store has failed", left)
        if self._waiting >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES:
            raise StoreDown("too many deliveries wait for the store")

    def _start(self) -> None:
        # A daemon: when the process ends without `close`, nothing that waits was acknowledged.
        self._thread = Thread(target=self._run, name="flowmate-webhooks-writer", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            parcel = self._queue.get()
            if parcel is None:
                return
            group, is_last = self._gather(parcel)
            if group:
                self._commit(group)
            if is_last:
                return

    def _gather(self, first: _Parcel) -> tuple[list[_Parcel], bool]:
        """Return what waits, up to a group, and whether it is the last."""
        group: list[_Parcel] = []
        count = size = 0
        parcel: _Parcel | None = first
        while parcel is not None:
            if not parcel.done.done():  # it has not been given up
                group.append(parcel)
                count += len(parcel.deliveries)
                size += parcel.size
            if count >= GROUP or size >= GROUP_BYTES:
                return group, False
            try:
                parcel = self._queue.get_nowait()
            except Empty:
                return group, False
        return group, True

    def _commit(self, group: list[_Parcel]) -> None:
        try:
            stored = self._insert([delivery for parcel in group for delivery in parcel.deliveries])
        except StoreError as error:
            self._fail(group, error)
            return
        except Exception as error:
            # What it says may repeat what is in a delivery.
            self._fail(group, StoreError(f"storing deliveries failed: {type(error).__name__}"))
            return
        self._down_until, self._pause = 0.0, FIRST_PAUSE
        _answer(_split(group, stored))

    def _fail(self, group: list[_Parcel], error: StoreError) -> None:
        if not error.transient and len(group) > 1:  # one of them cannot be stored: the others do not suffer for it
            middle = len(group) // 2
            self._commit(group[:middle])
            self._commit(group[middle:])
            return
        if not self._logs.take("error", LOGS_A_MINUTE):
            log.error("deliveries of webhooks are not stored, their senders will try again: %s", error)
        down = StoreDown(str(error), self._pause, is_theirs=not error.transient)
        if error.transient:
            self._down_until = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            group = [*group, *self._drained()]
        _answer([(parcel, down) for parcel in group])

    def _drained(self) -> list[_Parcel]:
        """Return all that waits: a database that is down is not asked again for each of them."""
        found: list[_Parcel] = []
        while True:
            try:
                parcel = self._queue.get_nowait()
            except Empty:
                return found
            if parcel is None:
                self._queue.put(None)
                return found
            found.append(parcel)


def _give_up(done: asyncio.Future[list[Stored]]) -> None:
    if not done.done():
        done.set_exception(StoreDown("the store takes too long"))


def _split(group: list[_Parcel], stored: list[Stored]) -> list[tuple[_Parcel, list[Stored] | StoreDown]]:
    """Return what became of each parcel."""
    answers: list[tuple[_Parcel, list[Stored] | StoreDown]] = []
    place = 0
    for parcel in group:
        end = place + len(parcel.deliveries)
        answers.append((parcel, stored[place:end]))
        place = end
    return answers


def _answer(answers: list[tuple[_Parcel, list[Stored] | StoreDown]]) -> None:
    """Wake those that wait, with one call into each loop."""
    for loop in {parcel.loop for parcel, _ in answers}:
        mine = [answer for answer in answers if answer[0].loop is loop]
        with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            loop.call_soon_threadsafe(_wake, mine)


def _wake(answers: list[tuple[_Parcel, list[Stored] | StoreDown]]) -> None:
    for parcel, outcome in answers:
        if parcel.done.done():
            continue
        if isinstance(outcome, StoreDown):
            parcel.done.set_exception(outcome)
        else:
            parcel.done.set_result(outcome)
