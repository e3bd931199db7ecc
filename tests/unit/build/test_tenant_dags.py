"""What `tenants` makes of a flow: its DAG, and the one that starts its runs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization
from played import manifest

from flowmate_airflow.auth.firstruns import first_run_tag
from flowmate_airflow.build.dag import build_dag
from flowmate_airflow.build.graph import build_graph
from flowmate_airflow.build.tenants import dispatcher_dag
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.flows.load import read_flow
from flowmate_airflow.operators.tenants import RunTenantsOperator, TenantOperator
from flowmate_airflow.outgoing.runs import run_of

FLOW = """
flowmate: 1
id: orders
title: Orders
schedule: "@daily"
timezone: Europe/Berlin
timeout: 2h
params:
  limit: {type: integer, default: 5}
tenants: %s
steps:
  - {id: read, use: acme/get}
  - {id: other, use: beta/get, needs: []}
  - {id: open, use: free/get, needs: []}
  - {id: saved, use: acme/put, connection: ours, needs: [read, other, open]}
"""


class _Catalog:
    def get(self, name: str) -> Manifest:
        return manifest(name=name, auth={"nothing": {"type": "none"}}) if name == "free" else manifest(name=name)


def _dags(tenants: str) -> tuple[DAG, Any]:
    catalog: Any = _Catalog()
    loaded = read_flow((FLOW % tenants).encode(), Path("orders.yaml"), catalog)
    assert loaded is not None
    graph = build_graph(loaded, catalog)
    return build_dag(graph), dispatcher_dag(graph)


def test_a_gate_comes_before_all_steps() -> None:
    dag, _ = _dags("linked")
    gate = dag.get_task("tenant")
    assert isinstance(gate, TenantOperator)
    assert gate.downstream_task_ids == {"read", "other", "open"}
    assert (gate.connectors, gate.who, gate.active) == (["acme", "beta"], None, "queue")
    assert (dag.schedule, dag.max_active_runs, dag.dagrun_timeout) == (None, 16, timedelta(hours=2))
    assert dag.is_paused_upon_creation is None
    linked = {task.task_id: task.linked for task in dag.tasks if hasattr(task, "linked")}
    assert linked == {"read": True, "other": True, "open": False, "saved": False}


def test_another_dag_starts_the_runs_by_the_flows_schedule() -> None:
    _, dispatcher = _dags("{who: [acme, globex], active: skip, at_once: 3}")
    assert dispatcher.dag_id == "orders__tenants"
    assert (dispatcher.schedule, dispatcher.is_paused_upon_creation, dispatcher.catchup) == ("@daily", False, False)
    assert set(dispatcher.params) == {"limit", "full_sync", "start_date", "end_date"}
    (task,) = dispatcher.tasks
    assert isinstance(task, RunTenantsOperator)
    assert (task.flow, task.who, task.active, task.own_schedules) == ("orders", ["acme", "globex"], "skip", False)


def test_airflow_can_tell_by_tags_which_flows_want_a_first_run() -> None:
    _, dispatcher = _dags("{on_link: run}")
    assert set(dispatcher.tags) == {first_run_tag("acme"), first_run_tag("beta")}
    assert not _dags("linked")[1].tags


def test_with_schedules_of_their_own_it_looks_every_minute() -> None:
    _, dispatcher = _dags("{schedules: own}")
    (task,) = dispatcher.tasks
    assert dispatcher.schedule == "* * * * *"
    assert (task.schedule, task.zone, task.own_schedules) == ("@daily", "Europe/Berlin", True)


def test_both_are_written_and_read_by_airflow() -> None:
    for dag in _dags("{schedules: own}"):
        DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))


def test_a_flow_without_tenants_has_neither() -> None:
    catalog: Any = _Catalog()
    text = "flowmate: 1\nid: plain\nsteps:\n  - {id: read, use: free/get}\n"
    loaded = read_flow(text.encode(), Path("plain.yaml"), catalog)
    assert loaded is not None
    graph = build_graph(loaded, catalog)
    assert dispatcher_dag(graph) is None
    assert "tenant" not in build_dag(graph).task_ids


@pytest.mark.parametrize(("dag_id", "told"), [("orders", True), ("orders__tenants", False)])
def test_only_the_flows_own_runs_are_told_to_others(dag_id: str, told: bool) -> None:
    assert (run_of("run.started", _run(dag_id), "started") is not None) == told


def test_a_job_is_told_by_what_it_asked_for() -> None:
    body = {"job_name": "nightly", "override_start_date": "2026-01-01", "reset_source_state": True}
    found = run_of("run.started", _run("orders", **body), "started")
    assert found is not None
    details = found.news().hotglue or {}
    assert (details["job_name"], details["tenant"], details["sync_type"]) == ("nightly", "acme", "full_sync")
    assert (details["override_start_date"], details["override_end_date"]) == ("2026-01-01", None)


def _run(dag_id: str, **conf: Any) -> Any:
    dag = SimpleNamespace(fileloc="orders.yaml")
    facts: dict[str, Any] = dict.fromkeys(("queued_at", "start_date", "end_date"))
    conf = {"tenant": "acme", **conf}
    return SimpleNamespace(dag_id=dag_id, run_id="r", run_type="manual", conf=conf, dag=dag, clear_number=0, **facts)
