"""The operator that makes a step's held state its state, when all that got its messages have succeeded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from flowmate_airflow.operators.step import tenant_of
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.states import Place, commit_state
from flowmate_airflow.store.store import open_store

SUFFIX = ".state"
"""What follows a step's id in the id of this task."""


class CommitStateOperator(BaseOperator):
    """Keep the state that a step has asked to keep. It runs when no step after that one has failed.

    :param step: the step's id
    """

    template_fields: Sequence[str] = ()
    ui_color = "#f0f0f0"

    def __init__(self, *, step: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.step = step

    def execute(self, context: Any) -> None:
        """Commit the state; nothing to do when the step asked for none."""
        task_instance = context["ti"]
        place = Place(task_instance.dag_id, self.step, tenant_of(context))
        try:
            kept = commit_state(open_store(), place, task_instance.run_id)
        except StoreError as error:
            raise (AirflowException if error.transient else AirflowFailException)(str(error)) from None
        self.log.info("The state of %s is %s", self.step, "kept" if kept else "as it was")
