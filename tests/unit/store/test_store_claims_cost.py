"""How the work of claims grows, in steps of SQLite: what is asked several times a second stays cheap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from flowmate_airflow.store import claims, deliveries
from flowmate_airflow.store.claims import Owner
from flowmate_airflow.store.deliveries import NewDelivery
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store, close_stores, open_store
from flowmate_airflow.store.waiting import waiting


@pytest.fixture
def file_store(tmp_path: Path) -> Iterator[Store]:
    yield open_store(f"sqlite:///{tmp_path}/store.db")
    close_stores()


def keep(store: Store, start: int, keys: list[str | None]) -> None:
    new = [
        NewDelivery("orders", (start + number).to_bytes(32, "big"), b"{}", order_key=key)
        for number, key in enumerate(keys)
    ]
    deliveries.insert(store, new)


def steps(store: Store, work: Callable[[], Any]) -> int:
    """Return about how many steps SQLite made, in tens."""
    count = 0

    def step() -> None:
        nonlocal count
        count += 1

    def prepare(connection: Any, _record: object) -> None:
        connection.set_progress_handler(step, 10)

    store.engine.dispose()
    sqlalchemy.event.listen(store.engine, "connect", prepare)
    try:
        with store.read():  # what a new connection does is not counted
            pass
        count = 0
        work()
        return count
    finally:
        sqlalchemy.event.remove(store.engine, "connect", prepare)
        store.engine.dispose()


def test_finished_ones_cost_nothing(file_store: Store) -> None:
    keep(file_store, 0, ["a", None] * 20)

    def ask() -> None:
        assert waiting(file_store)[0].count == 40
        assert claims.owners(file_store) == {}

    before = steps(file_store, ask)
    keep(file_store, 1000, ["a", None] * 1000)
    late = file_store.tables.deliveries
    with file_store.write() as connection:
        finished = {"status": deliveries.DELIVERED, "finished_at": now(), "claim_run": "run1"}
        connection.execute(late.update().where(late.c.id > 40).values(finished))
    assert 0 < steps(file_store, ask) < before * 1.2


@pytest.mark.parametrize("key", ["hot", "{size}.{number}"])
def test_those_that_wait_for_their_turn_cost_no_more_than_their_number(file_store: Store, key: str) -> None:
    costs = []
    for size in (1, 2, 3, 4):
        keep(file_store, size * 1000, [key.format(size=size, number=number % 200) for number in range(400)])
        claims.claim(file_store, Owner("orders", f"run{size}"), "orders", limit=100, ordered=True)
        costs.append(steps(file_store, lambda: waiting(file_store)))
    assert costs[3] < costs[0] * 6  # four times as many; each with each would be sixteen times as much
