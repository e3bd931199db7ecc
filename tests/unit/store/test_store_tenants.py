"""What is said of tenants and their flows, and whose turn it is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from store_workers import at_once

from flowmate_airflow.store import tenants
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store, open_store
from flowmate_airflow.store.tenants import TenantFlow


def test_a_tenant_and_its_config(store: Store) -> None:
    assert tenants.find_tenant(store, "acme") is None
    assert tenants.add_tenant(store, "acme")
    tenants.save_config(store, "acme", {"plan": "large"})
    assert not tenants.add_tenant(store, "acme")
    tenants.save_config(store, "bcme", {"plan": "small"})
    found = tenants.find_tenant(store, "acme")
    assert found is not None
    assert found.config == {"plan": "large"}
    assert "large" not in repr(found)
    assert [each.tenant for each in tenants.list_tenants(store)] == ["acme", "bcme"]


def test_a_config_without_end_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="the config of the tenant acme is too large"):
        tenants.save_config(store, "acme", {"a": "x" * tenants.MAX_CONFIG})
    with pytest.raises(StoreError, match="is not JSON"):
        tenants.save_config(store, "acme", {"a": float("nan")})
    assert tenants.find_tenant(store, "acme") is None


def test_what_differs_in_a_flow(store: Store) -> None:
    assert tenants.find_flow(store, "acme", "orders") == TenantFlow("acme", "orders")
    made = tenants.set_flow(store, "acme", "orders", schedule="@daily")
    assert (made.is_on, made.schedule, made.mapping) == (True, "@daily", None)
    made = tenants.set_flow(store, "acme", "orders", is_on=False, mapping={"a/b": {"c": "d"}})
    assert (made.is_on, made.schedule, made.mapping) == (False, "@daily", {"a/b": {"c": "d"}})
    assert tenants.find_flow(store, "acme", "orders") == made
    assert tenants.set_flow(store, "acme", "orders", mapping=None).mapping is None
    tenants.set_flow(store, "acme", "bills", is_on=True)
    tenants.set_flow(store, "bcme", "orders", is_on=True)
    assert [each.flow for each in tenants.flows_of(store, "acme")] == ["bills", "orders"]
    assert list(tenants.tenants_of(store, "orders")) == ["acme", "bcme"]
    assert list(tenants.tenants_of(store, "orders", ["bcme", "other"])) == ["bcme"]
    assert tenants.tenants_of(store, "orders", []) == {}


def test_when_it_is_due_goes_with_the_schedule(store: Store) -> None:
    moment = now() + timedelta(hours=1)
    assert not tenants.note_next(store, "acme", "orders", None, moment)
    tenants.set_flow(store, "acme", "orders", schedule="@hourly")
    assert tenants.note_next(store, "acme", "orders", "@hourly", moment)
    assert tenants.find_flow(store, "acme", "orders").next_at == moment
    assert tenants.set_flow(store, "acme", "orders", is_on=True).next_at == moment
    assert tenants.set_flow(store, "acme", "orders", schedule="@daily").next_at is None
    assert not tenants.note_next(store, "acme", "orders", "@hourly", moment)


def test_a_turn_is_one_runs(store: Store) -> None:
    asked: list[str] = []

    def is_over(run_id: str) -> bool:
        asked.append(run_id)
        return run_id == "done"

    assert tenants.take_turn(store, "acme", "orders", "done", is_over) is None
    assert tenants.take_turn(store, "acme", "orders", "done", is_over) is None
    assert asked == []
    assert tenants.take_turn(store, "acme", "orders", "second", is_over) is None
    assert tenants.take_turn(store, "acme", "orders", "third", is_over) == "second"
    assert asked == ["done", "second"]
    assert tenants.take_turn(store, "bcme", "orders", "third", is_over) is None
    assert tenants.take_turn(store, "acme", "bills", "third", is_over) is None
    assert not tenants.give_turn(store, "acme", "orders", "third")
    assert tenants.give_turn(store, "acme", "orders", "second")
    assert tenants.take_turn(store, "acme", "orders", "third", is_over) is None


def test_a_turn_that_is_taken_again_and_again_is_told(store: Store) -> None:
    def is_over(run_id: str) -> bool:
        tenants.give_turn(store, "acme", "orders", run_id)
        assert tenants.take_turn(store, "acme", "orders", f"{run_id}x", lambda _: False) is None
        return True

    assert tenants.take_turn(store, "acme", "orders", "first", lambda _: False) is None
    with pytest.raises(StoreError, match="is taken again and again") as caught:
        tenants.take_turn(store, "acme", "orders", "mine", is_over)
    assert caught.value.transient


def take(url: str, run_id: str) -> str | None:
    return tenants.take_turn(open_store(url), "acme", "orders", run_id, lambda held: held == "dead")


def test_of_many_at_once_one_has_the_turn_after_a_run_that_is_over(store: Store, url: str) -> None:
    assert take(url, "dead") is None
    answers = at_once(take, [(url, f"run{number}") for number in range(6)])
    (mine,) = [number for number, answer in enumerate(answers) if answer is None]
    assert [answer for answer in answers if answer is not None] == [f"run{mine}"] * 5
