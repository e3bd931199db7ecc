"""Looks into the store, shared by all triggers of a process: however many wait, it is asked a few times a second."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeAlias, TypeVar

from flowmate_airflow.store.claims import Owner, owners
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.store import open_store
from flowmate_airflow.store.waiting import Waiting, waiting

log = logging.getLogger(__name__)
T = TypeVar("T")

POLL = 0.2
"""Seconds between two looks into the store."""
POLL_BROKEN = 5.0
"""Seconds until it is tried again when the store does not answer."""
SETTLE = 2.0
"""Seconds between two looks at what became of the runs that took events."""
REST = 3.0
"""Seconds that a deferred task rests before it may be woken: see :func:`rest`."""
SELDOM = 60.0
"""Seconds in which a warning is not repeated."""
_MAX_WARNINGS = 1000

Seen: TypeAlias = Mapping[str, Mapping[str, Waiting]]
"""What waits, by endpoint and tenant."""


async def rest() -> None:
    """Wait until the scheduler has heard that the process which deferred is over.

    Where the task is queued or runs again by then, Airflow (3.3.2, `SchedulerJobRunner.process_executor_events`) takes
    the old process's end for that of the new one, and lets the task fail.
    """
    await asyncio.sleep(REST)


class Looking(Generic[T]):
    """Looks into the store when somebody asks, and not again for some time.

    Whatever goes wrong is told and tried again: an exception would end the triggers, and with them the flows.

    :param look: asks the store; called in a thread
    :param seconds: how old its answer may be
    :param nothing: what is known before the first look
    :param forgets: whether nothing is known while the store does not answer; else it is what was seen last
    """

    def __init__(self, look: Callable[[], T], seconds: float, nothing: T, *, forgets: bool = False) -> None:
        self._ask = look
        self._seconds = seconds
        self._nothing = self._seen = nothing
        self._forgets = forgets
        self._until = 0.0
        self._busy: asyncio.Future[None] | None = None

    async def seen(self) -> T:
        """Return what there is."""
        if self._busy is None and time.monotonic() >= self._until:
            self._busy = asyncio.ensure_future(self._look())
            self._busy.add_done_callback(self._is_done)
        if self._busy is not None:
            await asyncio.shield(self._busy)
        return self._seen

    async def _look(self) -> None:
        try:
            self._seen = await asyncio.to_thread(self._ask)
            self._until = time.monotonic() + self._seconds
        except Exception as error:
            warn("Webhooks wait until the store can be read again", error)
            self._seen = self._nothing if self._forgets else self._seen
            self._until = time.monotonic() + POLL_BROKEN

    def _is_done(self, _: object) -> None:
        self._busy = None


def warn(text: str, error: Exception) -> None:
    """Warn of an error, but not again and again."""
    # What others than the store raise could repeat a password.
    reason = str(error) if isinstance(error, StoreError) else type(error).__name__
    key, moment = f"{text}: {reason}", time.monotonic()
    if moment < _warned.get(key, 0.0):
        return
    if len(_warned) >= _MAX_WARNINGS:
        _warned.clear()
    _warned[key] = moment + SELDOM
    log.warning("%s: %s", text, reason)


_warned: dict[str, float] = {}
"""Until when a warning is not repeated."""


def _waiting() -> Seen:
    found: dict[str, dict[str, Waiting]] = {}
    for each in waiting(open_store()):
        found.setdefault(each.endpoint, {})[each.tenant] = each
    return found


def _owners() -> Mapping[str, list[Owner]]:
    return owners(open_store())


waiting_events: Looking[Seen] = Looking(_waiting, POLL / 2, {})
taken_events: Looking[Mapping[str, list[Owner]]] = Looking(_owners, SETTLE / 2, {}, forgets=True)
