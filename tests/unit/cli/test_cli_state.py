"""`flowmate state`: what steps remember, shown, set and reset."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_harness import Flowmate, WriteFlow

from flowmate_airflow.store import states
from flowmate_airflow.store.states import Place
from flowmate_airflow.store.store import Store, close_stores, open_store

READ = Place("orders", "items")
STEPS = "- {id: items, use: shop/items}\n- {id: saved, use: shop/save, with: {prefix: a}}"


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    """The store in Airflow's home."""
    yield open_store()
    close_stores()


@pytest.fixture
def orders(write_flow: WriteFlow) -> str:
    """A flow `orders` below the dags folder."""
    return write_flow(STEPS, "airflow/dags/flows/orders.yaml")


def give(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_states_are_shown(flowmate: Flowmate, store: Store) -> None:
    states.set_state(store, READ, {"at": "ü\x1b[31m"})
    states.hold_state(store, READ, "run7", {"at": 2})
    states.set_state(store, Place("orders", "items", "acme"), [1])
    result = flowmate("state", "show")
    assert result.code == 0
    assert "orders items: set by hand, " in result.out
    assert '"at": "ü\\u001b[31m"' in result.out
    assert "orders items: held by the run run7, " in result.out
    assert "orders items (tenant acme): set by hand" in result.out
    assert "\x1b" not in result.out


def test_states_for_programs(flowmate: Flowmate, store: Store) -> None:
    states.hold_state(store, READ, "run6", {"at": 1})
    states.commit_state(store, READ, "run6")
    states.hold_state(store, READ, "run7", {"at": 2})
    states.set_state(store, Place("invoices", "items"), 0)
    shown = json.loads(flowmate("state", "show", "orders", "--format", "json").out)
    assert [(each["run_id"], each["held"], each["state"]) for each in shown] == [
        ("run6", False, {"at": 1}),
        ("run7", True, {"at": 2}),
    ]
    assert len(json.loads(flowmate("state", "show", "--format", "json").out)) == 3


def test_without_any_state(flowmate: Flowmate, store: Store) -> None:
    assert flowmate("state", "show", "--format", "json").out == "[]\n"
    result = flowmate("state", "show", "orders")
    assert (result.code, result.err) == (2, "no step has a state so far\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["show", "ordrs"], "there is no state of the flow `ordrs`; did you mean `orders`?"),
        (["show", "orders", "--step", "itms"], "there is no state of the step `itms`; did you mean `items`?"),
        (["show", "orders", "--tenant", "acne"], "there is no state of the tenant `acne`; did you mean `acme`?"),
        (["show", "invoices", "--step", "items"], "there is no state of the step `items`; did you mean `lines`?"),
        (["reset", "ordrs", "--yes"], "there is no state of the flow `ordrs`; did you mean `orders`?"),
        (
            ["reset", "orders", "--step", "lines", "--yes"],
            "there is no state of the step `lines`; did you mean `items`?",
        ),
    ],
)
def test_what_is_unknown_is_told_with_what_there_is(
    flowmate: Flowmate, store: Store, arguments: list[str], told: str
) -> None:
    for place in (READ, Place("orders", "items", "acme"), Place("invoices", "lines")):
        states.set_state(store, place, 1)
    result = flowmate("state", *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.strip() == told


def test_a_state_is_set(flowmate: Flowmate, store: Store, orders: str, home: Path) -> None:
    (home / "state.json").write_text('{"at": 1}')
    result = flowmate("state", "set", "orders", "items", "state.json")
    assert (result.code, result.err) == (0, "")
    assert states.read_state(store, READ) == {"at": 1}


def test_a_state_is_set_from_standard_input_for_a_tenant(
    flowmate: Flowmate, store: Store, orders: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, b'{"at": 2}')
    assert flowmate("state", "set", "orders", "items", "-", "--tenant", "acme").code == 0
    assert states.read_state(store, Place("orders", "items", "acme")) == {"at": 2}
    assert states.read_state(store, READ) is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["ordrs", "items"], "there is no flow `ordrs` below"),
        (["ordrs", "items"], "did you mean `orders`?"),
        (["orders", "itms"], "the flow `orders` has no step `itms`; did you mean `items`?"),
    ],
)
def test_a_state_is_not_set_where_no_step_would_read_it(
    flowmate: Flowmate, store: Store, orders: str, home: Path, given: list[str], told: str
) -> None:
    (home / "state.json").write_text("1")
    result = flowmate("state", "set", *given, "state.json")
    assert (result.code, result.out) == (2, "")
    assert told in result.err
    assert list(states.list_places(store)) == []
    assert flowmate("state", "set", *given, "state.json", "--force").code == 0
    assert states.list_places(store) == [Place(*given)]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"{", "standard input is not JSON"),
        (b"\xff", "standard input is not JSON"),
        (b"[" * 100_000, "standard input is not JSON"),
        (b"NaN", "the state of the step items of orders is not JSON"),
        (b" " * (states.MAX_STATE + 1), "standard input is too large"),
    ],
    ids=["broken", "no text", "deep", "nan", "large"],
)
def test_a_state_that_is_none(
    flowmate: Flowmate, store: Store, orders: str, monkeypatch: pytest.MonkeyPatch, data: bytes, told: str
) -> None:
    give(monkeypatch, data)
    result = flowmate("state", "set", "orders", "items", "-")
    assert result.code in (1, 2)
    assert told in result.err
    assert len(result.err.splitlines()) == 1
    assert states.read_state(store, READ) is None


def test_a_file_that_is_not_there(flowmate: Flowmate, store: Store, orders: str) -> None:
    result = flowmate("state", "set", "orders", "items", "none.json")
    assert (result.code, result.err) == (2, "none.json cannot be read: No such file or directory\n")


def test_a_reset_forgets_what_was_asked_for(flowmate: Flowmate, store: Store) -> None:
    acme = Place("orders", "items", "acme")
    other = Place("orders", "other")
    for place in (READ, acme, other):
        states.set_state(store, place, 1)
    states.hold_state(store, READ, "run7", 2)
    result = flowmate("state", "reset", "orders", "--step", "items", "--tenant", "", "--yes")
    assert (result.code, result.out) == (0, "Forgot 1 state: the next run reads from the start\n")
    assert states.list_places(store) == [acme, other]
    assert not states.commit_state(store, READ, "run7")
    assert flowmate("state", "reset", "orders", "--yes").out.startswith("Forgot 2 states")


def test_a_reset_asks_before(flowmate: Flowmate, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    states.set_state(store, READ, 1)
    give(monkeypatch, b"")
    result = flowmate("state", "reset", "orders")
    assert (result.code, states.read_state(store, READ)) == (2, 1)
    assert "Forget 1 state: orders items? Add --yes" in result.err

    for answer, code, left in ((b"n\n", 1, 1), (b"y\n", 0, None)):
        leader, follower = os.openpty()
        with os.fdopen(leader, "wb", buffering=0) as keyboard, os.fdopen(follower) as terminal:
            keyboard.write(answer)
            monkeypatch.setattr(sys, "stdin", terminal)
            assert flowmate("state", "reset", "orders").code == code
        assert states.read_state(store, READ) == left


def test_a_store_that_cannot_be_reached_is_one_line(
    flowmate: Flowmate, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", "postgresql://user:hunter22@127.0.0.1:1/none")
    pytest.importorskip("psycopg2")
    result = flowmate("state", "show")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("the store postgresql://user@127.0.0.1:1/none failed: ")
    assert "hunter22" not in result.err
    assert len(result.err.splitlines()) == 1
