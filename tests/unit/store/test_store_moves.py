"""Deliveries that go to another endpoint."""

from __future__ import annotations

from typing import Any

import pytest
from test_store_deliveries import keep, new, raw, set_status

from flowmate_airflow.store import deliveries, moves
from flowmate_airflow.store.deliveries import Stored, Wanted
from flowmate_airflow.store.store import Store


def all_of(store: Store, endpoint: str) -> list[tuple[int, str]]:
    return [(each.id, each.status) for each in deliveries.find(store, Wanted(endpoint=endpoint))]


@pytest.fixture
def mixed(store: Store) -> list[int]:
    """One delivery of each status, and one that was purged."""
    numbers = keep(store, "a", "b", "c", "d", "e")
    for number, status in zip(numbers[1:], ("delivered", "failed", "claimed", "delivered"), strict=True):
        set_status(store, number, status)
    table = store.tables.deliveries
    with store.write() as connection:
        connection.execute(table.update().where(table.c.id == numbers[4]).values(payload=None))
    deliveries.reject(store, "orders", "no signature")
    return numbers


def test_what_waits_and_what_is_finished_goes_to_the_other_endpoint(store: Store, mixed: list[int]) -> None:
    assert moves.move(store, Wanted(endpoint="orders"), "sales") == 3
    assert all_of(store, "sales") == [(number, "received") for number in mixed[:3]]
    assert [status for _, status in all_of(store, "orders")] == ["claimed", "delivered", "rejected"]
    row: Any = raw(store, mixed[2])
    assert (row.attempts, row.error, row.finished_at, row.claim_run) == (0, None, None, None)
    assert deliveries.payload_of(store, mixed[2]) == b'{"id":"c"}'


def test_only_what_is_wanted_moves_and_nothing_moves_to_where_it_is(store: Store, mixed: list[int]) -> None:
    assert moves.move(store, Wanted(endpoint="orders", status="failed"), "sales") == 1
    assert moves.move(store, Wanted(ids=mixed), "sales") == 2
    assert moves.move(store, Wanted(ids=mixed), "sales") == 0
    assert moves.move(store, Wanted(ids=mixed, status="claimed"), "sales") == 1


def test_many_deliveries_move_in_groups(store: Store) -> None:
    numbers = keep(store, *map(str, range(1100)))
    assert moves.move(store, Wanted(ids=numbers), "sales") == 1100
    assert all_of(store, "orders") == []


def test_a_moved_delivery_is_still_known_when_it_comes_again(store: Store) -> None:
    (number,) = keep(store, "a")
    moves.move(store, Wanted(), "sales")
    assert deliveries.insert(store, [new("a")]) == [Stored(number, True)]


def test_what_can_come_back_is_counted(store: Store, mixed: list[int]) -> None:
    every = ("received", "claimed", "delivered", "failed")
    assert moves.count_kept(store, Wanted(), every) == dict.fromkeys(every, 1)
    assert moves.count_kept(store, Wanted(ids=mixed), ("delivered", "failed")) == {"delivered": 1, "failed": 1}
    assert moves.count_kept(store, Wanted(endpoint="nobody"), every) == {}


def test_those_that_came_again_are_found(store: Store) -> None:
    one, _ = keep(store, "a", "b")
    keep(store, "a")
    assert [each.id for each in deliveries.find(store, Wanted(repeated=True))] == [one]
