"""A look into the store, shared by all triggers of a process: however many wait, it is asked a few times a second."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import TypeAlias

from flowmate_airflow.store.claims import Waiting, waiting
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.store import open_store

log = logging.getLogger(__name__)

POLL = 0.2
"""Seconds between two looks into the store."""
POLL_BROKEN = 5.0
"""Seconds until it is tried again when the store does not answer."""

Seen: TypeAlias = Mapping[str, Waiting]
"""What waits, by endpoint."""


class Looking:
    """Looks into the store when somebody asks, and not again for :data:`POLL` seconds."""

    def __init__(self) -> None:
        self._seen: Seen = {}
        self._until = 0.0
        self._busy: asyncio.Future[None] | None = None

    async def waiting(self) -> Seen:
        """Return what waits; as it was when last seen, while the store does not answer."""
        if self._busy is not None:
            await asyncio.shield(self._busy)
        elif time.monotonic() >= self._until:
            self._busy = asyncio.ensure_future(self._look())
            try:
                await asyncio.shield(self._busy)
            finally:
                self._busy = None
        return self._seen

    async def _look(self) -> None:
        try:
            self._seen = await asyncio.to_thread(_waiting)
            self._until = time.monotonic() + POLL / 2
        except StoreError as error:
            log.warning("Webhooks wait until the store can be read again: %s", error)
            self._until = time.monotonic() + POLL_BROKEN


def _waiting() -> Seen:
    return {each.endpoint: each for each in waiting(open_store()) if not each.tenant}


looking = Looking()
