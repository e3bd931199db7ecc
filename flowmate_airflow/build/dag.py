"""The graph becomes a DAG."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import DAG, BaseOperator, Param, TaskGroup
from airflow.task.trigger_rule import TriggerRule

from flowmate_airflow.build.graph import FlowGraph, Node
from flowmate_airflow.flows.models import MapStep
from flowmate_airflow.flows.schedules import parse_schedule
from flowmate_airflow.operators.connector import ConnectorOperator
from flowmate_airflow.operators.map import MapOperator

FIRST_DAY = date(2024, 1, 1)
"""The start_date of flows that name none: fixed, because a DAG must be the same at every parse."""


class FlowDAG(DAG):
    """The DAG of a flow: `fileloc`, shown as its code, is the YAML; `relative_fileloc`, which is run, the loader."""

    @property
    def fileloc(self) -> str:
        """The YAML file, once Airflow's importer has worked out `relative_fileloc` from the loader's path."""
        return str(self.__dict__["loader" if self.relative_fileloc is None else "flow_file"])

    @fileloc.setter
    def fileloc(self, value: str) -> None:
        self.__dict__["loader"] = value


def build_dag(graph: FlowGraph) -> DAG:
    """Return the DAG of a flow."""
    flow = graph.flow
    zone = ZoneInfo(flow.timezone)
    dag = FlowDAG(
        dag_id=graph.flow_id,
        dag_display_name=flow.title or graph.flow_id,
        description=flow.description,
        schedule=parse_schedule(flow.schedule),
        start_date=_midnight(flow.start_date or FIRST_DAY, zone),
        end_date=_midnight(flow.end_date, zone) if flow.end_date else None,
        catchup=flow.catchup,
        max_active_runs=flow.max_active_runs,
        dagrun_timeout=flow.timeout,
        default_args={"owner": flow.owner},
        tags=set(flow.tags),
        params={name: _param(schema) for name, schema in flow.params.items()},
        doc_md=_documentation(graph),
    )
    dag.__dict__["flow_file"] = str(graph.loaded.path)
    groups: dict[str, TaskGroup] = {}
    tasks: dict[str, BaseOperator] = {}
    for node in graph.nodes:
        name = node.step.group
        if name is not None and name not in groups:
            groups[name] = TaskGroup(name, prefix_group_id=False, dag=dag)
        tasks[node.id] = _task(node, dag, groups.get(name) if name else None)
    for node in graph.nodes:
        for need in node.needs:
            tasks[need].set_downstream(tasks[node.id])
    return dag


def _task(node: Node, dag: DAG, group: TaskGroup | None) -> BaseOperator:
    step, options = node.step, node.options
    common: dict[str, Any] = {
        "task_id": step.id,
        "dag": dag,
        "task_group": group,
        "task_display_name": step.title or step.id,
        "doc_md": step.description,
        "doc_yaml": node.text,
        "retries": options["retries"],
        "retry_delay": options["retry_delay"],
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": options["max_retry_delay"],
        "execution_timeout": options["timeout"],
        "pool_slots": options["pool_slots"],
        "priority_weight": options["priority"],
        # A step with several needs runs when one of them was skipped: it had nothing to say.
        "trigger_rule": TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS if node.needs else TriggerRule.ALL_SUCCESS,
        "inputs": list(node.needs),
        "when": step.when,
        "source": node.text,
    }
    if options["pool"] is not None:
        common["pool"] = options["pool"]
    if isinstance(step, MapStep):
        return MapOperator(expression=step.map, **common)
    return ConnectorOperator(
        use=step.use,
        manifest=node.connector,
        config=step.with_,
        connection=step.connection,
        on_error=step.on_error,
        **common,
    )


def _param(schema: dict[str, Any]) -> Param:
    rest = {key: value for key, value in schema.items() if key not in ("default", "description")}
    if "default" in schema:
        return Param(schema["default"], description=schema.get("description"), **rest)
    return Param(description=schema.get("description"), **rest)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def _documentation(graph: FlowGraph) -> str:
    fence = "```"
    while fence in graph.loaded.text:
        fence += "`"
    intro = f"{graph.flow.description}\n\n" if graph.flow.description else ""
    return f"{intro}{fence}yaml\n{graph.loaded.text.rstrip()}\n{fence}\n"
