"""The receiver asks for a run as soon as it has stored an event: the triggerer, which looks on, needs a second or more.

Whatever is not asked for here, as when the receiver dies in between, the triggerer asks for some seconds later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor

log = logging.getLogger(__name__)

PAUSE = 0.2
"""Seconds between two times, so that a burst asks a few times a second."""


class Waking:
    """Asks for runs of flows, for each once until a run has taken what waits.

    :param first_waiting: returns the first delivery to an endpoint and tenant that a run could take now
    :param wake: asks for a run
    :param pool: the threads that wait for databases
    """

    def __init__(
        self, first_waiting: Callable[[str, str], int | None], wake: Callable[[str], object], pool: Executor
    ) -> None:
        self._first_waiting = first_waiting
        self._wake = wake
        self._pool = pool
        self._new: dict[tuple[str, str], set[int]] = {}
        self._task: asyncio.Task[None] | None = None
        self._has_failed = False

    def stored(self, endpoint: str, tenant: str, numbers: Iterable[int]) -> None:
        """Take note of deliveries that were just stored."""
        self._new.setdefault((endpoint, tenant), set()).update(numbers)
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """Ask for what is still to be asked for."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=5)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._new:
            new, self._new = self._new, {}
            try:
                await loop.run_in_executor(self._pool, self._ask, new)
            except Exception as error:
                # The events are stored, and the triggerer sees them.
                if not self._has_failed:
                    log.warning("a run for new events could not be asked for at once: %s", type(error).__name__)
                self._has_failed = True
            else:
                self._has_failed = False
            await asyncio.sleep(PAUSE)

    def _ask(self, new: Mapping[tuple[str, str], set[int]]) -> None:
        woken: set[str] = set()
        for (endpoint, tenant), numbers in new.items():
            # Where an older one waits, a run was asked for already, and it takes these as well. What starts the runs of
            # all tenants has to be woken once.
            if endpoint not in woken and self._first_waiting(endpoint, tenant) in numbers:
                self._wake(endpoint)
                woken.add(endpoint)
