"""Payloads of deliveries are removed some time after they were finished, their rows and digests later."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flowmate_airflow.store import claims, deliveries, payloads, purges, replies
from flowmate_airflow.store.claims import Owner
from flowmate_airflow.store.deliveries import NewDelivery, Stored, Wanted
from flowmate_airflow.store.payloads import spill_to
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.waiting import waiting

OWNER = Owner("orders", "run1")
DAY = timedelta(days=1)


def new(name: str, payload: bytes = b"{}", **values: Any) -> NewDelivery:
    return NewDelivery(
        **{"endpoint": "orders", "payload": payload, **values}, digest=hashlib.sha256(name.encode()).digest()
    )


def keep(store: Store, *names: str, **values: Any) -> list[int]:
    return [stored.id for stored in deliveries.insert(store, [new(name, **values) for name in names])]


def finish(store: Store, endpoint: str = "orders", limit: int = 10_000) -> list[int]:
    taken = claims.claim(store, OWNER, endpoint, limit=limit)
    claims.settle(store, OWNER, ok=True)
    return taken


def purge(store: Store, **keep_days: float) -> int:
    return deliveries.purge(store, {name: days * DAY for name, days in keep_days.items()})


def make_older(store: Store, days: float, name: str) -> None:
    """Let a time of all deliveries be as if it were some days later."""
    table = store.tables.deliveries
    with store.write() as connection:
        for row in connection.execute(table.select().where(table.c[name].is_not(None))).all():
            older = {name: getattr(row, name) - days * DAY}
            connection.execute(table.update().where(table.c.id == row.id).values(older))


def purged(store: Store) -> list[int]:
    return [each.id for each in deliveries.find(store, Wanted()) if each.is_purged]


def test_payloads_go_when_their_time_is_over(store: Store) -> None:
    a, b, c = keep(store, "a", "b", "c")
    (d,) = keep(store, "d", endpoint="bills")
    finish(store, limit=2)
    finish(store, "bills")
    assert purge(store, orders=0.5, bills=0.5) == 0
    make_older(store, 1, "finished_at")
    assert purge(store, orders=0.5, bills=3) == 2
    assert purged(store) == [a, b]
    assert purge(store, orders=0.5, bills=0.5) == 1
    assert purged(store) == [a, b, d]
    assert purge(store, orders=0, bills=0) == 0
    assert deliveries.payload_of(store, c) == b"{}"


def test_an_endpoint_that_is_gone_keeps_its_payloads_for_a_while(store: Store) -> None:
    keep(store, "a")
    finish(store)
    make_older(store, 6, "finished_at")
    assert purge(store) == 0
    make_older(store, 2, "finished_at")
    assert purge(store, other=100) == 1


def test_what_comes_again_after_its_payload_is_gone_is_a_duplicate(store: Store) -> None:
    (a,) = keep(store, "a")
    finish(store)
    purge(store, orders=-1)
    assert purged(store) == [a]
    assert deliveries.insert(store, [new("a")]) == [Stored(a, True)]
    kept = deliveries.get(store, a)
    assert kept is not None
    assert (kept.is_purged, kept.status, kept.duplicates) == (True, deliveries.DELIVERED, 1)
    assert waiting(store) == []


def test_rows_go_after_a_month_and_then_it_is_new(store: Store) -> None:
    a, b = keep(store, "a", "b")
    finish(store, limit=1)
    make_older(store, 31, "received_at")
    assert purge(store, orders=1) == 0  # its payload is still kept
    make_older(store, 31, "finished_at")
    assert purge(store, orders=1) == 2
    assert [each.id for each in deliveries.find(store, Wanted())] == [b]  # nobody has dealt with that one
    (again,) = deliveries.insert(store, [new("a")])
    assert not again.is_duplicate
    assert again.id > b > a


def test_notes_of_rejected_requests_go_with_the_payloads(store: Store) -> None:
    deliveries.reject(store, "orders", "no")
    assert purge(store, orders=1) == 0
    assert purge(store, orders=-1) == 1
    assert list(deliveries.find(store, Wanted())) == []


def test_files_go_with_their_payloads(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "SPILL_FROM", 1)
    given = [new(name) for name in ("a", "b", "c")]
    a, b, c = (stored.id for stored in deliveries.insert(store, given, spill_to(str(tmp_path))))
    files = {each.id: Path(each.href or "") for each in deliveries.find(store, Wanted())}
    finish(store, limit=2)
    files[a].unlink()
    assert purge(store, orders=-1) == 2
    assert purged(store) == [a, b]
    assert [number for number in (a, b, c) if files[number].exists()] == [c]
    assert deliveries.payload_of(store, c) == b"{}"


def test_a_file_that_cannot_be_removed_is_tried_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payloads, "SPILL_FROM", 1)
    monkeypatch.setattr(purges, "_FILES", 2)
    given = [new(name) for name in "abcde"]
    numbers = [stored.id for stored in deliveries.insert(store, given, spill_to(str(tmp_path)))]
    finish(store)
    stuck = deliveries.find(store, Wanted(ids=numbers[:1])).__next__().href

    def refuses(href: str) -> bool:
        return href != stuck and payloads.removed(href)

    with monkeypatch.context() as patched:
        patched.setattr(purges, "removed", refuses)
        assert purge(store, orders=-1) == 4
    assert purged(store) == numbers[1:]
    assert purge(store, orders=-1) == 1
    assert purged(store) == numbers


@pytest.fixture
def spilled(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, Path]:
    """Files of deliveries that are finished, by their ids."""
    monkeypatch.setattr(payloads, "SPILL_FROM", 1)
    deliveries.insert(store, [new(name) for name in "abc"], spill_to(str(tmp_path)))
    finish(store)
    return {each.id: Path(each.href or "") for each in deliveries.find(store, Wanted())}


def test_files_are_removed_while_no_transaction_is_open(
    store: Store, spilled: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, seen = [0], []
    real = Store.write

    @contextmanager
    def write(self: Store) -> Iterator[Any]:
        with real(self) as connection:
            writing[0] += 1
            try:
                yield connection
            finally:
                writing[0] -= 1

    def slowly(href: str) -> bool:
        seen.append(writing[0])
        return payloads.removed(href)

    monkeypatch.setattr(Store, "write", write)
    monkeypatch.setattr(purges, "removed", slowly)
    assert purge(store, orders=-1) == 3
    assert seen == [0, 0, 0]


def test_what_is_being_removed_is_not_received_again(
    store: Store, spilled: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[int] = []

    def meanwhile(href: str) -> bool:
        moved.append(deliveries.replay(store, Wanted(ids=list(spilled))))
        return payloads.removed(href)

    monkeypatch.setattr(purges, "removed", meanwhile)
    assert purge(store, orders=-1) == 3
    assert moved == [0, 0, 0]
    assert purged(store) == list(spilled)


def test_files_of_a_purge_that_was_killed_go_before_their_rows(
    store: Store, spilled: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.write() as connection:  # as it leaves them
        connection.execute(store.tables.deliveries.update().values(payload=None))
    make_older(store, 31, "received_at")
    with monkeypatch.context() as patched:
        patched.setattr(purges, "removed", lambda href: False)
        assert purge(store, orders=-1) == 0
    assert len(list(deliveries.find(store, Wanted()))) == 3
    assert purge(store, orders=-1) == 6
    assert [path for path in spilled.values() if path.exists()] == []
    assert list(deliveries.find(store, Wanted())) == []


def test_many_are_purged(store: Store) -> None:
    numbers = keep(store, *(f"a{number}" for number in range(1203)))
    finish(store)
    assert purge(store, orders=-1) == 1203
    assert purged(store) == numbers


def test_old_answers_are_purged(store: Store) -> None:
    replies.put_reply(store, 17, 200, "text/plain", b"old")
    with store.write() as connection:
        connection.execute(store.tables.replies.update().values(replied_at=now() - replies.KEEP * 2))
    purge(store)
    assert replies.get_replies(store, [17]) == {}


def test_calls_that_nobody_waits_for_are_given_up_and_can_be_replayed(store: Store) -> None:
    (a,) = keep(store, "a", endpoint="orders~paid")
    make_older(store, 2, "received_at")
    b, c = keep(store, "b", "c", endpoint="orders~paid")
    (d,) = keep(store, "d")
    claims.claim(store, OWNER, "orders~paid", limit=1, ids=[c])
    assert purges.give_up(store, "orders~paid", DAY) == 1
    states = {each.id: (each.status, each.error) for each in deliveries.find(store, Wanted())}
    assert states == {
        a: ("failed", "no step has waited for this call"),
        b: ("received", None),
        c: ("claimed", None),
        d: ("received", None),
    }
    assert deliveries.replay(store, Wanted(endpoint="orders~paid")) == 1
