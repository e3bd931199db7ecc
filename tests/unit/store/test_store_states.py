"""What a step remembers: held, committed, set and reset."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flowmate_airflow.store import states
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.states import Place
from flowmate_airflow.store.store import Store

PLACE = Place("orders", "read")


def listed(store: Store, **wanted: str) -> list[tuple[str, str, str, bool, Any]]:
    return [
        (entry.place.step, entry.place.tenant, entry.run_id, entry.held, entry.state)
        for entry in states.list_states(store, **wanted)
    ]


def test_what_is_held_is_the_state_only_after_it_is_committed(store: Store) -> None:
    assert states.hold_state(store, PLACE, "run1", {"at": 1})
    assert states.read_state(store, PLACE) is None
    assert states.commit_state(store, PLACE, "run1")
    assert states.read_state(store, PLACE) == {"at": 1}


def test_a_commit_that_is_repeated_changes_nothing(store: Store) -> None:
    states.hold_state(store, PLACE, "run1", {"at": 1})
    states.commit_state(store, PLACE, "run1")
    assert not states.commit_state(store, PLACE, "run1")
    assert not states.commit_state(store, PLACE, "run2")
    assert states.read_state(store, PLACE) == {"at": 1}


def test_the_last_state_of_a_run_wins_and_runs_do_not_mix(store: Store) -> None:
    states.hold_state(store, PLACE, "run1", 1)
    states.hold_state(store, PLACE, "run1", 2)
    states.hold_state(store, PLACE, "run2", 3)
    assert states.commit_state(store, PLACE, "run1")
    assert states.read_state(store, PLACE) == 2
    assert states.commit_state(store, PLACE, "run2")
    assert states.read_state(store, PLACE) == 3


def test_a_run_that_is_repeated_late_does_not_take_the_state_back(store: Store) -> None:
    states.hold_state(store, PLACE, "old", 1)
    states.hold_state(store, PLACE, "new", 2)
    assert states.commit_state(store, PLACE, "new")
    assert not states.commit_state(store, PLACE, "old")
    assert states.read_state(store, PLACE) == 2


def test_a_dropped_state_is_never_committed(store: Store) -> None:
    states.hold_state(store, PLACE, "run1", 1)
    states.drop_held(store, PLACE, "run1")
    assert not states.commit_state(store, PLACE, "run1")


def test_places_do_not_mix(store: Store) -> None:
    others = [Place("orders", "write"), Place("invoices", "read"), Place("orders", "read", "acme")]
    for number, place in enumerate(others):
        states.set_state(store, place, number)
    assert states.read_state(store, PLACE) is None
    assert [states.read_state(store, place) for place in others] == [0, 1, 2]


@pytest.mark.parametrize("by_hand", ["set", "reset"])
def test_a_run_that_is_still_going_cannot_bring_back_what_was_changed_by_hand(store: Store, by_hand: str) -> None:
    states.set_state(store, PLACE, "first")
    read_at = states.generation(store, PLACE)
    states.hold_state(store, PLACE, "run1", "held", read_at=read_at)
    if by_hand == "set":
        states.set_state(store, PLACE, "by hand")
    else:
        assert states.reset_state(store, PLACE)
    expected = "by hand" if by_hand == "set" else None

    assert not states.commit_state(store, PLACE, "run1")
    assert not states.hold_state(store, PLACE, "run1", "later", read_at=read_at)
    assert not states.commit_state(store, PLACE, "run1")
    assert states.read_state(store, PLACE) == expected

    assert states.hold_state(store, PLACE, "run2", "next", read_at=states.generation(store, PLACE))
    assert states.commit_state(store, PLACE, "run2")
    assert states.read_state(store, PLACE) == "next"


def test_a_reset_tells_whether_there_was_anything(store: Store) -> None:
    assert not states.reset_state(store, PLACE)
    states.set_state(store, PLACE, 1)
    assert states.reset_state(store, PLACE)
    assert not states.reset_state(store, PLACE)
    states.hold_state(store, PLACE, "run1", 1)
    assert states.reset_state(store, PLACE)


def test_states_are_listed_with_those_held(store: Store) -> None:
    states.set_state(store, PLACE, 1)
    states.hold_state(store, PLACE, "run2", 2)
    states.set_state(store, Place("orders", "read", "acme"), 3)
    states.set_state(store, Place("invoices", "read"), 4)
    states.set_state(store, Place("orders", "gone"), 5)
    states.reset_state(store, Place("orders", "gone"))

    assert listed(store, flow="orders") == [
        ("read", "", "", False, 1),
        ("read", "", "run2", True, 2),
        ("read", "acme", "", False, 3),
    ]
    assert listed(store, tenant="") == [("read", "", "", False, 4), *listed(store, flow="orders")[:2]]
    assert listed(store, flow="orders", step="gone") == []
    (entry,) = states.list_states(store, flow="invoices")
    assert now() - timedelta(minutes=10) < entry.updated_at <= now()


@pytest.mark.parametrize(
    "state",
    [{}, [], 0, "text", {"nul": "a\0b", "half": "\ud800", "emoji": "\U0001f600"}, 2**70, {"long": "x" * 100_000}],
    ids=["object", "list", "zero", "text", "characters", "integer", "compressed"],
)
def test_any_json_comes_back(store: Store, state: Any) -> None:
    states.hold_state(store, PLACE, "run1", state)
    states.commit_state(store, PLACE, "run1")
    assert states.read_state(store, PLACE) == state


def test_a_state_may_have_16_mib_and_no_more(store: Store) -> None:
    most = "x" * (states.MAX_STATE - 2)
    states.set_state(store, PLACE, most)
    assert states.read_state(store, PLACE) == most
    with pytest.raises(StoreError, match="the state of the step read of orders is too large"):
        states.hold_state(store, PLACE, "run1", most + "x")


@pytest.mark.parametrize("state", [{1, 2}, float("nan"), object()])
def test_what_is_not_json_is_refused(store: Store, state: Any) -> None:
    with pytest.raises(StoreError, match="the state of the step read of orders is not JSON"):
        states.set_state(store, PLACE, state)


def test_a_state_too_deep_is_refused(store: Store) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(StoreError, match="nested too deep"):
        states.set_state(store, PLACE, deep)


@pytest.mark.parametrize("tenant", ["x" * 251, "a\0b", "\ud800"], ids=["long", "nul", "half"])
def test_a_name_that_no_database_takes_is_refused(store: Store, tenant: str) -> None:
    with pytest.raises(StoreError, match="the name"):
        states.set_state(store, Place("orders", "read", tenant), 1)
    with pytest.raises(StoreError, match="the name"):
        states.read_state(store, Place("orders", "read", tenant))


def test_a_state_held_for_too_long_goes_away(store: Store) -> None:
    states.hold_state(store, PLACE, "forgotten", 1)
    held = store.tables.held_states
    with store.write() as connection:
        connection.execute(held.update().values(held_at=now() - states.KEEP_HELD - timedelta(days=1)))
    store._swept.clear()  # as another process would find it
    states.hold_state(store, PLACE, "run2", 2)
    assert listed(store) == [("read", "", "run2", True, 2)]
