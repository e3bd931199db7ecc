"""Looks into the store that all triggers of a process share, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from flowmate_airflow.store.deliveries import NewDelivery, insert
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import close_stores, open_store
from flowmate_airflow.store.waiting import Waiting
from flowmate_airflow.triggers import looking, webhook
from flowmate_airflow.triggers.looking import Looking
from flowmate_airflow.triggers.webhook import WebhookEventTrigger


@pytest.fixture(autouse=True)
def _nothing_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "_warned", {})
    monkeypatch.setattr(looking, "REST", 0)


class Store:
    """Answers a number that grows, or fails."""

    def __init__(self, *errors: Exception | None) -> None:
        self.errors = list(errors)
        self.looks = 0

    def __call__(self) -> int:
        self.looks += 1
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        return self.looks


def test_all_share_one_look() -> None:
    began, goes_on = threading.Event(), threading.Event()
    store = Store()

    def look() -> int:
        began.set()
        assert goes_on.wait(60)
        return store()

    async def act() -> list[int]:
        shared = Looking(look, 60, 0)
        all_of_them = [asyncio.ensure_future(shared.seen()) for _ in range(10)]
        while not began.is_set():
            await asyncio.sleep(0)
        all_of_them.pop().cancel()
        goes_on.set()
        return [*await asyncio.gather(*all_of_them), await shared.seen()]

    assert asyncio.run(act()) == [1] * 10
    assert store.looks == 1


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StoreError("the store is down", transient=True), "the store is down"),
        (StoreError("the store's URL is none"), "the store's URL is none"),
        (RuntimeError("postgresql://user:password@host"), "RuntimeError"),
        (ValueError("\0"), "ValueError"),
    ],
)
@pytest.mark.parametrize(("forgets", "meanwhile"), [(True, 0), (False, 1)])
def test_whatever_goes_wrong_is_told_once_and_tried_again(
    error: Exception,
    told: str,
    forgets: bool,
    meanwhile: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(looking, "POLL_BROKEN", 0.0)
    store = Store(None, error, error, error)

    async def act() -> list[int]:
        shared = Looking(store, 0, 0, forgets=forgets)
        return [await shared.seen() for _ in range(5)]

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(act()) == [1, meanwhile, meanwhile, meanwhile, 5]
    assert caplog.text.count("Webhooks wait") == 1
    assert f"can be read again: {told}" in caplog.text
    assert "password" not in caplog.text


def test_a_store_that_fails_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "POLL_BROKEN", 3600)
    store = Store(RuntimeError())

    async def act() -> None:
        shared = Looking(store, 0, 0)
        for _ in range(5):
            await shared.seen()

    asyncio.run(act())
    assert store.looks == 1


def test_warnings_do_not_fill_the_memory() -> None:
    for number in range(5000):
        looking.warn(f"text {number}", ValueError())
    assert len(looking._warned) <= 1000


def test_what_cannot_be_looked_at_wakes_no_task_and_ends_no_trigger(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def find_match(*_: object) -> tuple[bool, int]:
        calls.append("look")
        if len(calls) < 3:
            raise RuntimeError
        return True, 7

    monkeypatch.setattr(webhook, "find_match", find_match)
    monkeypatch.setattr(webhook, "POLL", 0)
    monkeypatch.setattr(webhook, "waiting_events", Looking(_waiting(7), 60, {}))
    trigger = webhook.WebhookTrigger(endpoint="orders", after=0, until="2999-01-01T00:00:00+00:00")

    async def act() -> object:
        async for event in trigger.run():
            return event.payload
        return None

    assert asyncio.run(asyncio.wait_for(act(), 60)) == {"last": 7}
    assert len(calls) == 3


def test_a_task_rests_before_it_is_woken_by_what_is_there_already(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []

    async def sleep(seconds: float) -> None:
        done.append(seconds)

    def find_match(*_: object) -> tuple[bool, int]:
        done.append("look")
        return True, 7

    monkeypatch.setattr(looking, "REST", 3.0)
    monkeypatch.setattr(looking.asyncio, "sleep", sleep)
    monkeypatch.setattr(webhook, "find_match", find_match)
    monkeypatch.setattr(webhook, "waiting_events", Looking(_waiting(7), 60, {}))
    trigger = webhook.WebhookTrigger(endpoint="orders", after=0, until="2999-01-01T00:00:00+00:00")

    async def act() -> None:
        async for _ in trigger.run():
            return

    asyncio.run(act())
    assert done == [3.0, "look"]


def test_a_flow_starts_although_nobody_says_what_became_of_its_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "waiting_events", Looking(_waiting(7), 60, {}))
    monkeypatch.setattr("flowmate_airflow.triggers.settling.taken_events", Looking(Store(RuntimeError()), 60, {}))

    async def act() -> object:
        async for event in WebhookEventTrigger(endpoint="orders").run():
            return event.payload
        return None

    assert asyncio.run(asyncio.wait_for(act(), 60)) == {"endpoint": "orders", "waiting": 1}


def _waiting(number: int) -> Callable[[], looking.Seen]:
    moment = now() - timedelta(minutes=1)
    return lambda: {"orders": {"": Waiting("orders", "", number, number, 1, moment, moment)}}


@pytest.mark.parametrize(("tenants", "expected"), [(False, 1), (True, 2)])
def test_only_what_comes_to_the_addresses_of_tenants_starts_runs_where_each_has_one(
    tenants: bool, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {"orders": {tenant: each for tenant in ("", "a", "b") for each in [_waiting(1)()["orders"][""]]}}
    monkeypatch.setattr(webhook, "waiting_events", Looking(lambda: seen, 60, {}))
    monkeypatch.setattr("flowmate_airflow.triggers.settling.taken_events", Looking(lambda: {}, 60, {}))
    trigger = WebhookEventTrigger(endpoint="orders", tenants=tenants)

    async def act() -> object:
        async for event in WebhookEventTrigger(**trigger.serialize()[1]).run():
            return event.payload
        return None

    assert asyncio.run(asyncio.wait_for(act(), 60)) == {"endpoint": "orders", "waiting": expected}


def test_an_event_of_another_tenant_wakes_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[tuple[object, ...]] = []

    def find_match(*which: object) -> tuple[bool, int]:
        looks.append(which)
        return True, 9

    waiting = _waiting(7)()["orders"][""]
    answers = [{"orders": {"other": waiting, "": waiting}}] * 3 + [{"orders": {"mine": waiting}}]
    monkeypatch.setattr(webhook, "find_match", find_match)
    monkeypatch.setattr(webhook, "POLL", 0)
    monkeypatch.setattr(webhook, "waiting_events", Looking(lambda: answers.pop(0), 0, {}))
    until = "2999-01-01T00:00:00+00:00"
    trigger = webhook.WebhookTrigger(endpoint="orders", after=0, until=until, tenant="mine")

    async def act() -> object:
        async for event in webhook.WebhookTrigger(**trigger.serialize()[1]).run():
            return event.payload
        return None

    assert asyncio.run(asyncio.wait_for(act(), 60)) == {"last": 9}
    assert looks == [("orders", "mine", 0, None, None)]
    assert not answers


def test_what_waits_is_seen_by_endpoint_and_tenant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", f"sqlite:///{tmp_path}/store.db")
    places = [("orders", "a"), ("orders", "b"), ("bills", "")]
    insert(open_store(), [NewDelivery(name, f"{name}{tenant}".encode(), b"{}", tenant) for name, tenant in places])
    seen = looking._waiting()
    close_stores()
    assert {(name, tenant) for name, each in seen.items() for tenant in each} == set(places)
    assert seen["orders"]["b"].count == 1
