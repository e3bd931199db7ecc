"""Callers that wait for what a flow makes of their event: one look into the store answers all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowmate_airflow.store.replies import Reply

log = logging.getLogger(__name__)

MAX_CALLERS = 1000
"""Callers that wait at most."""
PAUSE = 0.075
"""Seconds between two looks."""
PAUSE_AFTER_FAILURE = 1.0


class Callers:
    """Those that wait, by the number of their delivery.

    :param read: returns the answers that there are to some deliveries; called in a thread of the pool
    """

    def __init__(self, read: Callable[[Sequence[int]], Mapping[int, Reply]], pool: Executor) -> None:
        self._read = read
        self._pool = pool
        self._waiting: dict[int, list[asyncio.Future[Reply]]] = {}
        self._count = 0
        self._poller: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether no further caller can wait."""
        return self._count >= MAX_CALLERS

    async def wait(self, delivery: int, seconds: float) -> Reply | None:
        """Return the answer to a delivery; None when there is none in time."""
        done: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._count += 1
        self._waiting.setdefault(delivery, []).append(done)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.ensure_future(self._poll())
        try:
            return await asyncio.wait_for(done, seconds)
        except asyncio.TimeoutError:
            return None
        finally:
            self._count -= 1
            others = [each for each in self._waiting.pop(delivery, []) if each is not done]
            if others:
                self._waiting[delivery] = others

    async def _poll(self) -> None:
        """Look for answers as long as somebody waits."""
        loop = asyncio.get_running_loop()
        pause = PAUSE
        while self._waiting:
            try:
                found = await loop.run_in_executor(self._pool, self._read, list(self._waiting))
            except Exception as error:
                if pause == PAUSE:
                    log.warning("answers to callers of webhooks cannot be read: %s", type(error).__name__)
                pause = PAUSE_AFTER_FAILURE
            else:
                pause = PAUSE
                for delivery, reply in found.items():
                    for done in self._waiting.get(delivery, ()):
                        if not done.done():
                            done.set_result(reply)
            await asyncio.sleep(pause)
