"""What became of a run's steps, read from a database with Airflow's tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, insert, update
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import NullPool

from flowmate_airflow.outgoing.runs import Run, StepFacts
from flowmate_airflow.outgoing.runsteps import steps_of

EIGHT = datetime(2026, 1, 31, 8, tzinfo=timezone.utc)
RUN = Run("run.failed", "orders", "run_1", "", "manual", "task_failure", 0, EIGHT, EIGHT, EIGHT, None, {})


def no_wait(seconds: float) -> None:
    raise AssertionError("nothing to wait for")


@pytest.fixture
def airflow_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A database with the tables that are read, which Airflow's sessions use."""
    from airflow import settings
    from airflow.models import import_all_models
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel

    import_all_models()  # what these refer to
    engine = create_engine(f"sqlite:///{tmp_path}/airflow.db", poolclass=NullPool)
    tables: Any = [model.__table__ for model in (DagRun, TaskInstance, XComModel)]
    DagRun.metadata.create_all(engine, tables=tables)
    monkeypatch.setattr(settings, "NonScopedSession", sessionmaker(engine))
    with engine.begin() as connection:
        add_run(connection, "failed")
        minute = EIGHT.replace(minute=5)
        for step, state, index, start, end in (
            ("orders", "success", -1, EIGHT, minute),
            ("orders.state", "upstream_failed", -1, None, None),
            ("saved.batches", "success", -1, minute, minute),
            ("saved", "success", 0, minute, minute),
            ("saved", "failed", 1, minute.replace(minute=6), minute.replace(minute=7)),
            ("told", "upstream_failed", -1, None, None),
        ):
            add_task(connection, step, state, index, start, end)
        add_xcom(connection, "orders", {"count": 3, "errors": 1, "messages": [{"id": "1"}]})
        add_xcom(connection, "saved", {"count": 2, "errors": 0}, 0)
        add_xcom(connection, "saved", {"count": 5, "errors": 1}, 1)
        add_xcom(connection, "told", ["no", "batch"])
    yield engine
    engine.dispose()


def add_run(connection: Connection, state: str) -> None:
    from airflow.models.dagrun import DagRun

    values = {"dag_id": "orders", "run_id": "run_1", "run_type": "manual", "run_after": EIGHT, "clear_number": 0}
    row = {**values, "id": 1, "_state": state, "log_template_id": 1}
    connection.execute(insert(DagRun).values(**row))


def add_task(
    connection: Connection, step: str, state: str, index: int, start: datetime | None, end: datetime | None
) -> None:
    from airflow.models.taskinstance import TaskInstance

    values = {"dag_id": "orders", "run_id": "run_1", "task_id": step, "map_index": index, "pool": "p", "pool_slots": 1}
    moments = {"state": state, "start_date": start, "end_date": end}
    connection.execute(insert(TaskInstance).values(**values, **moments))


def add_xcom(connection: Connection, step: str, value: Any, index: int = -1) -> None:
    from airflow.models.xcom import XComModel

    names = {"dag_id": "orders", "run_id": "run_1", "task_id": step, "map_index": index, "key": "return_value"}
    connection.execute(insert(XComModel).values(**names, dag_run_id=1, value=value, timestamp=EIGHT))


def test_each_step_has_its_state_times_and_counts(airflow_database: Engine) -> None:
    found = {step.id: step for step in steps_of(RUN, no_wait)}
    assert found == {
        "orders": StepFacts("orders", "success", "2026-01-31T08:00:00.000Z", "2026-01-31T08:05:00.000Z", 3, 1),
        "saved": StepFacts("saved", "failed", "2026-01-31T08:05:00.000Z", "2026-01-31T08:07:00.000Z", 7, 1),
        "told": StepFacts("told", "upstream_failed"),
    }


def test_it_waits_until_the_scheduler_has_committed(airflow_database: Engine) -> None:
    from airflow.models.dagrun import DagRun

    def set_state(state: str) -> None:
        with airflow_database.begin() as connection:
            connection.execute(update(DagRun).values(_state=state))

    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            set_state("failed")

    set_state("running")
    assert len(steps_of(RUN, wait)) == 3
    assert len(waited) == 2
    set_state("running")
    waited = [0.0] * 5
    assert len(steps_of(RUN, wait)) == 3, "it does not wait for ever"
    assert len(waited) == 10


def test_a_database_that_does_not_answer_costs_the_steps_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from airflow import settings

    monkeypatch.setattr(settings, "NonScopedSession", None)
    assert steps_of(RUN, no_wait) == []
    assert "It is told without its steps: run run_1 of orders" in caplog.text
