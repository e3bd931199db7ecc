"""What the receiver removes and gives up, by what each endpoint says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from flowmate_airflow.store.claims import Owner, claim, settle
from flowmate_airflow.store.deliveries import NewDelivery, Wanted, find, insert
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import close_stores, open_store
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
    received = now() - timedelta(hours=2)
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
    known = [Endpoint(name, keep=HOUR if name in ("short", "flow~step") else 3 * HOUR) for name in names]
    assert tidy(inbox, known) == 2
    found = {each.endpoint: (each.status, each.is_purged) for each in find(store, Wanted())}
    assert found == {
        "short": ("delivered", True),
        "long": ("delivered", False),
        "flow~step": ("failed", False),
        "flow~patient": ("received", False),
    }
