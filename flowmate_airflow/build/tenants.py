"""The DAG that starts the runs of a flow with tenants: one for each of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from flowmate_airflow.auth.firstruns import first_run_tag
from flowmate_airflow.build.dag import flow_dag
from flowmate_airflow.build.graph import FlowGraph
from flowmate_airflow.build.webhooks import schedule_of
from flowmate_airflow.flows.tenantmodels import DISPATCHER
from flowmate_airflow.operators.tenants import RunTenantsOperator

if TYPE_CHECKING:
    from airflow.sdk import DAG

EVERY_MINUTE = "* * * * *"
MAX_RUNS = 16
"""How many of its runs may wait for their tenants' runs at once."""


def dispatcher_id(flow_id: str) -> str:
    """Return the id of the DAG that starts a flow's runs."""
    return f"{flow_id}{DISPATCHER}"


def dispatcher_dag(graph: FlowGraph) -> DAG | None:
    """Return the DAG that starts a flow's runs; None for a flow without tenants."""
    flow, tenancy = graph.flow, graph.flow.tenancy
    if tenancy is None:
        return None
    own = tenancy.schedules == "own"
    dag = flow_dag(
        graph,
        dag_id=dispatcher_id(graph.flow_id),
        dag_display_name=f"{flow.title or graph.flow_id}: tenants",
        schedule=EVERY_MINUTE if own else schedule_of(graph),
        catchup=flow.catchup,
        max_active_runs=MAX_RUNS,
        # It does nothing while the flow is paused: one switch is enough.
        is_paused_upon_creation=False,
    )
    if tenancy.on_link is not None:
        dag.tags |= {first_run_tag(connector) for connector in graph.linked()}
    RunTenantsOperator(
        task_id="run",
        dag=dag,
        flow=graph.flow_id,
        connectors=graph.linked(),
        who=tenancy.who if isinstance(tenancy.who, list) else None,
        active=tenancy.active,
        own_schedules=own,
        schedule=flow.schedule,
        zone=flow.timezone,
        webhook=graph.webhook.name if graph.webhook is not None else None,
        debounce=graph.webhook.debounce if graph.webhook is not None else 0,
        retries=3,
        retry_delay=timedelta(seconds=30),
    )
    return dag
