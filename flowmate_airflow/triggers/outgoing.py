"""The trigger that starts a run of the DAG that sends outgoing webhooks, when some are due."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from flowmate_airflow.store.outgoing import newest_due
from flowmate_airflow.store.store import open_store
from flowmate_airflow.triggers.looking import warn

POLL = 1.0
"""Seconds between two looks into the store."""
AGAIN = 30.0
"""Seconds after which it says so again when notices still wait."""


class OutgoingTrigger(BaseEventTrigger):
    """Fires when notices have become due that nobody sends yet, and again while they wait."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See :meth:`BaseTrigger.serialize`."""
        return f"{OutgoingTrigger.__module__}.{OutgoingTrigger.__qualname__}", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look into the store for as long as the DAG is there."""
        told = Told()
        while True:
            try:
                # In a thread: a store that hangs must not hold up the other triggers of this process.
                due = await asyncio.to_thread(_newest_due)
            except Exception as error:  # it would end the trigger
                warn("Outgoing webhooks wait until the store can be read again", error)
            else:
                if told.is_news(due, time.monotonic()):
                    yield TriggerEvent({"due": str(due)})  # type: ignore[no-untyped-call]
            await asyncio.sleep(POLL)


class Told:
    """What has been said already."""

    def __init__(self) -> None:
        self._newest: datetime | None = None
        self._at = 0.0

    def is_news(self, due: datetime | None, moment: float) -> bool:
        """Whether there is something to say, which is then taken for said.

        :param due: when that became due which did so last; None: there is nothing
        :param moment: seconds of a clock that is never set
        """
        if due is None:
            return False
        if self._newest is not None and due <= self._newest and moment - self._at < AGAIN:
            return False
        self._newest, self._at = due, moment
        return True


def outgoing_asset() -> Asset:
    """Return the asset that stands for the notices that are due."""
    watcher = AssetWatcher(name="flowmate outgoing watcher", trigger=OutgoingTrigger())  # type: ignore[no-untyped-call]
    return Asset(name="flowmate outgoing", uri="flowmate://outgoing", group="flowmate", watchers=[watcher])


def _newest_due() -> datetime | None:
    return newest_due(open_store())
