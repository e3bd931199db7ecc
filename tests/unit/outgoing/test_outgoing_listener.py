"""What Airflow says about runs becomes notices, and never holds Airflow up."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from outgoing_harness import Application, Tell

from flowmate_airflow.outgoing import announce, listener
from flowmate_airflow.outgoing.backlog import TRIES, Backlog
from flowmate_airflow.outgoing.runs import Run, StepFacts
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.outgoing import Notice, Wanted, find
from flowmate_airflow.store.store import Store

EIGHT = datetime(2026, 1, 31, 8, tzinfo=timezone.utc)
STARTED, ENDED = EIGHT.replace(minute=1), EIGHT.replace(minute=2)


@dataclass
class DagRun:
    """As much of Airflow's as the listener is to touch."""

    dag_id: str = "orders"
    run_id: str = "scheduled__2026-01-31"
    run_type: Any = field(default_factory=lambda: SimpleNamespace(value="scheduled"))
    conf: Any = field(default_factory=dict)
    clear_number: int = 0
    queued_at: datetime | None = EIGHT
    start_date: datetime | None = STARTED
    end_date: datetime | None = ENDED
    dag: Any = field(default_factory=lambda: SimpleNamespace(fileloc="/dags/flows/orders.yaml"))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[StepFacts]:
    """What Airflow's database says about the steps."""
    found: list[StepFacts] = []
    monkeypatch.setattr(listener, "steps_of", lambda run, wait: found)
    return found


@pytest.fixture
def told(store: Store, app: Application, tell: Tell, steps: list[StepFacts]) -> Callable[..., list[Notice]]:
    """Tells the listener something, and returns what is kept for the target `app` then, oldest first."""
    tell("app", app)

    def listen(event: str, dag_run: DagRun, msg: str) -> list[Notice]:
        getattr(listener, f"on_dag_run_{event}")(dag_run, msg)
        assert listener.backlog.flush(60)
        return list(find(store, Wanted(target="app")))[::-1]

    return listen


def test_a_runs_life_is_told(told: Callable[..., list[Notice]], steps: list[StepFacts]) -> None:
    run = DagRun(conf={"tenant": "acme", "full_sync": True})
    told("running", run, "started")
    steps += [StepFacts("orders", "success", count=3, errors=1), StepFacts("saved", "failed")]
    started, failed = told("failed", run, "task_failure")
    assert (started.event, failed.event) == ("run.started", "run.failed")
    assert json.loads(started.payload)["data"] == {
        "flow": "orders",
        "run_id": "scheduled__2026-01-31",
        "tenant": "acme",
        "state": "running",
        "run_type": "scheduled",
        "started_at": "2026-01-31T08:01:00.000Z",
        "ended_at": None,
        "steps": [],
        "error": None,
    }
    body = json.loads(failed.payload)
    assert (body["type"], body["timestamp"]) == ("run.failed", "2026-01-31T08:02:00.000Z")
    assert body["data"]["error"] == "the step `saved` failed"
    assert body["data"]["steps"] == [
        {"id": "orders", "state": "success", "started_at": None, "ended_at": None, "count": 3, "errors": 1},
        {"id": "saved", "state": "failed", "started_at": None, "ended_at": None, "count": None, "errors": None},
    ]


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("timed_out", "the run took longer than the flow's `timeout`"),
        ("all_tasks_deadlocked", "no step could run any more"),
        ("task_failure", "a step failed"),
        ("Dag Run's state was manually set to `failed`.", "the run was marked as failed"),
    ],
)
def test_a_failure_is_one_line_of_ours(told: Callable[..., list[Notice]], reason: str, error: str) -> None:
    (notice,) = told("failed", DagRun(), reason)
    assert json.loads(notice.payload)["data"]["error"] == error


def test_hotglues_users_get_its_fields(store: Store, app: Application, tell: Tell, steps: list[StepFacts]) -> None:
    tell("glued", app, payload="hotglue")
    steps += [StepFacts("orders", "success", count=3)]
    run = DagRun(conf={"tenant": "acme", "start_date": "2026-01-01"})
    listener.on_dag_run_running(run, "started")
    listener.on_dag_run_success(run, "success")
    listener.on_dag_run_failed(run, "task_failure")
    assert listener.backlog.flush(60)
    bodies = [json.loads(each.payload) for each in find(store, Wanted())][::-1]
    assert [each["status"] for each in bodies] == ["JOB_CREATED", "JOB_COMPLETED", "JOB_FAILED"]
    done = bodies[1]
    assert (done["job_id"], done["flow_id"], done["tenant"]) == ("scheduled__2026-01-31", "orders", "acme")
    assert done["s3_root"] == "acme/flows/orders/jobs/2026/01/5/31/08/scheduled__2026-01-31"
    assert done["metrics"] == {"recordCount": {"orders": 3}}
    assert (done["scheduled_job"], done["sync_type"]) == (True, "incremental_sync")
    assert (done["override_start_date"], done["message"]) == ("2026-01-01", None)
    assert bodies[2]["message"] == "a step failed"


def test_the_same_news_is_told_once_and_a_run_that_is_cleared_anew(told: Callable[..., list[Notice]]) -> None:
    told("success", DagRun(), "success")
    # A scheduler whose transaction was rolled back says it again, a little later.
    assert len(told("success", DagRun(end_date=EIGHT.replace(minute=3)), "success")) == 1
    assert len(told("success", DagRun(clear_number=1), "success")) == 2
    assert len(told("success", DagRun(queued_at=EIGHT.replace(hour=9)), "success")) == 3
    assert len(told("success", DagRun(run_id="manual__1"), "success")) == 4
    assert len(told("success", DagRun(dag_id="customers"), "success")) == 5
    assert len(told("failed", DagRun(), "Dag Run's state was manually set to `failed`.")) == 6


@pytest.mark.parametrize(
    "dag", [None, SimpleNamespace(fileloc="/dags/mine.py"), SimpleNamespace(fileloc=None), SimpleNamespace()]
)
def test_other_dags_are_not_told(told: Callable[..., list[Notice]], dag: Any) -> None:
    assert told("success", DagRun(dag=dag), "success") == []


def test_only_what_is_wanted_is_looked_up_and_told(
    store: Store, app: Application, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(listener, "steps_of", lambda run, wait: looked.append(run.run_id) or [])
    tell("app", app, events=["run.failed"], flows=["orders"])
    for run in (DagRun(), DagRun(dag_id="customers")):
        listener.on_dag_run_running(run, "started")
        listener.on_dag_run_success(run, "success")
        listener.on_dag_run_failed(run, "task_failure")
    assert listener.backlog.flush(60)
    assert [each.event for each in find(store, Wanted())] == ["run.failed"]
    assert looked == ["scheduled__2026-01-31"]


def test_nothing_at_all_is_done_when_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__OUTGOING", " , ")
    monkeypatch.setattr(listener, "run_of", None)
    monkeypatch.setattr(listener, "backlog", None)
    listener.on_dag_run_success(DagRun(), "success")


def test_whatever_breaks_the_scheduler_goes_on(tell: Tell, app: Application, caplog: pytest.LogCaptureFixture) -> None:
    tell("app", app)

    class Hostile:
        @property
        def dag(self) -> Any:
            raise RuntimeError("no")

    listener.on_dag_run_failed(Hostile(), "task_failure")
    assert "run.failed of a run is not told" in caplog.text


def test_a_store_that_hangs_holds_nobody_up(
    store: Store, tell: Tell, app: Application, steps: list[StepFacts], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell("app", app)
    reached, go_on = threading.Event(), threading.Event()

    def hang() -> Store:
        reached.set()
        assert go_on.wait(60)
        return store

    monkeypatch.setattr(announce, "open_store", hang)
    for number in range(3):
        listener.on_dag_run_running(DagRun(run_id=f"run_{number}"), "started")
    assert reached.wait(60)
    assert not listener.backlog.flush(0)
    assert list(find(store, Wanted())) == []
    go_on.set()
    assert listener.backlog.flush(60)
    assert len(list(find(store, Wanted()))) == 3


# --- the backlog itself


@pytest.fixture
def waits() -> list[float]:
    """The seconds that a backlog has waited."""
    return []


def test_a_store_that_is_down_is_tried_until_it_is_back(waits: list[float], caplog: pytest.LogCaptureFixture) -> None:
    failures = [StoreError("down", transient=True)] * 7
    done = []

    def work(item: str) -> None:
        if failures:
            raise failures.pop()
        done.append(item)

    backlog = Backlog(work, "work", wait=waits.append)
    backlog.put("a")
    backlog.put("b")
    assert backlog.flush(60)
    assert done == ["a", "b"]
    assert waits == [1, 2, 5, 10, 30, 30, 30]
    assert "work: tried again in 1 s: down" in caplog.text


def test_what_fails_otherwise_is_given_up_and_its_text_kept_out_of_the_log(
    waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    tried, done = [], []

    def work(item: str) -> None:
        tried.append(item)
        if item == "bad":
            raise RuntimeError("password=secret")
        done.append(item)

    backlog = Backlog(work, "work", wait=waits.append)
    backlog.put("bad")
    backlog.put("good")
    assert backlog.flush(60)
    assert (tried.count("bad"), done) == (TRIES, ["good"])
    assert "work: given up: RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_beyond_its_limit_the_oldest_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    reached, go_on = threading.Event(), threading.Event()
    done: list[int] = []

    def work(item: int) -> None:
        reached.set()
        assert go_on.wait(60)
        done.append(item)

    backlog = Backlog(work, "work", limit=3)
    backlog.put(0)
    assert reached.wait(60)
    for number in range(1, 6):
        backlog.put(number)
    go_on.set()
    assert backlog.flush(60)
    assert done == [0, 3, 4, 5]
    assert "work: 3 wait, as the work hangs; the oldest is dropped" in caplog.text


def test_no_thread_is_left_when_there_is_nothing_to_do() -> None:
    backlog: Backlog[int] = Backlog(lambda item: None, "a name of its own")
    backlog.put(1)
    assert backlog.flush(60)
    left = [thread for thread in threading.enumerate() if thread.name == "a name of its own"]
    for thread in left:
        thread.join(60)
    assert not any(thread.is_alive() for thread in left)
    backlog.put(2)
    assert backlog.flush(60), "it begins anew"


def test_a_forked_child_begins_with_nothing_and_can_work() -> None:
    """Also while the parent's thread hangs, with the parent's work."""
    reached, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def work(item: str) -> None:
        if item == "parent":
            reached.set()
            assert go_on.wait(60)
        done.append(item)

    backlog = Backlog(work, "work")
    backlog.put("parent")
    assert reached.wait(60)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            backlog.put("child")
            code = 0 if backlog.flush(60) and done == ["child"] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    go_on.set()
    assert backlog.flush(60)
    assert done == ["parent"]


def test_a_runs_window_is_in_no_repr() -> None:
    run = Run("run.failed", "f", "r", "", "manual", "x", 0, None, None, None, None, {"start_date": "secret"})
    assert "secret" not in repr(run)
