"""What Airflow tells about runs: the module is a listener of its, in the scheduler and in the API server.

A listener runs in the middle of the scheduler's transaction. So it takes what it needs from the objects that it is
given, asks nothing of any database, and hands the rest to a thread.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from pluggy import HookimplMarker

from flowmate_airflow.outgoing.announce import keep, targets
from flowmate_airflow.outgoing.backlog import Backlog
from flowmate_airflow.outgoing.news import RUN_FAILED, RUN_STARTED, RUN_SUCCEEDED
from flowmate_airflow.outgoing.runs import Run, run_of
from flowmate_airflow.outgoing.runsteps import steps_of
from flowmate_airflow.outgoing.targets import target_names

log = logging.getLogger(__name__)
hookimpl = HookimplMarker("airflow")


@hookimpl
def on_dag_run_running(dag_run: Any, msg: str) -> None:
    """A run begins."""
    hand_in(RUN_STARTED, dag_run, msg)


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:
    """A run has succeeded, or was marked so."""
    hand_in(RUN_SUCCEEDED, dag_run, msg)


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:
    """A run has failed, or was marked so."""
    hand_in(RUN_FAILED, dag_run, msg)


def hand_in(event: str, dag_run: Any, reason: str) -> None:
    """Let a flow's run be told, if anybody is; never raises, never waits."""
    try:
        if not target_names():
            return
        run = run_of(event, dag_run, reason)
        if run is not None:
            backlog.put(run)
    except Exception:
        log.exception("%s of a run is not told", event)


def tell(run: Run) -> None:
    """Keep notices of what became of a run.

    :raises StoreError: the store cannot be written
    """
    told = [target for target in targets.all() if target.wants_event(run.event) and target.wants_flow(run.flow)]
    if told:
        keep(run.news(steps_of(run, time.sleep) if run.is_over else ()), told)


backlog: Backlog[Run] = Backlog(tell, "outgoing webhooks")
