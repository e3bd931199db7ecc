"""What a task asks of Airflow about runs of a DAG, and how it starts one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError

from flowmate_airflow.operators.tenancy import ERROR
from flowmate_airflow.triggers.runs import ACTIVE, GROUP

FAILED = ("failed", "upstream_failed")


class Runs:
    """The runs of one DAG.

    :param dag_id: the DAG
    :param task_instance: of the task that asks, whose process talks to Airflow
    """

    def __init__(self, dag_id: str, task_instance: Any) -> None:
        self._dag_id = dag_id
        self._task = task_instance

    def is_over(self, run_id: str) -> bool:
        """Whether a run has ended, or is gone."""
        return self._count([run_id], ACTIVE) == 0

    def active(self, run_ids: Iterable[str]) -> set[str]:
        """Return those of some runs that are not over."""
        return self._having(run_ids, ACTIVE)

    def failed(self, run_ids: Iterable[str]) -> set[str]:
        """Return those of some runs that have failed."""
        return self._having(run_ids, ("failed",))

    def succeeded(self, run_ids: Iterable[str]) -> set[str]:
        """Return those of some runs that have succeeded."""
        return self._having(run_ids, ("success",))

    def task_states(self, run_ids: Iterable[str], tasks: Collection[str] | None = None) -> dict[str, dict[str, str]]:
        """Return the states of the tasks of some runs, by run and task.

        :param tasks: only these
        """
        found: dict[str, dict[str, str]] = {}
        for group in _groups(run_ids):
            names = None if tasks is None else list(tasks)
            answer = self._task.get_task_states(dag_id=self._dag_id, run_ids=group, task_ids=names)
            for run_id, states in answer.items():
                found[run_id] = {task: str(getattr(state, "value", state)) for task, state in states.items()}
        return found

    def error(self, run_id: str, states: Mapping[str, str]) -> str:
        """Return why a run has failed: what its first task that failed has left, else which tasks these are.

        :param states: of its tasks
        """
        failed = sorted(task for task, state in states.items() if state == "failed")
        for task in failed:
            word = self._task.xcom_pull(task_ids=task, dag_id=self._dag_id, run_id=run_id, key=ERROR)
            if isinstance(word, str) and word:
                return word
        names = ", ".join(f"`{task}`" for task in failed[:10])
        return f"{names} failed" if names else "the run failed"

    def start(self, run_id: str, conf: dict[str, Any]) -> str | None:
        """Start a run, unless there is one of that id, and return why Airflow refuses to; None: it does not.

        :raises AirflowException: Airflow does not answer as it should
        """
        from airflow.sdk.execution_time.comms import TriggerDagRun
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        try:
            # One that is there already is what an earlier try has started.
            SUPERVISOR_COMMS.send(TriggerDagRun(dag_id=self._dag_id, run_id=run_id, conf=conf))
        except AirflowRuntimeError as error:
            reason = _refusal(error.error.detail)
            if reason is None:
                raise AirflowException(f"Airflow starts no run of {self._dag_id}: {error}") from None
            return reason
        return None

    def _having(self, run_ids: Iterable[str], states: Sequence[str]) -> set[str]:
        """Return the runs with one of some states: by counts, which are all that Airflow tells of many at once."""
        found: set[str] = set()
        for group in _groups(run_ids):
            waiting = [group]
            while waiting:
                some = waiting.pop()
                count = self._count(some, states)
                if count == len(some):
                    found.update(some)
                elif count:
                    half = len(some) // 2
                    waiting += [some[:half], some[half:]]
        return found

    def _count(self, run_ids: list[str], states: Sequence[str]) -> int:
        count: int = self._task.get_dr_count(dag_id=self._dag_id, run_ids=run_ids, states=list(states))
        return count


def _groups(run_ids: Iterable[str]) -> Iterator[list[str]]:
    listed = list(run_ids)
    for start in range(0, len(listed), GROUP):
        yield listed[start : start + GROUP]


def _refusal(detail: Any) -> str | None:
    """Return why Airflow refuses a run, None where it is another trouble that may pass."""
    if not isinstance(detail, Mapping):
        return None
    status = detail.get("status_code")
    if not isinstance(status, int) or not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return None
    inner = detail.get("detail")
    while isinstance(inner, Mapping) and ("detail" in inner or "message" in inner):
        inner = inner.get("detail", inner.get("message"))
    return f"Airflow refuses a run ({status}): {inner!s:.300}"
