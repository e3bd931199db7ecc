"""What the receiver knows: endpoints, their tokens and secrets, kept in memory and read again in the background.

No request waits for a database, but the first of all, the first of each Connection, and one that would be refused: it
may be that something has just changed.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from flowmate_airflow.webhooks.endpoints import Endpoint
from flowmate_airflow.webhooks.targets import NOBODY, Target, target_of

log = logging.getLogger(__name__)
T = TypeVar("T")

Tokens = Mapping[tuple[str, str], tuple[str, ...]]
"""The valid tokens, or secrets, by endpoint and tenant."""

ENDPOINTS_SECONDS = 5.0
"""How often endpoints and tokens are read."""
SECRETS_SECONDS = 60.0
"""How old a secret may be that is used without asking again."""
AGAIN_SECONDS = 1.0
"""Endpoints and tokens are read at most once in so long, whatever is asked for."""
SECRETS_AGAIN_SECONDS = 10.0
"""The secrets of a Connection are read at most once in so long because a proof was wrong."""
WAIT_SECONDS = 5.0
"""How long a request waits for a database that does not answer."""


class NotKnown(Exception):
    """What a request needs to be judged could not be read yet."""


class Source(Protocol):
    """Where endpoints and secrets are asked for, :class:`flowmate_airflow.webhooks.directory.Directory`."""

    def endpoints(self) -> Mapping[str, Endpoint]:
        """Return all endpoints."""

    def secrets(self, conn_id: str) -> tuple[str, ...]:
        """Return the secrets of a Connection; LookupError: there are none."""

    def wake(self, endpoint: str) -> object:
        """Ask for a run of what an endpoint's events start."""


@dataclass(slots=True)
class _Secrets:
    """The secrets of a Connection.

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


class Known:
    """What is known now.

    :param source: is asked for endpoints and secrets
    :param tokens: reads the tokens
    :param registered: reads the secrets of endpoints whose address was registered, which no Connection has
    :param pool: the threads that wait for databases
    """

    def __init__(
        self,
        source: Source,
        tokens: Callable[[], Tokens],
        registered: Callable[[], Tokens],
        pool: Executor,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._read_tokens = tokens
        self._read_registered = registered
        self._pool = pool
        self._clock = clock
        self._targets: dict[str, Target] | None = None
        self._max_body = NOBODY.endpoint.max_body
        self._tokens: Tokens | None = None
        self._registered: Tokens | None = None
        self._secrets: dict[str, _Secrets] = {}
        self._reading: asyncio.Future[None] | None = None
        self._began = float("-inf")
        self._told: set[str] = set()

    async def keep_fresh(self) -> None:
        """Read endpoints and tokens again and again, until this is cancelled."""
        while True:
            await self._refresh()
            await asyncio.sleep(ENDPOINTS_SECONDS)

    def is_unread(self) -> bool:
        """Whether endpoints, tokens or registered secrets were never read."""
        return self._targets is None or self._tokens is None or self._registered is None

    async def first(self) -> None:
        """Wait until endpoints and tokens are known.

        :raises NotKnown: they cannot be read
        """
        if self._reading is not None or self._clock() - self._began > AGAIN_SECONDS:
            await _wait(self._refresh())
        if self.is_unread():
            raise NotKnown("endpoints and tokens could not be read yet")

    def endpoints(self) -> list[Endpoint]:
        """Return all endpoints."""
        return [target.endpoint for target in (self._targets or {}).values()]

    @property
    def max_body(self) -> int:
        """Bytes of a body at the endpoint that takes most: a smaller bound would tell which ones there are."""
        return self._max_body

    def target(self, name: str) -> Target | None:
        """Return an endpoint; None when there is none of that name."""
        return self._targets.get(name) if self._targets else None

    def has_token(self, name: str, tenant: str, given: str) -> bool:
        """Whether a token is one of an endpoint's, in a time that does not depend on how much of it is right."""
        text = given.encode()
        found = False
        for token in (self._tokens or {}).get((name, tenant), ("",)):
            found |= hmac.compare_digest(token.encode(), text) and bool(token)
        return found

    def secrets_now(self, target: Target) -> tuple[str, ...] | None:
        """Return an endpoint's secrets; None when they have to be waited for."""
        conn_id, more = target.endpoint.connection, self._more(target)
        if conn_id is None:
            return more
        kept = self._secrets.get(conn_id)
        if kept is None or kept.read_at is None:
            return None
        age = self._clock() - kept.read_at
        if age <= SECRETS_SECONDS:
            return (*kept.values, *more)
        # A busy endpoint's are read again beside its requests; those that nobody has asked for are too old to be used.
        if age <= 2 * SECRETS_SECONDS:
            self._begin_secrets(conn_id)
            return (*kept.values, *more)
        return None

    async def secrets(self, target: Target) -> tuple[str, ...]:
        """Return an endpoint's secrets, read again where they are old. When they cannot be read the old ones stay.

        :raises NotKnown: they could never be read
        """
        conn_id = target.endpoint.connection
        if conn_id is None:
            return self._more(target)
        reading = self._begin_secrets(conn_id)
        if reading is not None:
            await _wait(reading)
        kept = self._secrets[conn_id]
        if kept.read_at is None:
            raise NotKnown(f"the Connection {conn_id} could not be read yet")
        return (*kept.values, *self._more(target))

    def trouble(self, target: Target) -> str:
        """Return why an endpoint has no secret, for its owner to read; empty where it has one."""
        conn_id = target.endpoint.connection
        if conn_id is None:
            return "" if self._more(target) else "there is no secret yet, as its address is not registered"
        kept = self._secrets.get(conn_id)
        return kept.trouble if kept is not None and not kept.values and not self._more(target) else ""

    def _more(self, target: Target) -> tuple[str, ...]:
        """Return the secrets that were learned, or made, when the endpoint's address was registered."""
        return (self._registered or {}).get((target.endpoint.name, ""), ())

    async def reread(self, target: Target | None) -> bool:
        """Read again what a request was refused by, unless that was done a moment ago; return whether it was read."""
        waits: list[asyncio.Future[None]] = []
        if self._reading is not None or self._clock() - self._began > AGAIN_SECONDS:
            waits.append(self._refresh())
        conn_id = target.endpoint.connection if target else None
        if conn_id is not None:
            waits += self._doubt(conn_id)
        for wait in waits:
            await _wait(wait)
        return bool(waits)

    def _refresh(self) -> asyncio.Future[None]:
        if self._reading is None:
            self._began = self._clock()
            self._reading = asyncio.ensure_future(self._read_all())
            self._reading.add_done_callback(self._has_read)
        return self._reading

    def _has_read(self, _: object) -> None:
        self._reading = None

    async def _read_all(self) -> None:
        endpoints = await self._read("the endpoints of webhooks", self._source.endpoints)
        if endpoints is not None:
            self._targets = self._prepared(endpoints)
            self._max_body = max(each.endpoint.max_body for each in (NOBODY, *self._targets.values()))
        tokens = await self._read("the tokens of webhooks", self._read_tokens)
        if tokens is not None:
            self._tokens = tokens
        registered = await self._read("the secrets of registered webhooks", self._read_registered)
        if registered is not None:
            self._registered = registered

    def _prepared(self, endpoints: Mapping[str, Endpoint]) -> dict[str, Target]:
        before = self._targets or {}
        targets: dict[str, Target] = {}
        for name, endpoint in endpoints.items():
            known = before.get(name)
            if known is not None and known.endpoint == endpoint:
                targets[name] = known
                continue
            try:
                targets[name] = target_of(endpoint)
            except ValueError as error:
                self._tell(f"endpoint {name}", "the webhook %s takes no requests: %s", name, error)
        return targets

    def _begin_secrets(self, conn_id: str) -> asyncio.Future[None] | None:
        """Begin to read a Connection, unless that was begun a moment ago; return what is to be waited for."""
        kept = self._secrets.setdefault(conn_id, _Secrets())
        if kept.reading is None and self._clock() - kept.tried_at > AGAIN_SECONDS:
            self._read_again(conn_id, kept)
        return kept.reading

    def _doubt(self, conn_id: str) -> list[asyncio.Future[None]]:
        """Begin to read a Connection whose secrets did not fit; return what is to be waited for."""
        kept = self._secrets.setdefault(conn_id, _Secrets())
        if kept.reading is None and self._clock() - kept.doubted_at > SECRETS_AGAIN_SECONDS:
            kept.doubted_at = self._clock()
            self._read_again(conn_id, kept)
        return [kept.reading] if kept.reading else []

    def _read_again(self, conn_id: str, kept: _Secrets) -> None:
        kept.tried_at = self._clock()
        kept.reading = asyncio.ensure_future(self._read_secrets(conn_id, kept))

    async def _read_secrets(self, conn_id: str, kept: _Secrets) -> None:
        def ask() -> tuple[str, ...]:
            try:
                return self._source.secrets(conn_id)
            except LookupError as error:
                # Airflow finds no Connection where its database is down, either; then this fails.
                self._source.endpoints()
                self._tell(conn_id, "nobody is let in: %s", error)
                kept.trouble = str(error)
                return ()

        try:
            values = await self._read(f"the Connection {conn_id}", ask)
            if values is not None:
                kept.values, kept.read_at = values, self._clock()
                if values:
                    self._told.discard(conn_id)
        finally:
            kept.reading = None

    async def _read(self, what: str, ask: Callable[[], T]) -> T | None:
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._pool, ask)
        except Exception as error:
            # Its text may hold a database's URL.
            self._tell(what, "%s cannot be read (%s); what was known before still counts", what, type(error).__name__)
            return None
        self._told.discard(what)
        return found

    def _tell(self, key: str, text: str, *values: object) -> None:
        """Log something once, until it is over."""
        if key not in self._told:
            self._told.add(key)
            log.warning(text, *values)


async def _wait(reading: asyncio.Future[None]) -> None:
    await asyncio.wait({reading}, timeout=WAIT_SECONDS)
