"""The operator that sends outgoing webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseHook, BaseOperator
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret

from flowmate_airflow.auth.credentials import account_of, secrets_of
from flowmate_airflow.operators.step import airflow_failures
from flowmate_airflow.outgoing.sender import Sender
from flowmate_airflow.outgoing.targets import Target, TargetError, missing_target, target_names, target_of
from flowmate_airflow.store.store import open_store


class SendOutgoingOperator(BaseOperator):
    """Send all notices that are due to the targets that `[flowmate] outgoing` names."""

    template_fields: Sequence[str] = ()
    ui_color = "#f0f0f0"

    def execute(self, context: Any) -> dict[str, int]:
        """Send them; return how many were sent, are tried again and have failed for good."""
        # Connections are asked for here: a thread must not talk to the task's supervisor.
        targets = {conn_id: _target(conn_id) for conn_id in target_names()}
        with airflow_failures(None):
            tally = Sender(open_store(), targets).send_due()
        self.log.info("%d sent, %d are tried again, %d have failed", tally.sent, tally.again, tally.failed)
        return {"sent": tally.sent, "again": tally.again, "failed": tally.failed}


def _target(conn_id: str) -> Target | TargetError:
    try:
        account = account_of(BaseHook.get_connection(conn_id))
    except AirflowNotFoundException:
        return missing_target(conn_id)
    for secret in secrets_of(account, rare=False):
        mask_secret(secret)
    try:
        return target_of(account)
    except TargetError as error:
        return error
