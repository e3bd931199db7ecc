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

    def reject(self, endpoint: str, reason: str) -> None:
        """Note that a request to an endpoint was refused."""
        if self._begin("reject", endpoint, REJECTED_A_MINUTE, lambda: self._inbox.reject(endpoint, reason)):
            log.warning("refused a request to the webhook %s: %s", endpoint, reason)

    def learn(self, endpoint: str, secret: str) -> None:
        """Keep a secret that a provider told, for the user to see."""
        if self._begin("learn", endpoint, OTHERS_A_MINUTE, lambda: self._inbox.learn(endpoint, secret)):
            log.info("the provider of the webhook %s has told a secret; `flowmate webhooks url` shows it", endpoint)

    def confirm(self, endpoint: str, url: str) -> None:
        """Call the address by which a subscription is confirmed. It has been checked to be the provider's."""
        if self._begin("confirm", endpoint, OTHERS_A_MINUTE, lambda: _fetch(url)):
            log.info("confirming the subscription of the webhook %s", endpoint)

    async def close(self) -> None:
        """Wait for what is being done."""
        if self._waiting:
            await asyncio.wait(self._waiting, timeout=10)

    def _begin(self, kind: str, endpoint: str, rate: int, work: Callable[[], object]) -> bool:
        """Begin some work, and return whether it was."""
        if len(self._waiting) >= MAX_WAITING or self._buckets.take((kind, endpoint), rate):
            return False
        task = asyncio.ensure_future(self._do(kind, endpoint, work))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        return True

    async def _do(self, kind: str, endpoint: str, work: Callable[[], object]) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except Exception as error:
            # Its text may hold what was told.
            log.warning("%s for the webhook %s failed: %s", kind, endpoint, type(error).__name__)


def _fetch(url: str) -> None:
    from flowmate_airflow.webhooks.certificates import fetch

    fetch(url)
