"""The small DAGs of FlowMate's own, which are there when what they do is asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flowmate_airflow.settings import setting

if TYPE_CHECKING:
    from airflow.sdk import DAG

log = logging.getLogger(__name__)

OUTGOING = "flowmate_outgoing"
"""The DAG that sends outgoing webhooks."""
SUBSCRIPTIONS = "flowmate_subscriptions"
"""The DAG that registers flows' addresses with other systems, and takes them back."""
CONF_FLOW = "flow"
"""The key of a run's conf with the one flow that a run of it is for."""
CONF_FORCE = "force"
"""The key of a run's conf that lets it try at once what would wait for its next try."""
IDS = (OUTGOING, SUBSCRIPTIONS)
"""What no flow may be called."""
FIRST_DAY = datetime(2024, 1, 1, tzinfo=timezone.utc)
"""Fixed, because a DAG must be the same at every parse."""


def system_dags(wanted: str | None, folder: Path, *, subscribes: bool = False) -> dict[str, DAG]:
    """Return FlowMate's own DAGs by their ids.

    :param wanted: only this one, because one of its tasks starts; None: all that there are
    :param folder: the flows' folder
    :param subscribes: whether an address of a flow is to be registered with another system
    """
    makers: dict[str, Callable[[], DAG]] = {}
    if setting("outgoing").strip():
        makers[OUTGOING] = _outgoing
    if wanted == SUBSCRIPTIONS or subscribes or (wanted is None and _has_subscriptions()):
        makers[SUBSCRIPTIONS] = partial(_subscriptions, folder)
    return {dag_id: make() for dag_id, make in makers.items() if wanted in (None, dag_id)}


def _has_subscriptions() -> bool:
    """Whether there is something to take back, or was not long ago, although no flow subscribes any more."""
    from flowmate_airflow.store.errors import StoreError
    from flowmate_airflow.store.store import open_store
    from flowmate_airflow.store.subscriptions import are_watched
    from flowmate_airflow.store.urls import configured_url, is_made

    try:
        return is_made(configured_url()) and are_watched(open_store())
    except StoreError as error:
        log.debug("nobody knows whether there are subscriptions: %s", error)
        return False


def _subscriptions(folder: Path) -> DAG:
    from airflow.sdk import DAG

    from flowmate_airflow.flows.schedules import parse_schedule
    from flowmate_airflow.operators.subscriptions import SyncSubscriptionsOperator

    dag = DAG(
        SUBSCRIPTIONS,
        description="Registers the addresses of flows with other systems, renews them and takes them back.",
        schedule=parse_schedule("*/5 * * * *"),
        start_date=FIRST_DAY,
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        tags={"flowmate"},
    )
    SyncSubscriptionsOperator(task_id="sync", folder=folder, dag=dag, retries=0, execution_timeout=timedelta(hours=1))
    return dag


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
