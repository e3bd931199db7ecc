"""What a webhook is in a DAG: its schedule, its first task, the tasks that wait for an event, and the answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, BaseOperator

from flowmate_airflow.build.graph import FlowGraph, Node
from flowmate_airflow.flows.models import WaitStep
from flowmate_airflow.flows.schedules import parse_schedule
from flowmate_airflow.flows.webhookmodels import WEBHOOK
from flowmate_airflow.operators.reply import REPLY, ReplyOperator
from flowmate_airflow.sensors.webhook import WebhookSensor
from flowmate_airflow.triggers.webhook import webhook_asset

LEAST_RETRIES = 3
DELAY = timedelta(seconds=10)


def schedule_of(graph: FlowGraph) -> str | timedelta | list[Asset] | None:
    """Return what starts a flow: time, or the events of its webhook."""
    options = graph.flow.webhook
    if graph.webhook is None or options is None:
        return parse_schedule(graph.flow.schedule)
    return [webhook_asset(graph.webhook, attempts=options.attempts)]


def add_sensor(graph: FlowGraph, dag: DAG) -> dict[str, BaseOperator]:
    """Add the first task of a flow that a webhook starts, and return it by its id; nothing for other flows."""
    options = graph.flow.webhook
    if graph.webhook is None or options is None:
        return {}
    sensor = WebhookSensor(
        task_id=WEBHOOK,
        dag=dag,
        webhook=graph.webhook,
        starts_run=True,
        batch=1 if options.reply is not None else options.batch,
        ordered=options.order_by is not None,
        retries=5,
        retry_delay=timedelta(seconds=10),
    )
    return {WEBHOOK: sensor}


def wait_task(step: WaitStep, node: Node, common: dict[str, Any]) -> BaseOperator:
    """Return the task of a step that waits.

    :param common: what the tasks of all kinds of steps get
    """
    if node.endpoint is None:
        raise TypeError(f"`{node.id}` has no endpoint")  # the graph has seen to that
    # It would count the time until the event comes.
    options = {name: value for name, value in common.items() if name != "execution_timeout"}
    # Airflow may let it fail for nothing when it is woken soon after it was deferred, see `triggers.looking.rest`.
    # Another try costs nothing: it has the same events, and one that nobody has called in time is not tried again.
    options |= {"retries": max(LEAST_RETRIES, options["retries"]), "retry_delay": min(DELAY, options["retry_delay"])}
    return WebhookSensor(webhook=node.endpoint, match=step.wait.match, timeout=step.wait.timeout, **options)


def add_reply(graph: FlowGraph, dag: DAG, lasts: dict[str, BaseOperator]) -> None:
    """Add the task that answers the caller with what a step made."""
    reply = graph.flow.webhook.reply if graph.flow.webhook is not None else None
    if reply is None or reply.step is None:
        return
    node = graph.node(reply.step)
    task = ReplyOperator(
        task_id=f"{reply.step}{REPLY}",
        dag=dag,
        task_display_name=f"{node.step.title or node.id}: reply",
        webhook=WEBHOOK,
        inputs=[reply.step],
        retries=2,
        retry_delay=timedelta(seconds=1),
    )
    lasts[reply.step].set_downstream(task)
