"""The secrets that Airflow's Connections hold, kept in memory and read again in the background."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from flowmate_airflow.webhooks.endpoints import Endpoint
from flowmate_airflow.webhooks.releasing import Runs

log = logging.getLogger(__name__)
T = TypeVar("T")

SECRETS_SECONDS = 60.0
"""How old a secret may be that is used without asking again."""
AGAIN_SECONDS = 1.0
"""A Connection is read at most once in so long, whatever is asked for."""
SECRETS_AGAIN_SECONDS = 10.0
"""The secrets of a Connection are read at most once in so long because a proof was wrong."""
WAIT_SECONDS = 5.0
"""How long a request waits for a database that does not answer."""


class NotKnown(Exception):
    """What a request needs to be judged could not be read yet."""


class Source(Runs, Protocol):
    """Where endpoints, secrets and runs are asked for, :class:`flowmate_airflow.webhooks.directory.Directory`."""

    def endpoints(self) -> Mapping[str, Endpoint]:
        """Return all endpoints."""

    def secrets(self, conn_id: str) -> tuple[str, ...]:
        """Return the secrets of a Connection; LookupError: there are none."""

    def link_secrets(self, connector: str, tenant: str) -> tuple[str, ...]:
        """Return the webhook secrets of a tenant's link, of which there may be none."""

    def wake(self, endpoint: str) -> object:
        """Ask for a run of what an endpoint's events start."""


@dataclass(frozen=True, slots=True)
class Holder:
    """What holds secrets: a Connection that is named, or the link of a tenant.

    :param name: the conn_id, or the connector
    """

    name: str
    tenant: str = ""

    def ask(self, source: Source) -> tuple[str, ...]:
        """Return its secrets.

        :raises LookupError: there are none, and there should be some
        """
        return source.link_secrets(self.name, self.tenant) if self.tenant else source.secrets(self.name)

    def __str__(self) -> str:
        return f"the link {self.name} of the tenant {self.tenant}" if self.tenant else f"the Connection {self.name}"


class Reading:
    """Asks databases in threads, and tells what goes wrong with each of them once, until it is over."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._told: set[object] = set()

    async def read(self, what: str, ask: Callable[[], T]) -> T | None:
        """Return what is answered; None when it cannot be read."""
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._pool, ask)
        except Exception as error:
            # Its text may hold a database's URL.
            self.tell(what, "%s cannot be read (%s); what was known before still counts", what, type(error).__name__)
            return None
        self.is_well(what)
        return found

    def tell(self, key: object, text: str, *values: object) -> None:
        """Log something once, until it is over."""
        if key not in self._told:
            self._told.add(key)
            log.warning(text, *values)

    def is_well(self, key: object) -> None:
        """Take note that something is over."""
        self._told.discard(key)


@dataclass(slots=True)
class _Secrets:
    """The secrets of a holder.

    :param read_at: when they were read last; None: never yet
    :param tried_at: when that was begun last
    :param doubted_at: when that was begun last because a proof was wrong
    :param trouble: why there are none
    """

    values: tuple[str, ...] = field(default=(), repr=False)
    read_at: float | None = None
    tried_at: float = float("-inf")
    doubted_at: float = float("-inf")
    trouble: str = ""
    reading: asyncio.Future[None] | None = None


class HeldSecrets:
    """The secrets that are known now, of those that were asked for.

    :param source: is asked for them
    """

    def __init__(self, source: Source, reading: Reading, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._reading = reading
        self._clock = clock
        self._secrets: dict[Holder, _Secrets] = {}

    def now(self, holder: Holder) -> tuple[str, ...] | None:
        """Return somebody's secrets; None when they have to be waited for."""
        kept = self._secrets.get(holder)
        if kept is None or kept.read_at is None:
            return None
        age = self._clock() - kept.read_at
        # A busy endpoint's are read again beside its requests; those that nobody has asked for are too old to be used.
        if age > 2 * SECRETS_SECONDS:
            return None
        if age > SECRETS_SECONDS:
            self._begin(holder)
        return kept.values

    async def get(self, holder: Holder) -> tuple[str, ...]:
        """Return somebody's secrets, read again where they are old. When they cannot be read the old ones stay.

        :raises NotKnown: they could never be read
        """
        reading = self._begin(holder)
        if reading is not None:
            await wait_for(reading)
        kept = self._secrets[holder]
        if kept.read_at is None:
            raise NotKnown(f"{holder} could not be read yet")
        return kept.values

    def doubt(self, holder: Holder) -> list[asyncio.Future[None]]:
        """Begin to read what did not fit, unless that was done not long ago; return what is to be waited for."""
        kept = self._secrets.setdefault(holder, _Secrets())
        if kept.reading is None and self._clock() - kept.doubted_at > SECRETS_AGAIN_SECONDS:
            kept.doubted_at = self._clock()
            self._read_again(holder, kept)
        return [kept.reading] if kept.reading else []

    def trouble(self, holder: Holder) -> str:
        """Return why somebody has no secret; empty where there is one, or nobody has looked."""
        kept = self._secrets.get(holder)
        return kept.trouble if kept is not None and not kept.values else ""

    def _begin(self, holder: Holder) -> asyncio.Future[None] | None:
        """Begin to read, unless that was begun a moment ago; return what is to be waited for."""
        kept = self._secrets.setdefault(holder, _Secrets())
        if kept.reading is None and self._clock() - kept.tried_at > AGAIN_SECONDS:
            self._read_again(holder, kept)
        return kept.reading

    def _read_again(self, holder: Holder, kept: _Secrets) -> None:
        kept.tried_at = self._clock()
        kept.reading = asyncio.ensure_future(self._read(holder, kept))

    async def _read(self, holder: Holder, kept: _Secrets) -> None:
        def ask() -> tuple[str, ...]:
            try:
                return holder.ask(self._source)
            except LookupError as error:
                # Airflow finds no Connection where its database is down, either; then this fails.
                self._source.endpoints()
                self._reading.tell(holder, "nobody is let in: %s", error)
                kept.trouble = str(error)
                return ()

        try:
            values = await self._reading.read(str(holder), ask)
            if values is not None:
                kept.values, kept.read_at = values, self._clock()
                if values:
                    self._reading.is_well(holder)
        finally:
            kept.reading = None


async def wait_for(reading: asyncio.Future[None]) -> None:
    """Wait for what is being read, but not for ever."""
    await asyncio.wait({reading}, timeout=WAIT_SECONDS)
