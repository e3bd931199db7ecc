"""What is done beside answering: refusals are noted, what a handshake brought is kept, a subscription is confirmed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from flowmate_airflow.webhooks.limits import Buckets

if TYPE_CHECKING:
    from flowmate_airflow.webhooks.inbox import Inbox

log = logging.getLogger(__name__)

Place = tuple[str, str]
"""An endpoint's name, and the tenant whose address was called."""

MAX_WAITING = 1000
REJECTED_A_MINUTE = 100
"""Refusals of one endpoint that are noted and logged."""
OTHERS_A_MINUTE = 20


class SideWork:
    """Work for a thread, bounded: what is too much is left out.

    :param inbox: the store
    :param pool: the threads
    """

    def __init__(self, inbox: Inbox, pool: Executor) -> None:
        self._inbox = inbox
        self._pool = pool
        self._buckets = Buckets()
        self._waiting: set[asyncio.Future[None]] = set()

    def reject(self, place: Place, reason: str) -> None:
        """Note that a request to an endpoint was refused."""
        if self._begin("reject", place, REJECTED_A_MINUTE, lambda: self._inbox.reject(*place, reason)):
            log.warning("refused a request to the webhook %s: %s", _told(place), reason)

    def learn(self, place: Place, secret: str) -> None:
        """Keep a secret that a provider told, for the user to see."""
        if self._begin("learn", place, OTHERS_A_MINUTE, lambda: self._inbox.learn(*place, secret)):
            log.info("the provider of the webhook %s has told a secret; `flowmate webhooks url` shows it", _told(place))

    def confirm(self, place: Place, url: str) -> None:
        """Call the address by which a subscription is confirmed. It has been checked to be the provider's."""
        if self._begin("confirm", place, OTHERS_A_MINUTE, lambda: _fetch(url)):
            log.info("confirming the subscription of the webhook %s", _told(place))

    async def close(self) -> None:
        """Wait for what is being done."""
        if self._waiting:
            await asyncio.wait(self._waiting, timeout=10)

    def _begin(self, kind: str, place: Place, rate: int, work: Callable[[], object]) -> bool:
        """Begin some work, and return whether it was."""
        if len(self._waiting) >= MAX_WAITING or self._buckets.take((kind, *place), rate):
            return False
        task = asyncio.ensure_future(self._do(kind, place, work))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        return True

    async def _do(self, kind: str, place: Place, work: Callable[[], object]) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except Exception as error:
            # Its text may hold what was told.
            log.warning("%s for the webhook %s failed: %s", kind, _told(place), type(error).__name__)


def _told(place: Place) -> str:
    endpoint, tenant = place
    return f"{endpoint} of the tenant {tenant}" if tenant else endpoint


def _fetch(url: str) -> None:
    from flowmate_airflow.webhooks.certificates import fetch

    fetch(url)
