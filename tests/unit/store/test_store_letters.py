"""Dead letters: kept, found, counted, claimed, settled and dropped."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from flowmate_airflow.store import deadletters, replays
from flowmate_airflow.store.deadletters import DeadLetter
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.replays import NewFailure
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store


def letter(message_id: str = "m1", **values: Any) -> DeadLetter:
    given = {"flow": "orders", "step": "save", "run_id": "run1", "error": "no", **values}
    return DeadLetter(message_id=message_id, message={"id": message_id, "data": {"n": 1}}, **given)


def ids(store: Store, **wanted: Any) -> list[int]:
    return [found.id for found in deadletters.find(store, **wanted)]


def message_ids(store: Store, **wanted: Any) -> list[str]:
    return [found.message_id for found in deadletters.find(store, **wanted)]


def test_a_letter_comes_back_whole(store: Store) -> None:
    message = {"id": "a\0\ud800\\", "data": {"text": "\0", "n": 2**70, "not": [float("inf")]}, "metadata": {"s": "ü"}}
    kept = DeadLetter("orders", "save", "run1", "a\0\ud800\\", message, "bad\0 \\u0041", "transient", "acme")
    assert deadletters.keep(store, [kept]) == 1
    (found,) = deadletters.find(store)
    assert found.message == message
    assert (found.message_id, found.error, found.failure_type) == (kept.message_id, kept.error, "transient")
    assert (found.flow, found.step, found.run_id, found.tenant) == ("orders", "save", "run1", "acme")
    assert (found.attempts, found.status, found.created_at) == (1, deadletters.WAITING, kept.created_at)
    assert "data" not in repr(found)


def test_what_is_kept_again_is_one_letter_with_the_new_error(store: Store) -> None:
    deadletters.keep(store, [letter("m1", error="first"), letter("m2")])
    before = ids(store)
    deadletters.keep(store, [letter("m1", error="second")])
    assert ids(store) == before
    assert [(each.error, each.attempts) for each in deadletters.find(store)] == [("second", 1), ("no", 1)]


@pytest.mark.parametrize("other", [{"flow": "o"}, {"step": "s"}, {"run_id": "r"}, {"tenant": "t"}])
def test_letters_of_other_places_are_others(store: Store, other: dict[str, str]) -> None:
    deadletters.keep(store, [letter(), letter(**other)])
    assert len(ids(store)) == 2


def test_letters_are_found_by_what_they_are(store: Store) -> None:
    deadletters.keep(
        store,
        [
            letter("a"),
            letter("b", step="tell"),
            letter("c", flow="invoices"),
            letter("d", tenant="acme"),
            letter("e", run_id="run2"),
        ],
    )
    assert message_ids(store) == list("abcde")
    assert message_ids(store, flow="orders", step="save") == ["a", "d", "e"]
    assert message_ids(store, tenant="") == ["a", "b", "c", "e"]
    assert message_ids(store, tenant="acme") == ["d"]
    assert message_ids(store, run_id="run2") == ["e"]
    assert message_ids(store, limit=2) == ["a", "b"]
    assert message_ids(store, limit=0) == []
    first, _, third, *_ = ids(store)
    assert message_ids(store, ids=[third, first, 999_999]) == ["a", "c"]
    assert message_ids(store, ids=[]) == []


def test_letters_are_counted_by_step(store: Store) -> None:
    deadletters.keep(store, [letter("a"), letter("b"), letter("c", step="tell"), letter("d", flow="invoices")])
    replays.claim(store, ids(store)[:1], "replay")
    counts = deadletters.count_by_step(store, "orders")
    assert [(count.step, count.waiting, count.replaying) for count in counts] == [("save", 1, 1), ("tell", 1, 0)]
    assert counts[0].oldest == next(deadletters.find(store)).created_at


def test_many_letters_are_read_with_little_memory(store: Store) -> None:
    size, count = 20_000, 3_000
    text = "x" * size

    def many() -> Iterator[DeadLetter]:
        for number in range(count):
            yield DeadLetter("orders", "save", "run1", f"m{number}", {"data": f"{number}{text}"}, "no")

    tracemalloc.start()
    try:
        deadletters.keep(store, many())
        seen = sum(1 for _ in deadletters.find(store))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen == count
    assert peak < size * count / 2


def test_letters_may_be_removed_and_added_while_they_are_read(store: Store) -> None:
    deadletters.keep(store, (letter(f"m{number}") for number in range(1200)))
    found = deadletters.find(store)
    next(found)
    deadletters.drop(store)
    deadletters.keep(store, [letter("new")])
    assert len(list(found)) == 499  # what was read together with the first one


def test_a_message_that_is_too_large_or_no_json_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="the failed message m9 is not JSON"):
        deadletters.keep(store, [DeadLetter("orders", "save", "run1", "m9", {"data": {1, 2}}, "no")])
    monkeypatch.setattr(deadletters, "MAX_MESSAGE", 10)
    with pytest.raises(StoreError, match="the failed message m1 is too large"):
        deadletters.keep(store, [letter()])


def test_an_error_without_end_is_cut(store: Store) -> None:
    deadletters.keep(store, [letter(error="x" * 1_000_000)])
    assert len(next(deadletters.find(store)).error) == deadletters.MAX_ERROR


def test_a_claim_belongs_to_its_run_and_to_no_other(store: Store) -> None:
    deadletters.keep(store, [letter("a"), letter("b"), letter("c")])
    a, b, c = ids(store)
    assert replays.claim(store, [a, b], "replay1") == [a, b]
    assert replays.claim(store, [a, b, c], "replay2") == [c]
    assert replays.claim(store, [b, a, 999_999], "replay1") == [a, b]
    assert ids(store, claimed_by="replay1") == [a, b]
    assert ids(store, status=deadletters.WAITING) == []
    assert [each.status for each in deadletters.find(store)] == [deadletters.REPLAYING] * 3


def test_all_that_wait_at_a_step_are_claimed(store: Store) -> None:
    deadletters.keep(store, [letter("a"), letter("b"), letter("c", step="tell"), letter("d", tenant="acme")])
    replays.claim(store, ids(store)[:1], "replay1")
    assert replays.claim_waiting(store, "orders", "save", "replay2", tenant="") == 1
    assert replays.claim_waiting(store, "orders", "save", "replay2") == 2
    assert replays.claim_waiting(store, "orders", "save", "replay2") == 2
    assert message_ids(store, claimed_by="replay2") == ["b", "d"]


def test_success_removes_and_failure_waits_again(store: Store) -> None:
    deadletters.keep(store, [letter("a"), letter("b"), letter("c"), letter("d")])
    a, b, c, d = ids(store)
    replays.claim(store, [a, b, c], "replay1")
    replays.claim(store, [d], "replay2")
    failed = [NewFailure(b, "still no", "config"), NewFailure(d, "not mine")]
    replays.settled(store, "replay1", done=[a, d], failed=failed)
    left = {each.id: (each.error, each.failure_type, each.attempts, each.status) for each in deadletters.find(store)}
    assert left == {
        b: ("still no", "config", 2, deadletters.WAITING),
        c: ("no", "system", 1, deadletters.REPLAYING),
        d: ("no", "system", 1, deadletters.REPLAYING),
    }


def test_a_claim_that_was_never_settled_is_released(store: Store) -> None:
    deadletters.keep(store, [letter("a"), letter("b", flow="invoices")])
    a, b = ids(store)
    replays.claim(store, [a, b], "replay1")
    assert replays.release(store, "replay1", "orders") == 1
    assert ids(store, status=deadletters.WAITING) == [a]
    assert replays.release(store, "replay1") == 1
    assert replays.release(store, "replay1") == 0


def test_a_letter_that_is_replayed_is_neither_changed_nor_dropped(store: Store) -> None:
    deadletters.keep(store, [letter("a"), letter("b")])
    replays.claim(store, ids(store)[:1], "replay1")
    deadletters.keep(store, [letter("a", error="other")])
    assert next(deadletters.find(store)).error == "no"
    assert deadletters.drop(store) == 1
    assert message_ids(store) == ["a"]


def test_letters_are_dropped_by_what_they_are(store: Store) -> None:
    old = now() - timedelta(days=31)
    kept = [letter("a"), letter("b", created_at=old), letter("c", step="tell"), letter("d", tenant="acme")]
    deadletters.keep(store, kept)
    assert deadletters.drop(store, "orders", older_than=timedelta(days=30)) == 1
    assert deadletters.drop(store, step="tell") == 1
    assert deadletters.drop(store, tenant="acme") == 1
    assert deadletters.drop(store, ids=[]) == 0
    assert deadletters.drop(store, ids=ids(store)) == 1
    assert ids(store) == []


def test_an_id_is_not_given_again(store: Store) -> None:
    deadletters.keep(store, [letter("a")])
    (first,) = ids(store)
    deadletters.drop(store)
    deadletters.keep(store, [letter("b")])
    assert ids(store)[0] > first
