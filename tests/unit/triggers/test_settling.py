"""What becomes of events when their run has ended, as Airflow's own messages tell it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.api.datamodels._generated import DagRunState
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import DagRunStateResult, DRCount, ErrorResponse, GetDagRunState

from flowmate_airflow.store.claims import Owner, claim, owners
from flowmate_airflow.store.deliveries import NewDelivery, get, insert
from flowmate_airflow.store.store import close_stores, open_store
from flowmate_airflow.triggers import settling
from flowmate_airflow.triggers.looking import Looking
from flowmate_airflow.triggers.settling import settle_runs

RUN = Owner("orders", "asset_triggered__1", "webhook")


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(settling, "taken_events", Looking(lambda: owners(open_store()), 0, {}))
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", f"sqlite:///{tmp_path}/store.db")
    yield
    close_stores()


class Supervisor:
    """Answers as the triggerer's supervisor does.

    :param state: of the run; None: there is no such run
    :param counts: whether it can count runs
    """

    def __init__(self, state: DagRunState | None, *, counts: bool = True) -> None:
        self._state = state
        self._counts = counts

    async def asend(self, message: Any) -> Any:
        if isinstance(message, GetDagRunState) and self._state is not None:
            return DagRunStateResult(state=self._state)
        if isinstance(message, GetDagRunState) or not self._counts:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status": 404}))
        return DRCount(count=0)


def status_after(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, attempts: int = 3) -> tuple[str, int]:
    """Return the status of a delivery that a run took, and how many runs have failed on it."""
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    (stored,) = insert(open_store(), [NewDelivery(endpoint="orders", digest=b"1", payload=b"{}")])
    assert claim(open_store(), RUN, "orders", limit=10) == [stored.id]
    asyncio.run(settle_runs("orders", attempts))
    delivery = get(open_store(), stored.id)
    assert delivery is not None
    return delivery.status, delivery.attempts


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (DagRunState.SUCCESS, ("delivered", 0)),
        (DagRunState.FAILED, ("received", 1)),
        (DagRunState.RUNNING, ("claimed", 0)),
        (DagRunState.QUEUED, ("claimed", 0)),
    ],
)
def test_the_end_of_a_run_is_the_end_of_its_events(
    state: DagRunState, expected: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status_after(Supervisor(state), monkeypatch) == expected


def test_the_last_attempt_leaves_them_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert status_after(Supervisor(DagRunState.FAILED), monkeypatch, attempts=1) == ("failed", 1)


def test_a_run_that_is_gone_lets_them_go(monkeypatch: pytest.MonkeyPatch) -> None:
    assert status_after(Supervisor(None), monkeypatch) == ("received", 1)


def test_while_airflow_is_ill_nothing_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    assert status_after(Supervisor(None, counts=False), monkeypatch) == ("claimed", 0)


def test_a_run_of_which_nobody_can_tell_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(Supervisor):
        async def asend(self, message: Any) -> Any:
            if message.run_id == "first":
                raise EOFError("the supervisor has ended")
            return await super().asend(message)

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Odd(DagRunState.SUCCESS), raising=False)
    numbers = insert(open_store(), [NewDelivery(endpoint="orders", digest=bytes([n]), payload=b"{}") for n in range(2)])
    for run, stored in zip(("first", "second"), numbers, strict=True):
        assert claim(open_store(), Owner("orders", run), "orders", limit=1) == [stored.id]
    asyncio.run(settle_runs("orders", 3))
    found = [get(open_store(), stored.id) for stored in numbers]
    assert [each.status for each in found if each is not None] == ["claimed", "delivered"]


def test_the_run_of_one_tenant_that_failed_leaves_the_events_of_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"acme": DagRunState.FAILED, "other": DagRunState.SUCCESS, "third": DagRunState.RUNNING}

    class Runs(Supervisor):
        async def asend(self, message: Any) -> Any:
            assert message.dag_id == "orders"  # the flow's runs took them, not those of the DAG that starts these
            return DagRunStateResult(state=states[message.run_id])

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Runs(None), raising=False)
    found = {}
    for tenant in states:
        new = NewDelivery("orders", tenant.encode(), b"{}", tenant)
        found[tenant] = insert(open_store(), [new])[0].id
        assert claim(open_store(), Owner("orders", tenant, "webhook"), "orders", tenant, limit=9) == [found[tenant]]
    asyncio.run(settle_runs("orders", 3))
    kept = {tenant: get(open_store(), number) for tenant, number in found.items()}
    assert {tenant: each.status for tenant, each in kept.items() if each is not None} == {
        **{"acme": "received", "other": "delivered", "third": "claimed"},
    }
