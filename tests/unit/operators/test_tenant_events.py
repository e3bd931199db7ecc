"""Events of webhooks and the DAG that starts a run for each tenant for whom some wait."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow.sdk.execution_time import task_runner
from operators_airflow import NOON, PlayedAirflow

from flowmate_airflow.operators.tenants import RunTenantsOperator, TenantOperator
from flowmate_airflow.store import linked, renewals, tenants
from flowmate_airflow.store.deliveries import NewDelivery, insert
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store, close_stores, open_store
from flowmate_airflow.store.waiting import tenants_waiting


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", f"sqlite:///{tmp_path}/store.db")
    yield open_store()
    close_stores()


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> PlayedAirflow:
    played = PlayedAirflow()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", played, raising=False)
    return played


def _link(store: Store, *names: str) -> None:
    for name in names:
        linked.save(store, linked.Linked(name, "shop", f"flowmate.shop.{name}", "key"))


def _needs_login(store: Store, conn_id: str) -> None:
    renewals.take(store, conn_id, "me", b"token", 60)
    renewals.need_login(store, conn_id, "me", "invalid_grant")


def _gate() -> TenantOperator:
    return TenantOperator(task_id="tenant", connectors=["shop"])


def _events(store: Store, *tenants: str) -> None:
    new = [NewDelivery("orders", os.urandom(32), b"{}", tenant) for tenant in tenants]
    insert(store, new)


def _on_events(airflow: PlayedAirflow, run: str = "d1", minutes: int = 0, **options: Any) -> dict[str, Any]:
    """Start runs as the DAG does when events have come; each of its runs has a moment of its own."""
    moment = NOON + timedelta(minutes=minutes)
    operator = RunTenantsOperator(task_id="run", flow="orders", connectors=["shop"], webhook="orders", **options)
    context = airflow.context("orders__tenants", run, task_id="run", run_type="asset_triggered", moment=moment)
    return operator.execute(context)


def test_events_start_a_run_for_each_tenant_who_has_some(store: Store, airflow: PlayedAirflow) -> None:
    _link(store, "acme", "globex", "idle")
    _events(store, "acme", "globex", "acme", "")
    result = _on_events(airflow)  # and it does not wait for them
    assert result["started"] == ["acme", "globex"]
    assert sorted(conf["tenant"] for conf in airflow.confs.values()) == ["acme", "globex"]


def test_without_events_none_is_started(store: Store, airflow: PlayedAirflow) -> None:
    _link(store, "acme")
    assert _on_events(airflow)["started"] == []
    assert airflow.runs == {}


def test_events_of_those_for_whom_it_does_not_run_stay_and_are_told(store: Store, airflow: PlayedAirflow) -> None:
    _link(store, "acme", "off", "again")
    _needs_login(store, "flowmate.shop.again")
    tenants.set_flow(store, "off", "orders", is_on=False)
    _events(store, "acme", "off", "gone")
    result = _on_events(airflow)
    assert (result["started"], list(result["skipped"]), list(result["unlinked"])) == (["acme"], ["off"], ["gone"])
    assert tenants_waiting(store, "orders") == ["acme", "gone", "off"]
    _events(store, "again")
    with pytest.raises(AirflowFailException, match="failed: again"):
        _on_events(airflow, "d2", 1)


def test_a_burst_starts_no_more_than_one_run_that_waits(store: Store, airflow: PlayedAirflow) -> None:
    _link(store, "acme", "globex")
    airflow.runs = {"r1": "running", "r2": "running"}
    _gate().execute(airflow.context("orders", "r1", {"tenant": "acme"}))
    with pytest.raises(TaskDeferred):
        _gate().execute(airflow.context("orders", "r2", {"tenant": "acme"}))
    _events(store, "acme", "globex")
    result = _on_events(airflow)
    assert (result["started"], list(result["skipped"])) == (["globex"], ["acme"])
    airflow.end("r1")
    airflow.end("r2")
    assert _on_events(airflow, "d2", 1)["started"] == ["acme", "globex"]


def test_it_waits_until_it_was_quiet_at_the_tenants_address(store: Store, airflow: PlayedAirflow) -> None:
    _link(store, "acme", "busy")
    long_ago = now() - timedelta(seconds=20)
    insert(
        store, [NewDelivery("orders", os.urandom(32), b"{}", name, received_at=long_ago) for name in ("acme", "busy")]
    )
    _events(store, "busy")
    assert _on_events(airflow, debounce=10)["started"] == ["acme"]
