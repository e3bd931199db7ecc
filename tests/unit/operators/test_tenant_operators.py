"""The tasks of flows with tenants, with a real store and a played Airflow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, TaskDeferred
from airflow.sdk.execution_time import task_runner
from operators_airflow import NOON, PlayedAirflow, refusal

from flowmate_airflow.operators import tenants as operators_module
from flowmate_airflow.operators.tenants import NEXT, RunTenantsOperator, TenantOperator, run_id
from flowmate_airflow.store import linked, renewals, tenants
from flowmate_airflow.store.store import Store, close_stores, open_store


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


def _link(store: Store, *names: str, connector: str = "shop") -> None:
    for name in names:
        linked.save(store, linked.Linked(name, connector, f"flowmate.{connector}.{name}", "key"))


def _needs_login(store: Store, conn_id: str) -> None:
    renewals.take(store, conn_id, "me", b"token", 60)
    renewals.need_login(store, conn_id, "me", "invalid_grant")


def _gate(**options: Any) -> TenantOperator:
    return TenantOperator(task_id="tenant", connectors=["shop"], **options)


def _dispatcher(**options: Any) -> RunTenantsOperator:
    return RunTenantsOperator(task_id="run", flow="orders", connectors=["shop"], **options)


def _dispatch(operator: RunTenantsOperator, airflow: PlayedAirflow, **facts: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(airflow.context("orders__tenants", "d1", task_id="run", **facts))
    return caught.value


def _resume(operator: RunTenantsOperator, airflow: PlayedAirflow, deferred: TaskDeferred) -> dict[str, Any]:
    context = airflow.context("orders__tenants", "d1", task_id="run")
    return operator.resume(context, event={"over": 1}, **(deferred.kwargs or {}))


# --- the gate


def test_a_tenants_run_goes_on(store: Store, airflow: PlayedAirflow) -> None:
    _link(store, "acme")
    _gate().execute(airflow.context("orders", conf={"tenant": "acme"}))
    assert tenants.turns_of(store, "orders") == {"acme": "r1"}


@pytest.mark.parametrize(
    ("conf", "told"),
    [
        (None, "names none"),
        ({}, 'start a run with the conf {"tenant": "…"} for one tenant, or a run of `orders__tenants`'),
        ({"tenant": ""}, "cannot be a tenant's id"),
        ({"tenant": 5}, "cannot be a tenant's id"),
        ({"tenant": "a/b"}, "cannot be a tenant's id"),
        ({"tenant": "x" * 300}, "cannot be a tenant's id"),
        ({"tenant": "a'; drop table"}, "cannot be a tenant's id"),
        ({"tenant": "default"}, "whose settings others inherit"),
        ({"tenant": "nobody"}, "the tenant `nobody` has not linked `shop`"),
        ({"tenant": "acme", "override_strat": 1}, "`override_strat` is not known"),
        ({"tenant": "acme", "flowmate_dates": {"logical_date": "soon"}}, "`flowmate_dates` must have"),
    ],
)
def test_a_run_for_nobody_fails_for_good(store: Store, airflow: PlayedAirflow, conf: Any, told: str) -> None:
    _link(store, "acme")
    with pytest.raises(AirflowFailException) as caught:
        _gate().execute(airflow.context("orders", conf=conf))
    assert told in str(caught.value)
    assert tenants.turns_of(store, "orders") == {}


def test_who_must_log_in_again_is_told_so(store: Store, airflow: PlayedAirflow) -> None:
    _link(store, "acme")
    _needs_login(store, "flowmate.shop.acme")
    with pytest.raises(AirflowFailException, match=r"must link `shop` again: its login is over \(invalid_grant\)"):
        _gate().execute(airflow.context("orders", conf={"tenant": "acme"}))


def test_a_flow_runs_for_those_only_for_whom_it_is(store: Store, airflow: PlayedAirflow) -> None:
    _link(store, "acme", "globex")
    tenants.set_flow(store, "globex", "orders", is_on=False)
    with pytest.raises(AirflowFailException, match="does not run for the tenant `acme`, it runs for globex, initech"):
        _gate(who=["initech", "globex"]).execute(airflow.context("orders", conf={"tenant": "acme"}))
    with pytest.raises(AirflowFailException, match="switched off for the tenant `globex`"):
        _gate().execute(airflow.context("orders", conf={"tenant": "globex"}))


def test_a_second_run_waits_for_the_first(store: Store, airflow: PlayedAirflow) -> None:
    _link(store, "acme", "globex")
    gate, first, second = _gate(), airflow.context("orders", "r1"), airflow.context("orders", "r2")
    first["dag_run"].conf = second["dag_run"].conf = {"tenant": "acme"}
    airflow.runs = {"r1": "running", "r2": "running", "r3": "running"}
    gate.execute(first)
    with pytest.raises(TaskDeferred) as caught:
        gate.execute(second)
    assert caught.value.trigger.run_ids == ["r1"]  # type: ignore[attr-defined]
    assert tenants.turns_of(store, f"orders{NEXT}") == {"acme": "r2"}
    gate.execute(airflow.context("orders", "r3", {"tenant": "globex"}))  # another tenant does not wait
    airflow.end("r1", "failed")
    gate.resume(second, {"over": 1})
    assert tenants.turns_of(store, "orders") == {"acme": "r2", "globex": "r3"}
    assert tenants.turns_of(store, f"orders{NEXT}") == {}


def test_a_second_run_is_skipped_where_the_flow_says_so(store: Store, airflow: PlayedAirflow) -> None:
    _link(store, "acme")
    airflow.runs = {"r1": "running"}
    _gate(active="skip").execute(airflow.context("orders", "r1", {"tenant": "acme"}))
    with pytest.raises(AirflowSkipException, match="a run of the tenant `acme` is active still: r1"):
        _gate(active="skip").execute(airflow.context("orders", "r2", {"tenant": "acme"}))
    airflow.runs.clear()  # it was deleted
    _gate(active="skip").execute(airflow.context("orders", "r2", {"tenant": "acme"}))


@pytest.mark.parametrize(
    ("active", "conf", "outcome"),
    [
        ("skip", {"queue_if_active_job": True}, TaskDeferred),
        ("queue", {"queue_if_active_job": False}, AirflowSkipException),
        ("queue", {"ignore_parallel_jobs": True}, None),
    ],
)
def test_a_job_says_itself_whether_it_waits(
    store: Store, airflow: PlayedAirflow, active: Any, conf: dict[str, Any], outcome: Any
) -> None:
    _link(store, "acme")
    airflow.runs = {"r1": "running"}
    _gate().execute(airflow.context("orders", "r1", {"tenant": "acme"}))
    context = airflow.context("orders", "r2", {"tenant": "acme", **conf})
    if outcome is None:
        _gate(active=active).execute(context)
        assert tenants.turns_of(store, "orders") == {"acme": "r1"}
    else:
        with pytest.raises(outcome):
            _gate(active=active).execute(context)


# --- the DAG that starts the runs


def test_fifty_tenants_and_three_that_are_broken(store: Store, airflow: PlayedAirflow) -> None:
    names = [f"t{number:02}" for number in range(50)]
    _link(store, *names)
    _link(store, "other", connector="erp")
    _needs_login(store, "flowmate.shop.t07")
    operator = _dispatcher()
    deferred = _dispatch(operator, airflow, conf={"limit": 3, "tenant": "x"})
    assert len(airflow.runs) == 49
    conf = airflow.confs[run_id("t00", NOON)]
    assert conf == {
        "limit": 3,
        "tenant": "t00",
        "flowmate_dates": dict.fromkeys(
            ("logical_date", "data_interval_start", "data_interval_end"), "2026-11-27T12:00:00+00:00"
        ),
    }
    for name in names:
        if name != "t07":
            airflow.end(run_id(name, NOON), "success", tenant="success", read="success")
    airflow.end(run_id("t20", NOON), "failed", tenant="success", read="failed", saved="upstream_failed")
    airflow.words[run_id("t20", NOON), "read"] = "step `read` (shop/get): HTTP 401"
    airflow.end(run_id("t33", NOON), "failed", tenant="success", saved="failed")
    asked = airflow.asked
    with pytest.raises(AirflowFailException, match="47 of 50 tenants done; failed: t07, t20, t33"):
        _resume(operator, airflow, deferred)
    assert airflow.asked - asked < 30  # few calls, however many runs
    result = airflow.pushed["return_value"]
    assert result["succeeded"] == 47
    assert result["failed"]["t20"] == "step `read` (shop/get): HTTP 401"
    assert result["failed"]["t33"] == "`saved` failed"
    assert "must link `shop` again" in result["failed"]["t07"]


def test_a_retry_starts_none_twice(store: Store, airflow: PlayedAirflow) -> None:
    _link(store, "acme", "a@b.example")
    operator = _dispatcher()
    airflow.refused["a@b.example"] = refusal(None)
    with pytest.raises(AirflowException, match="Airflow starts no run"):
        operator.execute(airflow.context("orders__tenants", "d1"))
    airflow.refused.clear()
    for each in airflow.runs:
        airflow.end(each)
    _link(store, "later")
    deferred = _dispatch(operator, airflow)
    assert set(airflow.confs) == {run_id(name, NOON) for name in ("acme", "a@b.example", "later")}
    assert run_id("a@b.example", NOON) == "tenant__a~b.example__2026-11-27T12:00:00+00:00"
    for each in airflow.runs:
        airflow.end(each)
    assert _resume(operator, airflow, deferred)["succeeded"] == 3


def test_a_run_that_airflow_refuses_is_that_tenants_failure_alone(store: Store, airflow: PlayedAirflow) -> None:
    _link(store, "acme", "globex")
    airflow.refused["acme"] = refusal(400, reason="value_error", message="limit must be a number")
    operator = _dispatcher()
    deferred = _dispatch(operator, airflow)
    airflow.end(run_id("globex", NOON))
    with pytest.raises(AirflowFailException, match="1 of 2 tenants done; failed: acme"):
        _resume(operator, airflow, deferred)
    assert "limit must be a number" in airflow.pushed["return_value"]["failed"]["acme"]


def test_it_does_nothing_while_the_flow_is_paused(store: Store, airflow: PlayedAirflow) -> None:
    _link(store, "acme")
    airflow.is_paused = True
    with pytest.raises(AirflowSkipException, match="the flow `orders` is paused"):
        _dispatcher().execute(airflow.context("orders__tenants"))
    assert not airflow.runs


def test_listed_tenants_who_have_not_linked_are_named_and_fail_nothing(store: Store, airflow: PlayedAirflow) -> None:
    _link(store, "acme", "off")
    tenants.set_flow(store, "off", "orders", is_on=False)
    operator = _dispatcher(who=["acme", "globex", "off"])
    deferred = _dispatch(operator, airflow)
    airflow.end(run_id("acme", NOON))
    result = _resume(operator, airflow, deferred)
    assert (result["started"], result["succeeded"], result["failed"]) == (["acme"], 1, {})
    assert list(result["unlinked"]) == ["globex"]
    assert list(result["skipped"]) == ["off"]


def test_nobody_has_linked_yet(store: Store, airflow: PlayedAirflow) -> None:
    result = _dispatcher().execute(airflow.context("orders__tenants"))
    assert (result["started"], result["succeeded"]) == ([], 0)


def test_a_run_that_was_deleted_has_failed(store: Store, airflow: PlayedAirflow) -> None:
    _link(store, "acme")
    operator = _dispatcher()
    deferred = _dispatch(operator, airflow)
    airflow.runs.clear()
    with pytest.raises(AirflowFailException, match="failed: acme"):
        _resume(operator, airflow, deferred)
    assert airflow.pushed["return_value"]["failed"] == {"acme": "the run was deleted"}


def test_a_run_that_was_skipped_at_its_gate_is_named(store: Store, airflow: PlayedAirflow) -> None:
    _link(store, "acme")
    operator = _dispatcher(active="skip")
    deferred = _dispatch(operator, airflow)
    airflow.end(run_id("acme", NOON), "success", tenant="skipped")
    result = _resume(operator, airflow, deferred)
    assert result["succeeded"] == 0
    assert result["skipped"] == {"acme": "a run of theirs was active still"}


def test_none_is_started_for_who_has_an_active_run(store: Store, airflow: PlayedAirflow) -> None:
    _link(store, "acme", "globex", "initech")
    airflow.runs = {"r1": "running", "r2": "success"}
    for name, run in (("acme", "r1"), ("globex", "r2")):
        tenants.take_turn(store, name, "orders", run, lambda _: True)
    deferred = _dispatch(_dispatcher(active="skip"), airflow)
    assert set(airflow.confs) == {run_id("globex", NOON), run_id("initech", NOON)}
    assert (deferred.kwargs or {})["so_far"]["skipped"] == {"acme": "a run of theirs is active still: r1"}


@pytest.mark.parametrize(("run_type", "started"), [("scheduled", False), ("manual", True)])
def test_one_run_waits_and_no_more_are_started_by_the_schedule(
    store: Store, airflow: PlayedAirflow, run_type: str, started: bool
) -> None:
    _link(store, "acme", "globex")
    airflow.runs = {"r1": "running", "r2": "running"}
    tenants.take_turn(store, "acme", "orders", "r1", lambda _: True)
    tenants.take_turn(store, "acme", f"orders{NEXT}", "r2", lambda _: True)
    _dispatch(_dispatcher(), airflow, run_type=run_type)
    assert (run_id("acme", NOON) in airflow.confs) == started
    assert run_id("globex", NOON) in airflow.confs


# --- schedules of the tenants' own


def _tick(airflow: PlayedAirflow, minute: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Let the clock's DAG run at a minute after noon."""
    moment = NOON + timedelta(minutes=minute)
    monkeypatch.setattr(operators_module, "datetime", SimpleNamespace(now=lambda _: moment))
    operator = _dispatcher(own_schedules=True, schedule="@hourly")
    return operator.execute(airflow.context("orders__tenants", f"d{minute}", moment=moment))


def test_each_is_started_when_it_is_due_and_not_waited_for(
    store: Store, airflow: PlayedAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    _link(store, "acme", "globex")
    tenants.set_flow(store, "acme", "orders", schedule="*/10 * * * *")
    assert _tick(airflow, 1, monkeypatch)["started"] == []
    assert _tick(airflow, 10, monkeypatch)["started"] == ["acme"]
    assert list(airflow.runs) == [run_id("acme", NOON + timedelta(minutes=10))]
    assert _tick(airflow, 11, monkeypatch)["started"] == []
    assert _tick(airflow, 60, monkeypatch)["started"] == ["acme", "globex"]
    conf = airflow.confs[run_id("globex", NOON + timedelta(hours=1))]
    assert conf["flowmate_dates"]["logical_date"] == "2026-11-27T13:00:00+00:00"


def test_who_must_log_in_again_is_named_when_due(
    store: Store, airflow: PlayedAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    _link(store, "acme", "globex")
    _needs_login(store, "flowmate.shop.acme")
    assert _tick(airflow, 1, monkeypatch)["failed"] == {}
    with pytest.raises(AirflowFailException, match="1 of 2 tenants started; failed: acme"):
        _tick(airflow, 60, monkeypatch)
    assert _tick(airflow, 61, monkeypatch)["failed"] == {}


def test_started_by_hand_all_run_at_once(store: Store, airflow: PlayedAirflow) -> None:
    _link(store, "acme", "globex")
    tenants.set_flow(store, "acme", "orders", schedule="none")
    _dispatch(_dispatcher(own_schedules=True, schedule="@hourly"), airflow, run_type="manual")
    assert len(airflow.runs) == 2


def test_a_run_for_some_starts_those_only_who_can(store: Store, airflow: PlayedAirflow) -> None:
    _link(store, "acme", "globex")
    operator = _dispatcher()
    deferred = _dispatch(operator, airflow, conf={"tenants": ["globex", "stranger"], "limit": 3})
    ((started, conf),) = airflow.confs.items()
    assert (started, conf["tenant"], conf["limit"], "tenants" in conf) == (run_id("globex", NOON), "globex", 3, False)
    airflow.end(run_id("globex", NOON))
    assert _resume(operator, airflow, deferred)["started"] == ["globex"]


@pytest.mark.parametrize("asked", ["acme", [], [1]])
def test_a_run_for_nobody_in_particular_is_refused(store: Store, airflow: PlayedAirflow, asked: Any) -> None:
    with pytest.raises(AirflowFailException, match="is a list of tenants"):
        _dispatcher().execute(airflow.context("orders__tenants", conf={"tenants": asked}))
