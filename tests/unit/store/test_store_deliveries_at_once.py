"""Several processes deliver, claim and settle at the same moment; one is killed in the middle of it."""

from __future__ import annotations

import os
import signal

import sqlalchemy
import store_workers
from store_workers import at_once

from flowmate_airflow.store import claims, deliveries
from flowmate_airflow.store.claims import Owner
from flowmate_airflow.store.deliveries import NewDelivery, Wanted
from flowmate_airflow.store.store import Store, open_store


def keep(store: Store, count: int, keys: int = 0) -> list[int]:
    new = [
        NewDelivery("orders", number.to_bytes(32, "big"), b"{}", order_key=f"k{number % keys}" if keys else None)
        for number in range(count)
    ]
    return [stored.id for stored in deliveries.insert(store, new)]


def test_each_delivery_gets_one_owner(store: Store, url: str) -> None:
    numbers = keep(store, 2000)
    taken = at_once(store_workers.claim_deliveries, [(url, f"run{n}", 30, False, 12) for n in range(8)])
    assert sorted(number for each in taken for number in each) == numbers


def test_in_order_each_key_gets_one_owner(store: Store, url: str) -> None:
    numbers = keep(store, 200, keys=10)
    taken = at_once(store_workers.claim_deliveries, [(url, f"run{n}", 7, True, 3) for n in range(8)])
    keys: dict[str | None, set[str | None]] = {}
    for each in deliveries.find(store, Wanted(status=deliveries.CLAIMED)):
        keys.setdefault(each.order_key, set()).add(each.claim_run)
    assert set(keys) == {f"k{number}" for number in range(10)}
    assert all(len(runs) == 1 for runs in keys.values())
    assert len({number for each in taken for number in each}) == sum(len(each) for each in taken) <= len(numbers)


def test_nothing_is_lost_and_nothing_is_in_two_runs_when_some_of_them_fail(store: Store, url: str) -> None:
    numbers = keep(store, 300, keys=20)
    done = at_once(store_workers.claim_and_settle, [(url, f"run{n}", 40) for n in range(4)])
    assert all(isinstance(each, list) for each in done), done
    delivered = [each.id for each in deliveries.find(store, Wanted(status=deliveries.DELIVERED))]
    while last := claims.claim(store, Owner("orders", "last"), "orders", limit=1000, ordered=True, ids=numbers):
        delivered += last
    assert sorted(delivered) == numbers
    assert len({(number, run) for each in done for number, run in each}) == sum(len(each) for each in done)


def test_the_same_deliveries_from_many_in_different_orders(store: Store, url: str) -> None:
    names = [f"evt{number}" for number in range(60)]
    given = at_once(store_workers.deliver, [(url, names), (url, names[::-1])] * 3)
    assert all(isinstance(each, list) for each in given), given
    assert sum(not is_duplicate for each in given for is_duplicate in each) == len(names)
    assert [each.duplicates for each in deliveries.find(store, Wanted())] == [5] * len(names)


def test_a_claim_of_a_process_that_is_killed_leaves_no_half(store: Store, url: str) -> None:
    numbers = keep(store, 50)
    reached, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            mine = open_store(url)

            @sqlalchemy.event.listens_for(mine.engine, "commit")
            def wait_for_the_end(_: object) -> None:
                os.write(write_end, b"x")
                signal.pause()

            claims.claim(mine, Owner("orders", "run1"), "orders", limit=20)
        finally:
            os._exit(1)
    os.close(write_end)
    assert os.read(reached, 1) == b"x"
    os.close(reached)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert claims.owners(store) == {}
    assert claims.claim(store, Owner("orders", "run1"), "orders", limit=100) == numbers
