"""What the receiver does once in a while: payloads whose time is over are removed, and calls that nobody waits for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from datetime import timedelta
from typing import TYPE_CHECKING

from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.webhooks.endpoints import WAITS, Endpoint

if TYPE_CHECKING:
    from flowmate_airflow.webhooks.inbox import Inbox

log = logging.getLogger(__name__)

FIRST_SECONDS = 60.0
"""When it is done first: not while the API server starts."""
SECONDS = 3600.0
EARLY = timedelta(days=1)
"""How much earlier than the step that waits for it a call may come, at least."""


async def keep_house(inbox: Inbox, endpoints: Callable[[], Iterable[Endpoint]], pool: Executor) -> None:
    """Do it again and again, until this is cancelled.

    :param endpoints: those that are known now
    :param pool: the threads that wait for the store
    """
    pause = FIRST_SECONDS
    while True:
        await asyncio.sleep(pause)
        pause = SECONDS
        known = list(endpoints())
        try:
            count = await asyncio.get_running_loop().run_in_executor(pool, tidy, inbox, known)
        except Exception as error:  # this goes on as long as the receiver does
            reason = error if isinstance(error, StoreError) else type(error).__name__
            log.warning("old deliveries of webhooks could not be removed: %s", reason)
        else:
            log.debug("%s old deliveries of webhooks were removed or given up", count)


def tidy(inbox: Inbox, known: Iterable[Endpoint]) -> int:
    """Remove and give up what is old, and return how much it was.

    :raises StoreError: the store cannot be written
    """
    keep = {endpoint.name: timedelta(seconds=endpoint.keep) for endpoint in known}
    calls = [name for name in keep if WAITS in name]
    # However short the payloads of calls are kept: the step may not wait for them yet.
    return sum(inbox.give_up(name, max(keep[name], EARLY)) for name in calls) + inbox.purge(keep)
