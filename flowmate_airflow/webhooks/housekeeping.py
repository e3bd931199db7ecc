"""What the receiver does once in a while: payloads whose time is over are removed, and calls that nobody waits for, and
what ended runs have taken is let go of."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from datetime import timedelta
from typing import TYPE_CHECKING

from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.webhooks.endpoints import WAITS, Endpoint
from flowmate_airflow.webhooks.releasing import Runs, release

if TYPE_CHECKING:
    from flowmate_airflow.webhooks.inbox import Inbox

log = logging.getLogger(__name__)

FIRST_SECONDS = 60.0
"""When it is done first: not while the API server starts."""
SECONDS = 3600.0
RELEASE_SECONDS = 60.0
"""How often it is looked which runs have ended: what they have taken another one may wait for."""
EARLY = timedelta(days=1)
"""How much earlier than the step that waits for it a call may come, at least."""


async def keep_house(inbox: Inbox, runs: Runs, endpoints: Callable[[], Iterable[Endpoint]], pool: Executor) -> None:
    """Do it again and again, until this is cancelled.

    :param runs: is asked which runs have ended
    :param endpoints: those that are known now
    :param pool: the threads that wait for the store
    """
    await asyncio.gather(
        _again(FIRST_SECONDS, SECONDS, "old deliveries", pool, lambda: tidy(inbox, list(endpoints()))),
        _again(FIRST_SECONDS, RELEASE_SECONDS, "deliveries of ended runs", pool, lambda: release(inbox, runs)),
    )


async def _again(first: float, pause: float, what: str, pool: Executor, work: Callable[[], int]) -> None:
    await asyncio.sleep(first)
    while True:
        try:
            count = await asyncio.get_running_loop().run_in_executor(pool, work)
        except Exception as error:  # this goes on as long as the receiver does
            reason = error if isinstance(error, StoreError) else type(error).__name__
            log.warning("%s of webhooks could not be removed or let go of: %s", what, reason)
        else:
            log.debug("%s %s of webhooks were removed or let go of", count, what)
        await asyncio.sleep(pause)


def tidy(inbox: Inbox, known: Iterable[Endpoint]) -> int:
    """Remove and give up what is old, and return how much it was.

    :raises StoreError: the store cannot be written
    """
    keep = {endpoint.name: timedelta(seconds=endpoint.keep) for endpoint in known}
    calls = [name for name in keep if WAITS in name]
    # However short the payloads of calls are kept: the step may not wait for them yet.
    return sum(inbox.give_up(name, max(keep[name], EARLY)) for name in calls) + inbox.purge(keep)
