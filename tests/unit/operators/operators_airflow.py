"""An Airflow that knows runs of one DAG, and starts them when it is asked to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun

NOON = datetime(2026, 11, 27, 12, tzinfo=timezone.utc)


class PlayedAirflow:
    """Its runs by id, with their states; those it starts are running."""

    def __init__(self) -> None:
        self.runs: dict[str, str] = {}
        self.confs: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, dict[str, str]] = {}
        self.words: dict[tuple[str, str], str] = {}
        self.refused: dict[str, ErrorResponse] = {}
        self.pushed: dict[str, Any] = {}
        self.is_paused = False
        self.asked = 0

    def send(self, message: Any) -> Any:
        assert isinstance(message, TriggerDagRun)
        assert message.conf is not None
        tenant = message.conf["tenant"]
        if tenant in self.refused:
            raise AirflowRuntimeError(self.refused[tenant])
        if message.run_id in self.runs:
            return ErrorResponse(error=ErrorType.DAGRUN_ALREADY_EXISTS)
        self.runs[message.run_id] = "running"
        self.confs[message.run_id] = dict(message.conf)
        return None

    def end(self, run_id: str, state: str = "success", **tasks: str) -> None:
        """Let a run end."""
        self.runs[run_id] = state
        self.tasks[run_id] = tasks

    def context(
        self,
        dag_id: str,
        run_id: str = "r1",
        conf: Any = None,
        *,
        task_id: str = "tenant",
        run_type: str = "scheduled",
        moment: datetime = NOON,
        **more: Any,
    ) -> dict[str, Any]:
        """Return what a task sees of its run."""
        task_instance = SimpleNamespace(
            dag_id=dag_id,
            run_id=run_id,
            task_id=task_id,
            map_index=-1,
            try_number=1,
            get_dag=lambda _: SimpleNamespace(is_paused=self.is_paused),
            get_dr_count=self._count,
            get_task_states=self._states,
            xcom_pull=lambda task_ids, dag_id, run_id, key: self.words.get((run_id, task_ids)),
            xcom_push=lambda key, value: self.pushed.update({key: value}),
        )
        run = SimpleNamespace(
            conf=conf,
            logical_date=moment,
            run_after=moment,
            data_interval_start=moment,
            data_interval_end=moment,
            run_type=run_type,
        )
        return {"ti": task_instance, "dag_run": run, "run_id": run_id, "logical_date": None, **more}

    def _count(self, dag_id: str, run_ids: Sequence[str], states: Sequence[str]) -> int:
        assert run_ids
        self.asked += 1
        return sum(self.runs.get(run_id) in states for run_id in run_ids)

    def _states(self, dag_id: str, run_ids: Sequence[str], task_ids: Sequence[str] | None) -> dict[str, dict[str, str]]:
        assert run_ids
        found = {run_id: self.tasks[run_id] for run_id in run_ids if run_id in self.tasks}
        return {
            run_id: {task: state for task, state in tasks.items() if task_ids is None or task in task_ids}
            for run_id, tasks in found.items()
        }


def refusal(status: int | None, **detail: Any) -> ErrorResponse:
    """Return how the supervisor tells that Airflow has refused something."""
    return ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": status, "detail": detail})
