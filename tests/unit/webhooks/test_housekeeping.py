"""What the receiver removes and gives up, by what each endpoint says."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from receiver_harness import FakeDirectory

from flowmate_airflow.store.claims import Owner, claim, settle
from flowmate_airflow.store.deliveries import NewDelivery, Wanted, find, insert
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import close_stores, open_store
from flowmate_airflow.webhooks import housekeeping
from flowmate_airflow.webhooks.endpoints import Endpoint
from flowmate_airflow.webhooks.housekeeping import tidy
from flowmate_airflow.webhooks.inbox import Inbox

HOUR = 3600


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    url = f"sqlite:///{tmp_path}/store.db"
    yield Inbox(lambda: open_store(url), str(tmp_path / "files"))
    close_stores()


def test_each_endpoint_keeps_what_it_says(inbox: Inbox, tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    received = now() - timedelta(hours=26)
    names = ("short", "long", "flow~step", "flow~patient")
    for name in names:
        digest = hashlib.sha256(name.encode()).digest()
        insert(store, [NewDelivery(endpoint=name, digest=digest, payload=b"{}", received_at=received)])
    for name in names[:2]:
        owner = Owner(name, "r")
        claim(store, owner, name, limit=1)
        settle(store, owner, ok=True)
    table = store.tables.deliveries
    with store.write() as connection:
        connection.execute(table.update().where(table.c.finished_at.is_not(None)).values(finished_at=received))
    insert(store, [NewDelivery(endpoint="flow~early", digest=b"early", payload=b"{}")])
    hours = {"short": 1, "flow~step": 25, "flow~early": 0}
    known = [Endpoint(name, keep=hours.get(name, 27) * HOUR) for name in (*names, "flow~early")]
    assert tidy(inbox, known) == 2
    found = {each.endpoint: (each.status, each.is_purged) for each in find(store, Wanted())}
    assert found == {
        "short": ("delivered", True),
        "long": ("delivered", False),
        "flow~step": ("failed", False),
        "flow~patient": ("received", False),
        "flow~early": ("received", False),
    }


def test_it_goes_on_whatever_goes_wrong(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    errors: list[Exception] = [StoreError("the store is down"), RuntimeError("secret")]
    runs = FakeDirectory()
    done = asyncio.Event()

    def tidy_up(*_: object) -> int:
        if errors:
            raise errors.pop(0)
        loop.call_soon_threadsafe(done.set)
        return 0

    monkeypatch.setattr(housekeeping, "tidy", tidy_up)
    monkeypatch.setattr(housekeeping, "FIRST_SECONDS", 0)
    monkeypatch.setattr(housekeeping, "SECONDS", 0)

    async def act() -> None:
        with ThreadPoolExecutor(1) as pool:
            task = asyncio.ensure_future(housekeeping.keep_house(Inbox(open_store, ""), runs, list, pool))
            await asyncio.wait_for(done.wait(), 60)
            task.cancel()

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(act())
    finally:
        loop.close()
    assert "could not be removed or let go of: the store is down" in caplog.text
    assert "could not be removed or let go of: RuntimeError" in caplog.text
    assert "secret" not in caplog.text
