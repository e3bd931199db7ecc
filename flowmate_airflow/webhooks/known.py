"""What the receiver knows: endpoints, their tokens and secrets, kept in memory and read again in the background.

No request waits for a database, but the first of all, the first of each Connection, and one that would be refused: it
may be that something has just changed.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor

from flowmate_airflow.webhooks.endpoints import Endpoint
from flowmate_airflow.webhooks.held import HeldSecrets, Holder, NotKnown, Reading, Source, wait_for
from flowmate_airflow.webhooks.targets import NOBODY, Target, target_of

Tokens = Mapping[tuple[str, str], tuple[str, ...]]
"""The valid tokens, or secrets, by endpoint and tenant."""

ENDPOINTS_SECONDS = 5.0
"""How often endpoints and tokens are read."""
AGAIN_SECONDS = 1.0
"""Endpoints and tokens are read at most once in so long, whatever is asked for."""


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
        self._clock = clock
        self._databases = Reading(pool)
        self._held = HeldSecrets(source, self._databases, clock=clock)
        self._targets: dict[str, Target] | None = None
        self._max_body = NOBODY.endpoint.max_body
        self._tokens: Tokens | None = None
        self._registered: Tokens | None = None
        self._reading: asyncio.Future[None] | None = None
        self._began = float("-inf")

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
            await wait_for(self._refresh())
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
        more = self._more(target)
        if more and target.endpoint.tenants:
            return more
        for holder in _holders(target):
            held = self._held.now(holder)
            if held is None:
                return None
            if held:
                return (*held, *more)
        return more

    async def secrets(self, target: Target) -> tuple[str, ...]:
        """Return an endpoint's secrets, read again where they are old. When they cannot be read the old ones stay.

        Those of a tenant are what was agreed on when the address was registered; else what their own link holds; else
        what the Connection of the flow's webhook holds, for all tenants.

        :raises NotKnown: they could never be read
        """
        more = self._more(target)
        if more and target.endpoint.tenants:
            return more
        for holder in _holders(target):
            held = await self._held.get(holder)
            if held:
                return (*held, *more)
        return more

    def trouble(self, target: Target) -> str:
        """Return why an endpoint has no secret, for its owner to read; empty where it has one."""
        if self._more(target) or any(self._held.now(holder) for holder in _holders(target)):
            return ""
        if target.endpoint.connection is not None:
            return self._held.trouble(Holder(target.endpoint.connection))
        own = ", and their link holds none as `webhook_secret` of its extra" if _holders(target) else ""
        return f"there is no secret yet, as its address is not registered{own}"

    def _more(self, target: Target) -> tuple[str, ...]:
        """Return the secrets that were learned, or made, when the endpoint's address was registered."""
        return (self._registered or {}).get(target.place, ())

    async def reread(self, target: Target | None) -> bool:
        """Read again what a request was refused by, unless that was done a moment ago; return whether it was read."""
        waits: list[asyncio.Future[None]] = []
        if self._reading is not None or self._clock() - self._began > AGAIN_SECONDS:
            waits.append(self._refresh())
        for holder in _holders(target) if target else []:
            waits += self._held.doubt(holder)
        for wait in waits:
            await wait_for(wait)
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
        endpoints = await self._databases.read("the endpoints of webhooks", self._source.endpoints)
        if endpoints is not None:
            self._targets = self._prepared(endpoints)
            self._max_body = max(each.endpoint.max_body for each in (NOBODY, *self._targets.values()))
        tokens = await self._databases.read("the tokens of webhooks", self._read_tokens)
        if tokens is not None:
            self._tokens = tokens
        registered = await self._databases.read("the secrets of registered webhooks", self._read_registered)
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
                self._databases.tell(f"endpoint {name}", "the webhook %s takes no requests: %s", name, error)
        return targets


def _holders(target: Target) -> list[Holder]:
    """Return who may hold an endpoint's secrets, the first that has one counts."""
    endpoint = target.endpoint
    found = [Holder(endpoint.connector, target.tenant)] if target.tenant and endpoint.connector is not None else []
    return found if endpoint.connection is None else [*found, Holder(endpoint.connection)]
