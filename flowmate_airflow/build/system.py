"""The small DAGs of FlowMate's own, which are there when what they do is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from flowmate_airflow.settings import setting

if TYPE_CHECKING:
    from airflow.sdk import DAG

OUTGOING = "flowmate_outgoing"
"""The DAG that sends outgoing webhooks."""
FIRST_DAY = datetime(2024, 1, 1, tzinfo=timezone.utc)
"""Fixed, because a DAG must be the same at every parse."""


def system_dags(wanted: str | None) -> dict[str, DAG]:
    """Return FlowMate's own DAGs by their ids.

    :param wanted: only this one, because one of its tasks starts; None: all that there are
    """
    makers: Mapping[str, Callable[[], DAG]] = {OUTGOING: _outgoing} if setting("outgoing").strip() else {}
    return {dag_id: make() for dag_id, make in makers.items() if wanted in (None, dag_id)}


def _outgoing() -> DAG:
    from airflow.sdk import DAG

    from flowmate_airflow.operators.outgoing import SendOutgoingOperator
    from flowmate_airflow.triggers.outgoing import outgoing_asset

    dag = DAG(
        OUTGOING,
        description="Sends outgoing webhooks when some are due.",
        schedule=[outgoing_asset()],
        start_date=FIRST_DAY,
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        tags={"flowmate"},
    )
    SendOutgoingOperator(task_id="send", dag=dag, retries=0, execution_timeout=timedelta(minutes=15))
    return dag
