"""Flows for many tenants in a real Airflow: who is delivered for, who is named, and whose turn it is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from desk_service import DeskService
from harness import (
    Client,
    LocalPostgres,
    docker_is_required,
    new_airflow,
    postgres_programs,
    wait_until,
    wants_postgres,
)

from flowmate_airflow.store import linked, renewals, tenants
from flowmate_airflow.store.store import Store, close_stores, open_store

COUNT = int(os.environ.get("FLOWMATE_TENANTS", "20"))
"""How many there are. Fifty, with two tasks each, take a build some minutes more."""
NAMES = [f"t{number:02}" for number in range(COUNT - 2)] + ["shop.example.com", "me@example.com"]
NEEDS_LOGIN, REFUSED, BAD = "t07", "t10", "t13"
FLOW = "books"
TEXT = """
flowmate: 1
schedule: none
tenants: {who: linked, at_once: 8}
defaults: {retries: 0}
params:
  day: {type: string, default: today}
steps:
  - id: moved
    use: desk/move
    with: {colour: "{{ tenant.config.get('colour', 'none') }}", day: "{{ params.day }} {{ ds }}"}
"""
TIMED = """
flowmate: 1
tenants: {who: [t01, t02], schedules: own}
steps:
  - {id: moved, use: desk/move, with: {colour: timed}}
"""


@dataclass
class Stage:
    """An Airflow with the flow, the service, and the store."""

    client: Client
    service: DeskService
    store: Store

    def start(self, conf: dict[str, Any]) -> str:
        """Start a run of the flow for one tenant."""
        return self.client.trigger(FLOW, conf)

    def gate(self, run_id: str, *states: str) -> None:
        """Wait until the first task of a run is in a state."""
        self.client.wait_for_task(FLOW, run_id, "tenant", states)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """An Airflow of its own, whose connectors are processes: fifty containers would take most of the time."""
    home = tmp_path_factory.mktemp("tenants") / "home"
    store_url = f"sqlite:///{home}/store.db"
    settings = {
        "AIRFLOW__FLOWMATE__CONNECTORS_FOLDER": str(Path(__file__).parents[1] / "connectors"),
        "AIRFLOW__FLOWMATE__RUNTIME": "process",
        "AIRFLOW__FLOWMATE__STORE_URL": store_url,
        # The flows are there from the start and stay as they are: the time is for the tasks.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "AIRFLOW__DAG_PROCESSOR__STALE_DAG_THRESHOLD": "300",
    }
    with ExitStack() as stack:
        database = stack.enter_context(LocalPostgres(_programs())) if wants_postgres() else None
        service = stack.enter_context(DeskService({REFUSED}, {BAD}))
        local = new_airflow(home, settings, database=database)
        (home / "dags" / f"{FLOW}.yaml").write_text(TEXT)
        (home / "dags" / "timed.yaml").write_text(TIMED)
        store = open_store(store_url)
        stack.callback(close_stores)
        client = stack.enter_context(local)
        _link_all(client, store, service)
        for dag_id in (FLOW, f"{FLOW}__tenants", "timed__tenants"):
            client.wait_for_dag(dag_id)
        client.unpause("timed")
        yield Stage(client, service, store)


def _programs() -> Path:
    programs = postgres_programs()
    if programs is None:
        reason = "there is no PostgreSQL; scripts/postgres installs it, FLOWMATE_E2E_DATABASE=sqlite does without"
        if docker_is_required():
            pytest.fail(reason)
        pytest.skip(reason)
    return programs


def _link_all(client: Client, store: Store, service: DeskService) -> None:
    extra = json.dumps({"server": service.url})
    for name in NAMES:
        conn_id = f"flowmate.desk.{name.replace('@', '.at.')}"
        client.send(
            "POST",
            "connections",
            {"connection_id": conn_id, "conn_type": "generic", "password": f"key-of-{name}", "extra": extra},
        )
        linked.save(store, linked.Linked(name, "desk", conn_id, "key"))
    tenants.save_config(store, "t01", {"colour": "red"})
    tenants.set_flow(store, "t01", "timed", schedule="* * * * *")
    renewals.take(store, f"flowmate.desk.{NEEDS_LOGIN}", "test", b"a token", 60)
    renewals.need_login(store, f"flowmate.desk.{NEEDS_LOGIN}", "test", "the provider says invalid_grant")


def test_many_tenants_of_whom_three_are_broken(stage: Stage) -> None:
    client = stage.client
    client.unpause(FLOW)
    run_id = client.trigger(f"{FLOW}__tenants", {"day": "some day"})
    assert client.wait_for_run(f"{FLOW}__tenants", run_id) == "failed"
    result = client.xcom(f"{FLOW}__tenants", run_id, "run")
    assert result["succeeded"] == COUNT - 3
    assert set(result["failed"]) == {NEEDS_LOGIN, REFUSED, BAD}
    assert "must link `desk` again" in result["failed"][NEEDS_LOGIN]
    assert "the service says 401" in result["failed"][REFUSED]
    assert "a record has the id None" in result["failed"][BAD]
    assert "key-of" not in json.dumps(result)  # a connector that tells its key is heard without it
    log = client.logs(f"{FLOW}__tenants", run_id, "run")
    assert f"{COUNT - 3} of {COUNT} tenants done; failed: {NEEDS_LOGIN}, {REFUSED}, {BAD}" in log
    assert set(stage.service.delivered) == set(NAMES) - {NEEDS_LOGIN, REFUSED, BAD}
    (body,) = (each for each in stage.service.delivered["t01"] if each["colour"] != "timed")
    assert body["colour"] == "red"
    day = client.get(f"dags/{FLOW}__tenants/dagRuns/{run_id}")["run_after"][:10]
    assert body["day"] == f"some day {day}"
    assert client.task_instances(f"{FLOW}__tenants", run_id)["run"]["try_number"] == 1


def test_a_second_run_of_a_tenant_waits_or_is_skipped(stage: Stage) -> None:
    client, service = stage.client, stage.service
    release = service.hold("t02")
    first = stage.start({"tenant": "t02"})
    wait_until("the first run", lambda: service.came["t02"].is_set() or None)
    second = stage.start({"tenant": "t02"})
    third = stage.start({"tenant": "t02", "queue_if_active_job": False})
    other = stage.start({"tenant": "t03"})
    stage.gate(second, "deferred")
    assert client.wait_for_run(FLOW, third) == "success"
    assert client.task_states(FLOW, third) == {"tenant": "skipped", "moved": "skipped"}
    assert client.wait_for_run(FLOW, other) == "success"  # nobody waits for another tenant
    assert client.task_states(FLOW, second)["moved"] is None
    release.set()
    assert [client.wait_for_run(FLOW, each) for each in (first, second)] == ["success", "success"]
    ended, began = (client.task_instances(FLOW, each)["moved"] for each in (first, second))
    assert ended["end_date"] <= began["start_date"]


@pytest.mark.parametrize(
    ("conf", "told"),
    [
        ({}, "this run's conf names none"),
        ({"tenant": "a/b"}, "cannot be a tenant's id"),
        ({"tenant": "x" * 300}, "cannot be a tenant's id"),
        ({"tenant": "nobody"}, "the tenant `nobody` has not linked `desk`"),
        ({"tenant": "t04", "override_selected_table": ["a"]}, "did you mean `override_selected_tables`"),
    ],
)
def test_a_run_that_cannot_be_fails_at_its_first_task(stage: Stage, conf: dict[str, Any], told: str) -> None:
    run_id, state = stage.client.run(FLOW, conf)
    assert state == "failed"
    assert stage.client.task_states(FLOW, run_id) == {"tenant": "failed", "moved": "upstream_failed"}
    assert told in stage.client.logs(FLOW, run_id, "tenant")
    assert stage.client.task_instances(FLOW, run_id)["tenant"]["try_number"] == 1  # no retry would help


def test_a_paused_flow_is_started_for_nobody(stage: Stage) -> None:
    client = stage.client
    client.unpause(FLOW, paused=True)
    run_id, state = client.run(f"{FLOW}__tenants")
    assert state == "success"
    assert client.task_states(f"{FLOW}__tenants", run_id) == {"run": "skipped"}
    assert f"the flow `{FLOW}` is paused" in client.logs(f"{FLOW}__tenants", run_id, "run")
    client.unpause(FLOW)


def test_a_tenant_runs_by_their_own_schedule(stage: Stage) -> None:
    def timed() -> dict[str, Any] | None:
        return next((body for body in stage.service.delivered.get("t01", ()) if body["colour"] == "timed"), None)

    wait_until("a run by the tenant's own schedule", timed)
    assert not [body for body in stage.service.delivered.get("t02", ()) if body["colour"] == "timed"]
