"""Runs claim deliveries, read them, and settle them."""

from __future__ import annotations

import hashlib
import tracemalloc
from datetime import timedelta
from typing import Any

import pytest

from flowmate_airflow.store import claims, deliveries
from flowmate_airflow.store.claims import Owner, Settled
from flowmate_airflow.store.deliveries import NewDelivery, Wanted
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.waiting import Waiting, tenants_waiting, waiting

ONE, TWO = Owner("orders", "run1"), Owner("orders", "run2", "wait")
NO_DELAY = timedelta(0)


def keep(store: Store, *names: str, **values: Any) -> list[int]:
    """Keep deliveries; the first letter of a name is its key where `keys` says so."""
    keyed = values.pop("keys", False)
    given = {"endpoint": "orders", **values}
    new = [
        NewDelivery(
            digest=hashlib.sha256(name.encode()).digest(),
            payload=f'{{"id":"{name}"}}'.encode(),
            order_key=name[0] if keyed else None,
            **given,
        )
        for name in names
    ]
    return [stored.id for stored in deliveries.insert(store, new)]


def claim(store: Store, owner: Owner = ONE, limit: int = 100, **values: Any) -> list[int]:
    return claims.claim(store, owner, "orders", limit=limit, **values)


def statuses(store: Store) -> list[str]:
    return [each.status for each in deliveries.find(store, Wanted())]


def let_wait(store: Store, *numbers: int) -> None:
    table = store.tables.deliveries
    later = {"available_at": now() + timedelta(hours=1)}
    with store.write() as connection:
        connection.execute(table.update().where(table.c.id.in_(numbers)).values(later))


# --- waiting


def test_what_waits_is_told_by_endpoint(store: Store) -> None:
    assert waiting(store) == []
    moment = now()
    a, b, c = (keep(store, name, received_at=moment + timedelta(seconds=-n))[0] for n, name in enumerate("abc"))
    (d,) = keep(store, "d", tenant="acme", received_at=moment)
    keep(store, "e", endpoint="bills", received_at=moment + timedelta(hours=1))
    deliveries.reject(store, "bills", "no")
    first, last = moment - timedelta(seconds=2), moment
    assert waiting(store) == [
        Waiting("orders", "", a, c, 3, first, last),
        Waiting("orders", "acme", d, d, 1, moment, moment),
    ]
    assert claim(store, limit=1) == [a]
    let_wait(store, b)
    assert waiting(store)[0] == Waiting("orders", "", c, c, 1, first, first)


def test_what_must_wait_for_its_turn_is_not_told(store: Store) -> None:
    a1, a2, b1, b2, b3 = keep(store, "a1", "a2", "b1", "b2", "b3", keys=True)
    keep(store, "a9", keys=True, endpoint="other")
    assert [(each.endpoint, each.count) for each in waiting(store)] == [("orders", 5), ("other", 1)]
    assert claim(store, ids=[a1], ordered=True) == [a1]
    let_wait(store, b2)
    assert [(each.first_id, each.count) for each in waiting(store) if each.endpoint == "orders"] == [(b1, 1)]
    claims.settle(store, ONE, ok=True)
    assert next((each.first_id, each.last_id) for each in waiting(store)) == (a2, b1)
    assert b3 > b2


# --- claim


def test_a_claim_takes_the_oldest_of_its_endpoint(store: Store) -> None:
    a, b, c = keep(store, "a", "b", "c")
    keep(store, "d", endpoint="bills")
    (e,) = keep(store, "e", tenant="acme")
    assert claim(store, limit=2) == [a, b]
    assert claim(store, TWO) == [c]
    assert claim(store, Owner("orders", "run3")) == []
    assert claim(store, Owner("orders", "run3"), tenant="acme") == [e]
    taken = deliveries.get(store, c)
    assert taken is not None
    assert taken.claimed_at is not None
    assert (taken.status, taken.claim_flow, taken.claim_run, taken.claim_task) == ("claimed", "orders", "run2", "wait")


def test_a_claim_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, c, d = keep(store, "a", "b", "c", "d")
    size = len(b'{"id":"a"}')
    assert claim(store, Owner("orders", "r1"), max_bytes=1) == [a]
    assert claim(store, Owner("orders", "r2"), max_bytes=2 * size) == [b, c]
    assert claim(store, Owner("orders", "r3"), limit=0) == []
    keep(store, "e")
    monkeypatch.setattr(claims, "MAX_CLAIM", 1)
    assert claim(store, Owner("orders", "r4"), limit=10**9) == [d]


def test_a_claim_of_some_of_them(store: Store) -> None:
    a, b, c = keep(store, "a", "b", "c")
    assert claim(store, ids=[c, a, 999_999]) == [a, c]
    assert claim(store, TWO, ids=[c]) == []
    assert claim(store, TWO, ids=[]) == []
    assert claim(store, TWO, ids=[a, b]) == [b]


def test_who_asks_again_gets_what_it_had_and_nothing_else(store: Store) -> None:
    a, b = keep(store, "a", "b")
    assert claim(store, limit=1) == [a]
    keep(store, "c")
    assert claim(store) == [a]
    assert claim(store, Owner("orders", "run1", "other"), limit=1) == [b]


def test_who_asks_for_some_gets_them_beside_what_it_had(store: Store) -> None:
    a, b, c = keep(store, "a", "b", "c")
    assert claim(store, ids=[b]) == [b]
    assert claim(store, ids=[c, b]) == [c]
    assert claim(store, TWO) == [a]
    assert claim(store, ids=[a]) == []
    claims.settle(store, ONE, ok=True)
    assert claim(store, limit=0) == [b, c]
    assert [each.id for each, _ in claims.read_claimed(store, ONE)] == [b, c]


@pytest.mark.parametrize("ok", [True, False])
def test_a_cleared_run_gets_the_same_again_when_they_were_finished(store: Store, ok: bool) -> None:
    a, b = keep(store, "a", "b")
    claim(store)
    claims.settle(store, ONE, ok=ok, max_attempts=1)
    assert statuses(store) == ["delivered" if ok else "failed"] * 2
    keep(store, "c")
    assert claim(store) == [a, b]
    assert statuses(store) == ["claimed", "claimed", "received"]
    assert claims.settle(store, ONE, ok=True) == Settled(delivered=2)


def test_a_cleared_run_whose_payloads_are_gone_is_told_so(store: Store) -> None:
    a, _, c = keep(store, "a", "b", "c")
    claim(store, limit=2)
    claims.settle(store, ONE, ok=True)
    table = store.tables.deliveries
    with store.write() as connection:
        connection.execute(table.update().where(table.c.id == a).values(payload=None))
    with pytest.raises(StoreError, match=r"run1 of orders took 2 deliveries, and the payloads of 1 are no longer kept"):
        claim(store)
    assert claim(store, TWO) == [c]


def test_what_was_replayed_belongs_to_nobody(store: Store) -> None:
    (a,) = keep(store, "a")
    claim(store)
    claims.settle(store, ONE, ok=True)
    deliveries.replay(store, Wanted(ids=[a]))
    assert claim(store, TWO) == [a]
    assert claim(store) == []


# --- in order


def test_a_key_is_in_one_run_at_a_time(store: Store) -> None:
    a1, b1, a2, c1, b2 = keep(store, "a1", "b1", "a2", "c1", "b2", keys=True)
    assert claim(store, ordered=True, limit=2) == [a1, b1]
    assert claim(store, TWO, ordered=True) == [c1]
    claims.settle(store, ONE, ok=True)
    assert claim(store, Owner("orders", "run3"), ordered=True) == [a2, b2]


def test_keys_of_other_endpoints_and_tenants_do_not_matter(store: Store) -> None:
    keep(store, "a1", keys=True, endpoint="bills")
    keep(store, "a2", keys=True, tenant="acme")
    claims.claim(store, TWO, "bills", limit=1, ordered=True)
    claim(store, TWO, tenant="acme", ordered=True)
    (a3,) = keep(store, "a3", keys=True)
    assert claim(store, ordered=True) == [a3]


def test_what_has_no_key_waits_for_nothing(store: Store) -> None:
    a, b = keep(store, "a", "b")
    assert claim(store, ordered=True, limit=1) == [a]
    assert claim(store, TWO, ordered=True) == [b]


def test_nothing_passes_an_earlier_one_that_waits_for_its_next_try(store: Store) -> None:
    a1, b1, a2 = keep(store, "a1", "b1", "a2", keys=True)
    assert claim(store, ordered=True, limit=1) == [a1]
    claims.settle(store, ONE, ok=False, delay=timedelta(hours=1))
    assert claim(store, TWO, ordered=True) == [b1]
    # Without keys it would be taken.
    assert claim(store, Owner("orders", "run3")) == [a2]


def test_one_that_failed_for_good_lets_the_others_pass(store: Store) -> None:
    a1, a2 = keep(store, "a1", "a2", keys=True)
    assert claim(store, ordered=True, limit=1) == [a1]
    assert claims.settle(store, ONE, ok=False, max_attempts=1) == Settled(failed=1)
    assert claim(store, TWO, ordered=True) == [a2]


def test_released_ones_keep_their_order(store: Store) -> None:
    a1, a2, b1 = keep(store, "a1", "a2", "b1", keys=True)
    assert claim(store, ordered=True) == [a1, a2, b1]
    assert claims.settle(store, ONE, ok=False, delay=NO_DELAY) == Settled(released=3)
    (a3,) = keep(store, "a3", keys=True)
    assert claim(store, TWO, ordered=True) == [a1]
    assert claim(store, Owner("orders", "run3"), ordered=True) == [b1]
    claims.settle(store, TWO, ok=True)
    assert claim(store, Owner("orders", "run4"), ordered=True) == [a2]
    assert claim(store, Owner("orders", "run5"), ordered=True) == []
    claims.settle(store, Owner("orders", "run4"), ok=True)
    assert claim(store, Owner("orders", "run5"), ordered=True) == [a3]


def runs_with_poison(store: Store, poison: set[int], attempts: int) -> list[list[int]]:
    """Return what each run claims until nothing waits; those with a poison fail."""
    runs: list[list[int]] = []
    while any(status in ("received", "claimed") for status in statuses(store)):
        owner = Owner("orders", f"run {len(runs)}")
        runs.append(claim(store, owner, limit=1000))
        ok = not poison & set(runs[-1])
        claims.settle(store, owner, ok=ok, max_attempts=attempts, delay=NO_DELAY)
        assert len(runs) < 100
    return runs


def test_one_that_makes_its_run_fail_is_found_and_the_others_succeed(store: Store) -> None:
    ids = keep(store, *(str(number) for number in range(20)))
    runs = runs_with_poison(store, {ids[7]}, attempts=3)
    assert runs[0] == ids
    assert sorted(map(len, runs[1:])) == [1, 1, *[2] * 10]
    assert [ids[6]] in runs
    failed = [each.id for each in deliveries.find(store, Wanted(status="failed"))]
    assert failed == [ids[7]]


def test_of_many_a_few_are_left_which_a_replay_parts_further(store: Store) -> None:
    ids = keep(store, *(str(number) for number in range(400)))
    assert len(runs_with_poison(store, {ids[0]}, attempts=3)) <= 1 + 10 + 10
    assert [each.id for each in deliveries.find(store, Wanted(status="failed"))] == ids[:4]
    assert deliveries.replay(store, Wanted()) == 400
    assert runs_with_poison(store, {ids[0]}, attempts=4)[0] == ids
    assert [each.id for each in deliveries.find(store, Wanted(status="failed"))] == ids[:1]


def test_new_ones_are_not_in_a_run_with_those_that_failed(store: Store) -> None:
    a, b = keep(store, "a", "b")
    assert claim(store) == [a, b]
    claims.settle(store, ONE, ok=False, delay=NO_DELAY)
    c, d = keep(store, "c", "d")
    runs = [claim(store, Owner("orders", f"run {number}")) for number in range(4)]
    assert runs == [[a], [b], [c, d], []]


def test_one_that_came_late_is_not_in_another_run_than_a_later_one_of_its_key(store: Store) -> None:
    a1, a2 = keep(store, "a1", "a2", keys=True)
    let_wait(store, a1)
    claims.claim(store, ONE, "orders", limit=1)  # not in order: another process may have seen a2 before a1
    with store.write() as connection:
        connection.execute(store.tables.deliveries.update().values(available_at=now()))
    assert claims.read_claimed(store, ONE).__next__()[0].id == a2
    assert claim(store, TWO, ordered=True) == []


def test_some_of_them_in_order(store: Store) -> None:
    a1, a2, b1, a3 = keep(store, "a1", "a2", "b1", "a3", keys=True)
    assert claim(store, ordered=True, ids=[a1, a3, b1]) == [a1, b1]
    assert claim(store, TWO, ordered=True, ids=[a2]) == []
    claims.settle(store, ONE, ok=True)
    assert claim(store, TWO, ordered=True, ids=[a2, a3]) == [a2, a3]


def test_a_key_with_a_long_queue_does_not_hold_up_the_others(store: Store) -> None:
    first, *_ = keep(store, *(f"a{number}" for number in range(300)), keys=True)
    (b1,) = keep(store, "b1", keys=True)
    assert claim(store, ordered=True, limit=1) == [first]
    assert claim(store, TWO, ordered=True, limit=10) == [b1]


# --- read


def test_what_an_owner_has_is_read_in_order(store: Store) -> None:
    a, b, c = keep(store, "a", "b", "c")
    assert list(claims.read_claimed(store, ONE)) == []
    claim(store, limit=2)
    claim(store, TWO)
    read = [(each.id, each.status, payload) for each, payload in claims.read_claimed(store, ONE)]
    assert read == [(a, "claimed", b'{"id":"a"}'), (b, "claimed", b'{"id":"b"}')]
    assert [each.id for each, _ in claims.read_claimed(store, TWO)] == [c]
    claims.settle(store, ONE, ok=True)
    assert list(claims.read_claimed(store, ONE)) == []


def test_many_are_read_with_little_memory(store: Store) -> None:
    size, count = 50_000, 1_000
    for start in range(0, count, 50):
        new = []
        for number in range(start, start + 50):
            payload = str(number).encode() + b"x" * size
            new.append(NewDelivery("orders", hashlib.sha256(payload).digest(), payload))
        deliveries.insert(store, new)
    claim(store, limit=count)
    tracemalloc.start()
    try:
        seen = sum(1 for _ in claims.read_claimed(store, ONE))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen == count
    assert peak < size * count / 4


# --- settle


def test_settling_twice_does_it_once(store: Store) -> None:
    a, b, _ = keep(store, "a", "b", "c")
    claim(store, limit=1)
    claim(store, TWO, limit=1)
    assert claims.settle(store, ONE, ok=True) == Settled(delivered=1)
    assert claims.settle(store, ONE, ok=True) == Settled()
    assert claims.settle(store, ONE, ok=False) == Settled()
    assert statuses(store) == ["delivered", "claimed", "received"]
    done = deliveries.get(store, a)
    assert done is not None
    assert done.finished_at is not None
    assert (done.claim_run, done.error, done.attempts) == ("run1", None, 0)
    assert deliveries.find(store, Wanted(ids=[b])).__next__().claim_run == "run2"


def test_a_run_that_failed_releases_with_a_growing_delay_and_gives_up_at_last(store: Store) -> None:
    (a,) = keep(store, "a")
    waits = []
    for number in range(3):
        owner = Owner("orders", f"run{number}")
        assert claim(store, owner) == [a]
        before = now()
        expected = Settled(failed=1) if number == 2 else Settled(released=1)
        assert (
            claims.settle(store, owner, ok=False, error=f"no {number}" + "x" * 9000, delay=timedelta(hours=1))
            == expected
        )
        kept = deliveries.get(store, a)
        assert kept is not None
        waits.append(round((kept.available_at - before) / timedelta(hours=1)))
        assert kept.attempts == number + 1
        assert (kept.error or "").startswith(f"no {number}x")
        assert len(kept.error or "") == deliveries.MAX_ERROR
        if number < 2:
            assert (kept.status, kept.claim_run, kept.claimed_at) == ("received", None, None)
            assert claim(store, Owner("orders", "early")) == []
            with store.write() as connection:
                connection.execute(store.tables.deliveries.update().values(available_at=now()))
    assert waits[:2] == [1, 2]
    assert statuses(store) == ["failed"]
    assert claims.owners(store) == {}
    assert waiting(store) == []


def test_each_delivery_counts_its_own_attempts(store: Store) -> None:
    a, b, c = keep(store, "a", "b", "c")
    table = store.tables.deliveries
    with store.write() as connection:
        for number, attempts in ((b, 1), (c, 2)):
            connection.execute(table.update().where(table.c.id == number).values(attempts=attempts))
    claim(store, ids=[a, b, c])
    assert claims.settle(store, ONE, ok=False) == Settled(released=2, failed=1)
    found = {each.id: (each.attempts, each.status) for each in deliveries.find(store, Wanted())}
    assert found == {a: (1, "received"), b: (2, "received"), c: (3, "failed")}


def test_a_delay_does_not_grow_without_end(store: Store) -> None:
    (a,) = keep(store, "a")
    with store.write() as connection:
        connection.execute(store.tables.deliveries.update().values(attempts=5000))
    claim(store)
    claims.settle(store, ONE, ok=False, max_attempts=10_000)
    kept = deliveries.get(store, a)
    assert kept is not None
    assert kept.available_at <= now() + claims.MAX_DELAY


def test_owners_are_those_that_have_something(store: Store) -> None:
    keep(store, "a", "b", "c")
    claim(store, limit=1)
    claim(store, TWO, limit=1)
    assert claims.owners(store) == {"orders": [ONE, TWO]}
    claims.settle(store, ONE, ok=True)
    assert claims.owners(store) == {"orders": [TWO]}


def test_the_tenants_for_whom_something_waits(store: Store) -> None:
    moment = now()

    def deliver(tenant: str, age: int, endpoint: str = "orders", key: str | None = None) -> int:
        digest = hashlib.sha256(f"{endpoint} {tenant} {age}".encode()).digest()
        received = moment - timedelta(seconds=age)
        new = NewDelivery(endpoint, digest, b"{}", tenant, order_key=key, received_at=received)
        return deliveries.insert(store, [new])[0].id

    deliver("", 5)
    deliver("bills", 5, "bills")
    deliver("quiet", 20)
    deliver("busy", 20)
    deliver("busy", 1)
    deliver("long", 120)
    deliver("long", 1)
    taken, _ = deliver("taken", 5, key="k"), deliver("taken", 4, key="k")
    assert claims.claim(store, Owner("orders", "r"), "orders", "taken", limit=1, ordered=True) == [taken]
    assert tenants_waiting(store, "orders") == ["busy", "long", "quiet"]  # what is left of `taken` has to wait for it
    assert tenants_waiting(store, "orders", debounce=10) == ["long", "quiet"]
    claims.settle(store, Owner("orders", "r"), ok=False, delay=timedelta(0))
    assert tenants_waiting(store, "orders") == ["busy", "long", "quiet", "taken"]
    assert tenants_waiting(store, "nothing") == []
