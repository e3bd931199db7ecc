"""The operator that keeps what a step remembers, when all that got its messages have succeeded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator

from flowmate_airflow.operators.replay import replay_of, tenant_of
from flowmate_airflow.operators.step import airflow_failures
from flowmate_airflow.store.states import Place, commit_state
from flowmate_airflow.store.store import open_store

SUFFIX = ".state"
"""What follows a step's id in the id of the task that commits its state."""
LETTERS = ".letters"
"""What follows a step's id in the id of the task that has only its dead letters to settle."""


class CommitStateOperator(BaseOperator):
    """Keep the state that a step has asked to keep, and remove dead letters that a replay has brought through.

    It runs when no step after that one has failed.

    :param step: the id of the step with the state, if there is one
    :param letters: the ids of steps whose dead letters, when this run replays them, are done now
    """

    template_fields: Sequence[str] = ()
    ui_color = "#f0f0f0"

    def __init__(self, *, step: str | None = None, letters: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.step = step
        self.letters = list(letters)

    def execute(self, context: Any) -> None:
        """Commit the state and the replay; nothing to do when there is neither."""
        replay = replay_of(context)
        with airflow_failures(None):
            if replay is not None and replay.step in self.letters:
                done = replay.settle(context)
                self.log.info("%s dead letters of %s are done", f"{done:,}", replay.step)
            if self.step is not None:
                self._commit(context, self.step)

    def _commit(self, context: Any, step: str) -> None:
        task_instance = context["ti"]
        place = Place(task_instance.dag_id, step, tenant_of(context))
        kept = commit_state(open_store(), place, task_instance.run_id)
        self.log.info("The state of %s is %s", step, "kept" if kept else "as it was")
