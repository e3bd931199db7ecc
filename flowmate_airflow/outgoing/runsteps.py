"""What became of a run's steps, out of Airflow's database: in processes of Airflow's own that may read it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from flowmate_airflow.outgoing.news import timestamp
from flowmate_airflow.outgoing.runs import STATES, Run, StepFacts

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)

MAX_STEPS = 500
_MAPPED = ("failed", "upstream_failed", "skipped", "success")
"""Of a step that ran several times at once, the state that counts is the first of these that one of them has."""
_WAITS = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between two looks for a state that its process has not committed yet."""


def steps_of(run: Run, wait: Callable[[float], object]) -> list[StepFacts]:
    """Return what became of the steps of a run that has ended; none when Airflow's database does not tell.

    :param wait: waits some seconds
    """
    from airflow.utils.session import create_session

    try:
        for seconds in (*_WAITS, None):
            # A session of this thread's own: the caller's may not be shared, nor may it be committed.
            with create_session(scoped=False) as session:
                if seconds is None or _is_committed(session, run):
                    return _steps(session, run)
            wait(seconds)
    except Exception:
        log.warning("It is told without its steps: run %s of %s", run.run_id, run.flow, exc_info=True)
    return []


def _is_committed(session: Session, run: Run) -> bool:
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    query = select(DagRun.state).where(DagRun.dag_id == run.flow, DagRun.run_id == run.run_id)
    return str(session.scalar(query)) == STATES[run.event]


def _steps(session: Session, run: Run) -> list[StepFacts]:
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    columns = (TaskInstance.task_id, TaskInstance.state, TaskInstance.start_date, TaskInstance.end_date)
    query = select(*columns).where(TaskInstance.dag_id == run.flow, TaskInstance.run_id == run.run_id)
    instances: dict[str, list[Any]] = {}
    for row in session.execute(query.order_by(TaskInstance.start_date, TaskInstance.task_id).limit(MAX_STEPS)):
        if "." not in row.task_id:  # a task beside a step's, such as the one that keeps its state
            instances.setdefault(row.task_id, []).append(row)
    counts = _counts(session, run)
    return [_facts(step, rows, counts.get(step, (None, None))) for step, rows in instances.items()]


def _counts(session: Session, run: Run) -> dict[str, tuple[int | None, int | None]]:
    """Return how many messages and errors each step has handed on: a few numbers, not the messages beside them."""
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    value = XComModel.value
    query = select(XComModel.task_id, value["count"].as_string(), value["errors"].as_string()).where(
        XComModel.dag_id == run.flow, XComModel.run_id == run.run_id, XComModel.key == "return_value"
    )
    found: dict[str, tuple[int | None, int | None]] = {}
    for step, count, errors in session.execute(query.limit(MAX_STEPS)):
        before = found.get(step, (None, None))
        found[step] = (_sum(before[0], count), _sum(before[1], errors))
    return found


def _sum(before: int | None, text: Any) -> int | None:
    number = int(text) if str(text).isdecimal() else None
    return before if number is None else number + (before or 0)


def _facts(step: str, rows: Sequence[Any], counts: tuple[int | None, int | None]) -> StepFacts:
    states = {str(row.state) if row.state is not None else None for row in rows}
    state = next((state for state in _MAPPED if state in states), next(iter(states)))
    starts = [row.start_date for row in rows if row.start_date is not None]
    ends = [row.end_date for row in rows if row.end_date is not None]
    started = timestamp(min(starts)) if starts else None
    return StepFacts(step, state, started, timestamp(max(ends)) if ends else None, *counts)
