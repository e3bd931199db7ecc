"""The triggers of webhooks: one that starts runs when events wait, one that wakes a task that waits for an event."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import orjson
from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

from flowmate_airflow.batches.message import Message
from flowmate_airflow.steps.errors import StepError
from flowmate_airflow.store.waiting import Waiting
from flowmate_airflow.triggers.looking import POLL, SETTLE, Seen, rest, waiting_events, warn
from flowmate_airflow.triggers.matching import find_match
from flowmate_airflow.triggers.settling import settle_runs
from flowmate_airflow.webhooks.endpoints import EXTRA, Endpoint

AGAIN = 30.0
"""Seconds after which a run is asked for again when events still wait; doubled each time."""
LONGEST_AGAIN = 600.0
PATIENCE = 5.0
"""Seconds that an event waits before a run is asked for here: the receiver asks as soon as it has stored it."""


def webhook_asset(endpoint: Endpoint, *, attempts: int = 3) -> Asset:
    """Return the asset that stands for an endpoint: a DAG that has it as its schedule runs when events wait there.

    Where each tenant has an address of their own, that DAG starts a run of another one for each tenant of
    :func:`flowmate_airflow.store.waiting.tenants_waiting`, with the conf `{"tenant": …}`.

    :param attempts: how many runs may fail with an event before it is left as `failed`
    """
    trigger = WebhookEventTrigger(
        endpoint=endpoint.name, debounce=endpoint.debounce, attempts=attempts, tenants=endpoint.tenants
    )
    return endpoint_asset(endpoint, [AssetWatcher(name=f"{endpoint.asset_name} watcher", trigger=trigger)])


def endpoint_asset(endpoint: Endpoint, watchers: list[AssetWatcher] | None = None) -> Asset:
    """Return the asset that makes an endpoint known to the receiver.

    :param watchers: what looks for its events
    :raises ValueError: its name or one of its values cannot be
    """
    endpoint.checked()
    return Asset(
        name=endpoint.asset_name,
        uri=endpoint.uri,
        group="webhook",
        extra={EXTRA: endpoint.as_json()},
        watchers=watchers or [],
    )


class WebhookEventTrigger(BaseEventTrigger):
    """Fires when events wait at an endpoint, so that Airflow starts a run of what is scheduled on its asset.

    It also settles the events of runs that have ended: delivered, or released for another run. All of them share one
    look into the store.

    :param endpoint: its name
    :param debounce: seconds that it must have been quiet
    :param attempts: how many runs may fail with an event
    :param tenants: whether it is one where each tenant has an address of their own
    """

    def __init__(self, *, endpoint: str, debounce: float = 0, attempts: int = 3, tenants: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.endpoint = endpoint
        self.debounce = debounce
        self.attempts = attempts
        self.tenants = tenants

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See :meth:`BaseTrigger.serialize`."""
        names = ("endpoint", "debounce", "attempts", *(["tenants"] if self.tenants else []))
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    def shared_stream_key(self) -> Hashable | None:
        """One stream for all endpoints."""
        return ("flowmate", "webhooks")

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Any]:
        """Yield what waits at all endpoints, when there is something, and once in a while when there is not."""
        quiet_since = 0.0
        while True:
            seen = await waiting_events.seen()
            if seen or time.monotonic() - quiet_since >= SETTLE:
                quiet_since = time.monotonic()
                yield seen
            await asyncio.sleep(POLL)

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Yield an event when a run should start."""
        asking, settled = AskingAll(self.debounce), 0.0
        async for seen in shared_stream:
            if time.monotonic() - settled >= SETTLE:
                await settle_runs(self.endpoint, self.attempts)
                settled = time.monotonic()
            # What came before each tenant had an address is no tenant's.
            mine = {name: each for name, each in seen.get(self.endpoint, {}).items() if bool(name) == self.tenants}
            if asking.should_ask(mine, datetime.now(timezone.utc), time.monotonic()):
                count = sum(each.count for each in mine.values())
                yield TriggerEvent({"endpoint": self.endpoint, "waiting": count})  # type: ignore[no-untyped-call]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Do the same without other triggers to share with."""
        async for event in self.filter_shared_stream(self.open_shared_stream({})):
            yield event


class AskingAll:
    """Decides when to ask for what waits for any of the tenants: what one of them leaves waiting delays no other.

    :param debounce: seconds that it must have been quiet
    """

    def __init__(self, debounce: float) -> None:
        self._debounce = debounce
        self._asking: dict[str, Asking] = {}

    def should_ask(self, waiting: Mapping[str, Waiting], now: datetime, tick: float) -> bool:
        """Whether a run is to be asked for.

        :param waiting: by tenant
        :param tick: seconds of a clock that never goes back
        """
        # What is gone and waits again later was released: it is asked for as if it were new.
        self._asking = {tenant: self._asking.get(tenant) or Asking(self._debounce) for tenant in waiting}
        return any([asking.should_ask(waiting[tenant], now, tick) for tenant, asking in self._asking.items()])


@dataclass(slots=True)
class Asking:
    """Decides when to ask for a run: once for what waits, and again when it goes on waiting.

    A burst asks once: a run takes all that wait when it starts, and what comes later has another first one.
    """

    debounce: float
    first: int | None = None
    next_at: float = 0.0
    pause: float = AGAIN

    def should_ask(self, waiting: Waiting, now: datetime, tick: float) -> bool:
        """Whether a run is to be asked for.

        :param tick: seconds of a clock that never goes back
        """
        if waiting.first_id == self.first and tick < self.next_at:
            return False
        if not self._is_quiet(waiting, now):
            return False
        self.pause = AGAIN if waiting.first_id != self.first else min(self.pause * 2, LONGEST_AGAIN)
        self.first, self.next_at = waiting.first_id, tick + self.pause
        return True

    def _is_quiet(self, waiting: Waiting, now: datetime) -> bool:
        if not self.debounce:
            return (now - waiting.first_at).total_seconds() >= PATIENCE
        return waiting.is_quiet(self.debounce, now)


class WebhookTrigger(BaseTrigger):
    """Wakes a deferred task when an event came to an endpoint that may be the one it waits for.

    Its events are `{"last": number of the last delivery that was looked at}`, with `"late": true` when the time is
    over.

    :param endpoint: its name
    :param after: the number of the last delivery that the task knows
    :param until: when the time is over, in ISO 8601
    :param match: JSONata over `{event, message}`
    :param messages: those that wait, or the JSON of their list; None: any event wakes the task
    :param tenant: at whose address, where each tenant has their own
    """

    def __init__(
        self,
        *,
        endpoint: str,
        after: int,
        until: str,
        match: str | None = None,
        messages: Sequence[Message] | str | None = None,
        tenant: str = "",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.endpoint = endpoint
        self.after = after
        self.until = until
        self.match = match
        self.tenant = tenant
        self.messages: Sequence[Message] | None = orjson.loads(messages) if isinstance(messages, str) else messages

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See :meth:`BaseTrigger.serialize`."""
        kwargs = {name: getattr(self, name) for name in ("endpoint", "tenant", "after", "until", "match")}
        # As text: Airflow takes some keys of objects, which may be a sender's, for classes of its own.
        kwargs["messages"] = None if self.messages is None else orjson.dumps(self.messages).decode()
        return f"{type(self).__module__}.{type(self).__qualname__}", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event."""
        await rest()
        after, until = self.after, datetime.fromisoformat(self.until)
        again = time.monotonic() + AGAIN
        while datetime.now(timezone.utc) < until:
            if time.monotonic() >= again:
                # Of two receivers the one with the lower numbers may be the last to commit.
                after, again = 0, time.monotonic() + AGAIN
            seen: Seen = await waiting_events.seen()
            mine = seen.get(self.endpoint, {}).get(self.tenant)
            if mine is not None and mine.last_id > after:
                try:
                    look = (self.endpoint, self.tenant, after, self.match, self.messages)
                    found, after = await asyncio.to_thread(find_match, *look)
                except Exception as error:
                    warn(f"What came to {self.endpoint} is looked at again", error)
                    found = isinstance(error, StepError)  # the task says it again, where people look
                if found:
                    yield TriggerEvent({"last": after})  # type: ignore[no-untyped-call]
                    return
            await asyncio.sleep(POLL)
        yield TriggerEvent({"last": after, "late": True})  # type: ignore[no-untyped-call]
