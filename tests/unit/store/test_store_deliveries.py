"""Deliveries of webhooks: kept once, rejected, found, counted and replayed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.models import crypto
from airflow.models.crypto import _NullFernet, _RealFernet
from cryptography.fernet import Fernet, MultiFernet

from flowmate_airflow.store import deliveries, payloads
from flowmate_airflow.store.deliveries import Count, NewDelivery, Stored, Wanted
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.payloads import spill_to
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store

LARGE = b'{"data":"' + b"".join(hashlib.sha256(bytes([n % 256, n // 256])).hexdigest().encode() for n in range(9000))
LARGE += b'"}'


def new(name: str = "a", **values: Any) -> NewDelivery:
    given = {"endpoint": "orders", "payload": f'{{"id":"{name}"}}'.encode(), **values}
    return NewDelivery(digest=hashlib.sha256(name.encode()).digest(), **given)


def keep(store: Store, *names: str, **values: Any) -> list[int]:
    return [stored.id for stored in deliveries.insert(store, [new(name, **values) for name in names])]


def set_status(store: Store, number: int, status: str) -> None:
    finished = None if status in (deliveries.RECEIVED, deliveries.CLAIMED) else now()
    table = store.tables.deliveries
    values = {"status": status, "finished_at": finished, "claim_run": "run1", "attempts": 3, "error": "no"}
    with store.write() as connection:
        connection.execute(table.update().where(table.c.id == number).values(values))


def found(store: Store, limit: int | None = None, newest_first: bool = False, **wanted: Any) -> list[int]:
    return [each.id for each in deliveries.find(store, Wanted(**wanted), limit, newest_first=newest_first)]


def raw(store: Store, number: int) -> Any:
    table = store.tables.deliveries
    with store.read() as connection:
        return connection.execute(table.select().where(table.c.id == number)).one()


@pytest.fixture
def fernet(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Airflow's encryption, with a key of the test's."""
    made = _RealFernet(MultiFernet([Fernet(Fernet.generate_key())]))
    monkeypatch.setattr(crypto, "get_fernet", lambda: made)
    return made


# --- insert


def test_a_delivery_comes_back_whole(store: Store) -> None:
    given = new(delivery_id="evt\0\ud800\\", event="order.created", order_key="17", tenant="acme")
    (stored,) = deliveries.insert(store, [given])
    kept = deliveries.get(store, stored.id)
    assert kept is not None
    assert (kept.endpoint, kept.tenant, kept.delivery_id, kept.event) == (
        "orders",
        "acme",
        "evt\0\ud800\\",
        given.event,
    )
    assert (kept.order_key, kept.status, kept.attempts, kept.duplicates) == ("17", deliveries.RECEIVED, 0, 0)
    assert kept.received_at == kept.available_at == given.received_at
    assert (kept.error, kept.claim_run, kept.claimed_at, kept.finished_at, kept.href) == (None,) * 5
    assert (kept.size, kept.is_encrypted, kept.is_purged) == (len(given.payload), False, False)
    assert deliveries.payload_of(store, stored.id) == given.payload
    assert "payload" not in repr(given)


@pytest.mark.parametrize("payload", [b"{}", b'{"data":"' + b"x" * 100_000 + b'"}', '{"ü":"\\u0000"}'.encode()])
def test_any_payload_comes_back(store: Store, payload: bytes) -> None:
    (stored,) = deliveries.insert(store, [new(payload=payload)])
    assert deliveries.payload_of(store, stored.id) == payload


def test_ids_grow_in_the_order_of_arrival(store: Store) -> None:
    first = keep(store, *(f"a{number}" for number in range(700)))
    second = keep(store, "b", "c")
    assert first + second == sorted({*first, *second})
    assert [deliveries.payload_of(store, number) for number in second] == [b'{"id":"b"}', b'{"id":"c"}']
    assert deliveries.payload_of(store, first[123]) == b'{"id":"a123"}'


def test_what_comes_again_is_counted_and_not_kept_again(store: Store) -> None:
    (first,) = deliveries.insert(store, [new("a")])
    assert not first.is_duplicate
    again = deliveries.insert(store, [new("b"), new("a", payload=b'{"id":"other"}'), new("b"), new("a"), new("c")])
    assert [stored.is_duplicate for stored in again] == [False, True, True, True, False]
    assert again[1] == again[3] == Stored(first.id, True)
    assert again[2].id == again[0].id
    assert [(each.id, each.duplicates) for each in deliveries.find(store, Wanted())] == [
        (first.id, 2),
        (again[0].id, 1),
        (again[4].id, 0),
    ]
    assert deliveries.payload_of(store, first.id) == b'{"id":"a"}'


@pytest.mark.parametrize("status", [deliveries.CLAIMED, deliveries.DELIVERED, deliveries.FAILED])
def test_a_duplicate_changes_nothing_else_of_what_a_run_has_or_had(store: Store, status: str) -> None:
    (number,) = keep(store, "a")
    set_status(store, number, status)
    assert deliveries.insert(store, [new("a")]) == [Stored(number, True)]
    kept = deliveries.get(store, number)
    assert kept is not None
    assert (kept.status, kept.claim_run, kept.attempts, kept.duplicates) == (status, "run1", 3, 1)


def test_nothing_is_kept_of_a_group_that_fails(store: Store) -> None:
    with pytest.raises(StoreError, match="the name"):
        deliveries.insert(store, [new("a"), new("b", endpoint="x" * 300)])
    assert found(store) == []
    assert deliveries.insert(store, []) == []


def test_texts_of_senders_are_bounded(store: Store) -> None:
    (number,) = keep(store, "a", delivery_id="i" * 2000, event="e" * 2000)
    kept = deliveries.get(store, number)
    assert kept is not None
    assert (len(kept.delivery_id or ""), len(kept.event or "")) == (deliveries.MAX_DELIVERY_ID, deliveries.MAX_EVENT)


@pytest.mark.parametrize(("one", "other"), [("k" * 300, "k" * 301), ("a\0", "a\0b"), ("\ud800", "\ud801")])
def test_any_key_keeps_its_deliveries_together(store: Store, one: str, other: str) -> None:
    numbers = keep(store, "a", "b", order_key=one) + keep(store, "c", order_key=other)
    keys = [each.order_key for each in deliveries.find(store, Wanted(ids=numbers))]
    assert keys[0] == keys[1] != keys[2]


def test_a_payload_without_end_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "MAX_PAYLOAD", 5)
    with pytest.raises(StoreError, match="the payload of a delivery to orders is too large to be stored: 10 bytes"):
        keep(store, "a")


# --- encryption and files


def test_a_payload_is_encrypted_where_that_is_asked_for(store: Store, fernet: Any, tmp_path: Path) -> None:
    secret, large = b'{"card":"hunter22"}', LARGE.replace(b"{", b'{"card":"hunter22",')
    given = [new("a", payload=secret, encrypt=True), new("b", payload=large, encrypt=True), new("c")]
    numbers = [stored.id for stored in deliveries.insert(store, given, spill_to(str(tmp_path)))]
    assert b"hunter22" not in bytes(raw(store, numbers[0]).payload)
    assert b"hunter22" not in Path(raw(store, numbers[1]).href).read_bytes()
    assert [raw(store, number).is_encrypted for number in numbers] == [True, True, False]
    assert [deliveries.payload_of(store, number) for number in numbers[:2]] == [secret, large]


def test_without_a_key_nothing_is_kept_readable_that_must_not_be(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crypto, "get_fernet", _NullFernet)
    with pytest.raises(StoreError, match=r"to orders must be stored encrypted, but \[core\] fernet_key is empty"):
        deliveries.insert(store, [new("a"), new("b", encrypt=True)])
    assert found(store) == []


def test_another_key_is_told_without_any_value(store: Store, fernet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (number,) = keep(store, "a", encrypt=True)
    for other, told in (
        (_RealFernet(MultiFernet([Fernet(Fernet.generate_key())])), "is not the one"),
        (_NullFernet(), "is empty"),
    ):
        monkeypatch.setattr(crypto, "get_fernet", lambda other=other: other)
        with pytest.raises(StoreError, match=rf"delivery {number} cannot be decrypted: \[core\] fernet_key {told}"):
            deliveries.payload_of(store, number)


def test_a_large_payload_is_in_a_file(store: Store, tmp_path: Path) -> None:
    written: list[bool] = []

    def spill(data: bytes) -> str:
        written.append(found(store) == [])  # before its row can be seen
        return spill_to(str(tmp_path))(data)

    (stored, small) = deliveries.insert(store, [new("a", payload=LARGE), new("b")], spill)
    assert written == [True]
    assert bytes(raw(store, stored.id).payload) == b""
    assert raw(store, small.id).href is None
    assert deliveries.payload_of(store, stored.id) == LARGE
    Path(raw(store, stored.id).href).unlink()
    with pytest.raises(StoreError, match=f"the file of the payload of the delivery {stored.id} is gone"):
        deliveries.payload_of(store, stored.id)


def test_without_files_a_large_payload_is_in_the_database(store: Store) -> None:
    (stored,) = deliveries.insert(store, [new("a", payload=LARGE)])
    assert deliveries.payload_of(store, stored.id) == LARGE


def test_the_file_of_a_duplicate_does_not_stay(store: Store, tmp_path: Path) -> None:
    spill: Callable[[bytes], str] = spill_to(str(tmp_path))
    (first,) = deliveries.insert(store, [new("a", payload=LARGE)], spill)
    assert deliveries.insert(store, [new("a", payload=LARGE)] * 2, spill) == [Stored(first.id, True)] * 2
    assert [str(path) for path in tmp_path.glob("~webhooks/*/*")] == [raw(store, first.id).href]
    assert deliveries.payload_of(store, first.id) == LARGE


def test_a_file_that_cannot_be_written_fails_the_insert(store: Store, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("no folder")
    with pytest.raises(StoreError, match=r"a large payload cannot be written to .*taken: Not a directory"):
        deliveries.insert(store, [new("a", payload=LARGE)], spill_to(f"{tmp_path}/taken"))
    assert found(store) == []


def test_where_one_cannot_be_kept_no_file_of_the_others_stays(store: Store, tmp_path: Path) -> None:
    too_large = b"x" * (payloads.MAX_PAYLOAD + 1)
    with pytest.raises(StoreError, match="too large"):
        deliveries.insert(store, [new("a", payload=LARGE), new("b", payload=too_large)], spill_to(str(tmp_path)))
    assert list(tmp_path.glob("~webhooks/*/*")) == []


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_a_number_that_no_database_has_is_told(store: Store, number: int) -> None:
    for ask in (lambda: deliveries.get(store, number), lambda: deliveries.replay(store, Wanted(ids=[number]))):
        if store.engine.dialect.name == "sqlite":
            with pytest.raises(StoreError, match="a number is larger than a database's can be"):
                ask()
        else:  # it compares them with any number
            assert not ask()


# --- rejected


def test_rejected_requests_are_noted_and_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "MAX_REJECTED", 3)
    for number in range(5):
        deliveries.reject(store, "orders", f"bad signature {number}" + "x" * 9000)
    deliveries.reject(store, "orders", "no", tenant="acme")
    rejected = list(deliveries.find(store, Wanted(status=deliveries.REJECTED, tenant="")))
    assert [(each.error or "")[:15] for each in rejected] == [f"bad signature {number}" for number in range(3)]
    assert all(len(each.error or "") < 5000 and each.finished_at for each in rejected)
    with store.write() as connection:
        connection.execute(store.tables.deliveries.update().values(finished_at=now() - timedelta(minutes=2)))
    deliveries.reject(store, "orders", "a minute later")
    assert len(found(store, status=deliveries.REJECTED)) == 5


# --- find, counts


def test_deliveries_are_found_by_what_they_are(store: Store) -> None:
    old = now() - timedelta(days=1)
    a, b = keep(store, "a", "b", received_at=old, event="order.created", delivery_id="evt1")
    (c,) = keep(store, "c", endpoint="bills")
    (d,) = keep(store, "d", tenant="acme")
    set_status(store, b, deliveries.FAILED)
    assert found(store) == [a, b, c, d]
    assert found(store, newest_first=True) == [d, c, b, a]
    assert found(store, endpoint="orders") == [a, b, d]
    assert found(store, endpoint="orders", tenant="") == [a, b]
    assert found(store, status=deliveries.FAILED) == [b]
    assert found(store, event="order.created", delivery_id="evt1") == [a, b]
    assert found(store, until=now() - timedelta(hours=1)) == [a, b]
    assert found(store, since=old + timedelta(hours=1)) == [c, d]
    assert found(store, since=old, until=old) == []
    assert found(store, ids=[d, a, 999_999]) == [a, d]
    assert found(store, ids=[]) == []
    assert found(store, limit=0) == []
    assert found(store, limit=3, newest_first=True) == [d, c, b]
    assert deliveries.get(store, 999_999) is None


def test_many_are_found_in_both_directions(store: Store) -> None:
    numbers = keep(store, *(f"a{number}" for number in range(1203)))
    assert found(store) == numbers
    assert found(store, newest_first=True) == numbers[::-1]
    assert found(store, ids=numbers, newest_first=True, limit=700) == numbers[:-701:-1]


def test_deliveries_are_counted(store: Store) -> None:
    a, _, _ = keep(store, "a", "b", "c")
    keep(store, "d", endpoint="bills", tenant="acme")
    set_status(store, a, deliveries.FAILED)
    assert deliveries.counts(store) == [
        Count("bills", "acme", deliveries.RECEIVED, 1),
        Count("orders", "", deliveries.FAILED, 1),
        Count("orders", "", deliveries.RECEIVED, 2),
    ]


def test_a_payload_of_no_delivery(store: Store) -> None:
    with pytest.raises(StoreError, match="there is no delivery 17"):
        deliveries.payload_of(store, 17)


# --- replay


def test_finished_ones_are_received_again(store: Store) -> None:
    a, b, c, d, e = keep(store, *"abcde")
    statuses = (deliveries.DELIVERED, deliveries.FAILED, deliveries.CLAIMED, deliveries.RECEIVED)
    for number, status in zip((a, b, c, d), statuses, strict=True):
        set_status(store, number, status)
    assert deliveries.replay(store, Wanted(endpoint="orders", status=deliveries.REJECTED)) == 0
    assert deliveries.replay(store, Wanted(endpoint="other")) == 0
    assert deliveries.replay(store, Wanted(endpoint="orders", status=deliveries.FAILED)) == 1
    again = deliveries.get(store, b)
    assert again is not None
    assert (again.status, again.attempts, again.error, again.finished_at) == (deliveries.RECEIVED, 0, None, None)
    assert (again.claim_flow, again.claim_run, again.claim_task, again.claimed_at) == (None,) * 4
    assert deliveries.replay(store, Wanted(ids=[a, b, c, d, e])) == 1
    assert deliveries.replay(store, Wanted(status=deliveries.CLAIMED)) == 1
    assert len(found(store, status=deliveries.RECEIVED)) == 5


def test_a_range_of_time_is_replayed(store: Store) -> None:
    moment = now() - timedelta(days=3)
    numbers = [keep(store, f"a{day}", received_at=moment + timedelta(days=day))[0] for day in range(3)]
    for number in numbers:
        set_status(store, number, deliveries.DELIVERED)
    wanted = Wanted(since=moment + timedelta(days=1), until=moment + timedelta(days=2))
    assert deliveries.replay(store, wanted) == 1
    assert found(store, status=deliveries.RECEIVED) == [numbers[1]]


def test_many_are_replayed(store: Store) -> None:
    numbers = keep(store, *(f"a{number}" for number in range(1203)))
    with store.write() as connection:
        connection.execute(store.tables.deliveries.update().values(status=deliveries.FAILED, finished_at=now()))
    assert deliveries.replay(store, Wanted(endpoint="orders", status=deliveries.FAILED)) == 1203
    assert found(store, status=deliveries.RECEIVED) == numbers


def test_what_was_rejected_or_purged_cannot_come_back(store: Store) -> None:
    deliveries.reject(store, "orders", "no")
    (number,) = keep(store, "a")
    set_status(store, number, deliveries.DELIVERED)
    with store.write() as connection:
        connection.execute(store.tables.deliveries.update().values(payload=None))
    assert deliveries.replay(store, Wanted()) == 0
    with pytest.raises(StoreError, match=f"the payload of the delivery {number} is no longer kept"):
        deliveries.payload_of(store, number)
