"""What becomes of a flow's run, as news."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from flowmate_airflow.flows.tenantmodels import DISPATCHER
from flowmate_airflow.outgoing.news import RUN_FAILED, RUN_STARTED, RUN_SUCCEEDED, News, message_id, timestamp
from flowmate_airflow.store.sql import now

FLOW_FILES = (".yaml", ".yml")
STATES = {RUN_STARTED: "running", RUN_SUCCEEDED: "success", RUN_FAILED: "failed"}
"""Airflow's name of the state that a run is in, by event."""
STATUSES = {RUN_STARTED: "JOB_CREATED", RUN_SUCCEEDED: "JOB_COMPLETED", RUN_FAILED: "JOB_FAILED"}
"""hotglue's name of it."""
_REASONS = {
    "started": "",
    "success": "",
    "task_failure": "a step failed",
    "timed_out": "the run took longer than the flow's `timeout`",
    "all_tasks_deadlocked": "no step could run any more",
}
"""What the scheduler says when a run's state changes. Anything else: somebody has marked the run."""
_MARKED = "the run was marked as failed"
_MANY = 10


@dataclass(frozen=True, slots=True)
class StepFacts:
    """What became of a step.

    :param count: of the messages that it handed on, where it is known
    :param errors: how many messages it left out because they failed
    """

    id: str
    state: str | None
    started_at: str | None = None
    ended_at: str | None = None
    count: int | None = None
    errors: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What a listener is told about a run: nothing of Airflow's is kept, whose objects belong to its thread.

    :param marked_at: when somebody has given the run this state by hand
    :param queued_at: when this was last asked of the run
    :param clear_number: how often it was cleared
    :param window: of the run's conf, what says which part of the data is read, and how a hotglue job is called
    """

    event: str
    flow: str
    run_id: str
    tenant: str
    run_type: str
    reason: str
    clear_number: int
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    marked_at: datetime | None
    window: Mapping[str, Any] = field(repr=False)

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.event != RUN_STARTED

    @property
    def moment(self) -> datetime:
        """When it happened."""
        return self.marked_at or (self.ended_at if self.is_over else self.started_at) or now()

    def news(self, steps: Sequence[StepFacts] = ()) -> News:
        """Return the news.

        :param steps: of a run that has ended
        """
        error = self._error(steps)
        # The scheduler says the same again when its transaction could not be committed, with other times.
        when = [str(moment or "") for moment in (self.queued_at, self.marked_at)]
        name = message_id(self.flow, self.run_id, self.event, str(self.clear_number), *when)
        data = {
            "flow": self.flow,
            "run_id": self.run_id,
            "tenant": self.tenant or None,
            "state": STATES[self.event],
            "run_type": self.run_type,
            "started_at": _text(self.started_at),
            "ended_at": _text(self.ended_at),
            "steps": [asdict(step) for step in steps],
            "error": error,
        }
        return News(self.event, data, self.moment, name, self._job_details(steps, error))

    def _error(self, steps: Sequence[StepFacts]) -> str | None:
        if self.event != RUN_FAILED:
            return None
        failed = [f"`{step.id}`" for step in steps if step.state == "failed"]
        if not failed or self.reason != "task_failure":
            return _REASONS.get(self.reason) or _MARKED
        names = f"{', '.join(failed[:_MANY])}{', …' if len(failed) > _MANY else ''}"
        return f"the step {names} failed" if len(failed) == 1 else f"the steps {names} failed"

    def _job_details(self, steps: Sequence[StepFacts], error: str | None) -> dict[str, Any]:
        """Return the fields of hotglue's `job_details`, without those of its machines; null is what we have not."""
        counts = {step.id: step.count for step in steps if step.count is not None}
        return {
            "job_id": self.run_id,
            "env_id": None,
            "flow_id": self.flow,
            "job_name": _short(self.window.get("job_name")) or self.run_id,
            "tenant": self.tenant,
            "started_by": self.tenant or "default",
            "s3_root": self._job_root(),
            "start_time": _text(self.started_at),
            "last_updated": timestamp(self.moment),
            "state": {},
            "tap": None,
            "target": None,
            "connector_id": _short(self.window.get("connector_id")),
            "job_type": _short(self.window.get("job_type")),
            "status": STATUSES[self.event],
            "scheduled_job": self.run_type == "scheduled",
            "sync_type": "full_sync" if self.window.get("full_sync") is True else "incremental_sync",
            "message": error,
            "override_start_date": _short(self.window.get("start_date")),
            "override_end_date": _short(self.window.get("end_date")),
            "override_field_map": None,
            "override_source_config": None,
            "override_target_config": None,
            "override_lifecycle_webhook": None,
            "metrics": {"recordCount": counts},
        }

    def _job_root(self) -> str:
        """Return what names the run among all: hotglue's path of a job's files, with the week of the month in it."""
        day = self.queued_at or self.moment
        week = (day.day - 1) // 7 + 1
        parts = (f"{day:%Y/%m}", str(week), f"{day:%d/%H}", self.run_id)
        return "/".join((self.tenant or "default", "flows", self.flow, "jobs", *parts))


def run_of(event: str, dag_run: Any, reason: str) -> Run | None:
    """Return what an Airflow run's change of state says, None when it is no run of a flow.

    :param reason: what Airflow says about it
    """
    # A flow's DAG is shown as its YAML, and so are its runs' copies of it.
    if not str(getattr(getattr(dag_run, "dag", None), "fileloc", "")).endswith(FLOW_FILES):
        return None
    if dag_run.dag_id.endswith(DISPATCHER):  # it only starts the flow's runs
        return None
    conf = dag_run.conf if isinstance(dag_run.conf, Mapping) else {}
    tenant = conf.get("tenant")
    return Run(
        event,
        dag_run.dag_id,
        dag_run.run_id,
        tenant if isinstance(tenant, str) else "",
        str(getattr(dag_run.run_type, "value", dag_run.run_type)),
        reason,
        int(dag_run.clear_number or 0),
        dag_run.queued_at,
        dag_run.start_date,
        dag_run.end_date if event != RUN_STARTED else None,
        None if reason in _REASONS else now(),
        _window(conf),
    )


def _window(conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a conf says about the part of the data that is read, as the run's params or as a hotglue job."""
    return {
        "full_sync": conf.get("full_sync") is True or conf.get("reset_source_state") is True,
        **{name: conf.get(f"override_{name}") or conf.get(name) for name in ("start_date", "end_date")},
        **{name: conf.get(name) for name in ("connector_id", "job_name", "job_type")},
    }


def _text(moment: datetime | None) -> str | None:
    return timestamp(moment) if moment is not None else None


def _short(value: Any) -> str | None:
    return value[:100] if isinstance(value, str) else None
