"""The graph becomes a DAG."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import DAG, BaseOperator, Param, TaskGroup
from airflow.task.trigger_rule import TriggerRule

from flowmate_airflow.build.graph import FlowGraph, Node
from flowmate_airflow.build.webhooks import add_reply, add_sensor, schedule_of, wait_task
from flowmate_airflow.flows.models import MapStep, UseStep, WaitStep
from flowmate_airflow.flows.tenantmodels import GATE, TenantOptions
from flowmate_airflow.operators.connector import ConnectorOperator
from flowmate_airflow.operators.map import MapOperator
from flowmate_airflow.operators.pair import PairOperator
from flowmate_airflow.operators.replay import SPLIT
from flowmate_airflow.operators.split import SplitOperator
from flowmate_airflow.operators.state import LETTERS, SUFFIX, CommitStateOperator
from flowmate_airflow.operators.tenants import TenantOperator
from flowmate_airflow.protocols.streams import Load

FIRST_DAY = date(2024, 1, 1)
"""The start_date of flows that name none: fixed, because a DAG must be the same at every parse."""


SYNC_PARAMS: dict[str, dict[str, Any]] = {
    "full_sync": {
        "type": "boolean",
        "default": False,
        "description": "Read everything from the beginning, as if there were no state.",
    },
    "start_date": {
        "type": ["string", "null"],
        "default": None,
        "description": "Read changes since then, out of turn: the state is neither used nor changed.",
    },
    "end_date": {
        "type": ["string", "null"],
        "default": None,
        "description": "Read changes until then, out of turn: the state is neither used nor changed.",
    },
}
"""Params that every flow with a step with state has, beside its own."""


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
    flow, tenancy = graph.flow, graph.flow.tenancy
    dag = flow_dag(
        graph,
        dag_id=graph.flow_id,
        dag_display_name=flow.title or graph.flow_id,
        # The runs of tenants are started by a DAG of their own.
        schedule=schedule_of(graph) if tenancy is None else None,
        catchup=flow.catchup and tenancy is None,
        max_active_runs=flow.max_active_runs if tenancy is None else tenancy.at_once,
        dagrun_timeout=flow.timeout,
    )
    _add_tasks(graph, dag)
    if tenancy is not None:
        _add_gate(graph, tenancy, dag)
    return dag


def flow_dag(graph: FlowGraph, **options: Any) -> FlowDAG:
    """Return a DAG without tasks that is of a flow's file.

    :param options: of the DAG, beside those that all of a flow's have
    """
    flow, zone = graph.flow, ZoneInfo(graph.flow.timezone)
    dag = FlowDAG(
        description=flow.description,
        start_date=_midnight(flow.start_date or FIRST_DAY, zone),
        end_date=_midnight(flow.end_date, zone) if flow.end_date else None,
        default_args={"owner": flow.owner},
        tags=set(flow.tags),
        params=_params(graph),
        doc_md=_documentation(graph),
        **options,
    )
    dag.__dict__["flow_file"] = str(graph.loaded.path)
    return dag


def _add_gate(graph: FlowGraph, tenancy: TenantOptions, dag: DAG) -> None:
    """Let a task come first that looks whose run it is, and whether it is that tenant's turn."""
    firsts = [task for task in dag.tasks if not task.upstream_task_ids]
    gate = TenantOperator(
        task_id=GATE,
        dag=dag,
        connectors=graph.linked(),
        who=tenancy.who if isinstance(tenancy.who, list) else None,
        active=tenancy.active,
        retries=3,
        retry_delay=timedelta(seconds=10),
    )
    for task in firsts:
        gate.set_downstream(task)


def _add_tasks(graph: FlowGraph, dag: DAG) -> None:
    groups: dict[str, TaskGroup] = {}
    firsts: dict[str, BaseOperator] = {}
    lasts: dict[str, BaseOperator] = add_sensor(graph, dag)
    streamed = graph.streamed_into()
    for node in graph.nodes:
        name = node.step.group
        if name is not None and name not in groups:
            groups[name] = TaskGroup(name, prefix_group_id=False, dag=dag)
        if node.id not in streamed:
            first = graph.node(node.needs[0]) if node.needs and streamed.get(node.needs[0]) == node.id else None
            firsts[node.id], lasts[node.id] = _tasks(node, dag, groups.get(name) if name else None, first)
    for pair_first, second in streamed.items():
        lasts[pair_first] = lasts[second]
    for node in graph.nodes:
        if node.id in streamed:
            continue
        needs = graph.node(node.needs[0]).needs if node.needs and node.needs[0] in streamed else node.needs
        for need in needs:
            lasts[need].set_downstream(firsts[node.id])
    _add_commits(graph, dag, lasts)
    add_reply(graph, dag, lasts)


def _add_commits(graph: FlowGraph, dag: DAG, lasts: dict[str, BaseOperator]) -> None:
    """Add the tasks that keep what a step remembers when all that got its messages have succeeded."""
    letters = [node.id for node in graph.with_letters()]
    covered: set[str] = set()
    for node in graph.stateful():
        after = graph.after(node.id)
        covered |= after
        _add_commit(
            graph, dag, lasts, node, "keep state", step=node.id, letters=[each for each in letters if each in after]
        )
    for node in graph.with_letters():
        if node.id not in covered:
            _add_commit(graph, dag, lasts, node, "settle replay", letters=[node.id])


def _add_commit(
    graph: FlowGraph, dag: DAG, lasts: dict[str, BaseOperator], node: Node, title: str, **options: Any
) -> None:
    task = CommitStateOperator(
        task_id=f"{node.id}{SUFFIX if 'step' in options else LETTERS}",
        dag=dag,
        task_display_name=f"{node.step.title or node.id}: {title}",
        retries=3,
        # A step that had nothing to do is skipped, which is no reason to read the same again.
        trigger_rule=TriggerRule.NONE_FAILED,
        **options,
    )
    for end in graph.ends_after(node.id):
        lasts[end].set_downstream(task)


def _tasks(node: Node, dag: DAG, group: TaskGroup | None, first: Node | None) -> tuple[BaseOperator, BaseOperator]:
    """Return the first and the last task of a step: one and the same, but of a step that is cut into batches.

    :param first: the step that is streamed into this one
    """
    step, common = node.step, _common(node, dag, group)
    if isinstance(step, MapStep):
        task = MapOperator(expression=step.map, **common)
        return task, task
    if isinstance(step, WaitStep):
        wait = wait_task(step, node, common)
        return wait, wait
    if first is not None:
        common["inputs"] = list(first.needs)
        common["trigger_rule"] = _trigger_rule(first)
        pair = PairOperator(first=_first_of_pair(first), **_connector(step, node), **common)
        return pair, pair
    if step.batch is None:
        connector = ConnectorOperator(**_connector(step, node), **common)
        return connector, connector
    split = SplitOperator(
        task_id=f"{step.id}{SPLIT}",
        dag=dag,
        task_group=group,
        task_display_name=f"{step.title or step.id}: batches",
        trigger_rule=common.pop("trigger_rule"),
        inputs=common.pop("inputs"),
        when=common.pop("when"),
        size=step.batch.size,
    )
    common["max_active_tis_per_dagrun"] = step.batch.parallel
    # What a mapped task is called and shown as is the same for all of them.
    mapped: BaseOperator = ConnectorOperator.partial(**_connector(step, node), **common).expand(part=split.output)  # type: ignore[assignment]
    return split, mapped


def _common(node: Node, dag: DAG | None, group: TaskGroup | None) -> dict[str, Any]:
    step, options = node.step, node.options
    common: dict[str, Any] = {
        "task_id": step.id,
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
        "trigger_rule": _trigger_rule(node),
        "inputs": list(node.needs),
        "when": step.when,
        "source": node.text,
    }
    if dag is not None:
        common |= {"dag": dag, "task_group": group}
    if options["pool"] is not None:
        common["pool"] = options["pool"]
    return common


def _trigger_rule(node: Node) -> TriggerRule:
    # A step with several needs runs when one of them was skipped: it had nothing to say.
    return TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS if node.needs else TriggerRule.ALL_SUCCESS


def _connector(step: UseStep, node: Node) -> dict[str, Any]:
    return {
        "use": step.use,
        "manifest": node.connector,
        "config": step.with_,
        "connection": step.connection,
        "linked": node.is_linked,
        "on_error": step.on_error,
        "select": step.select,
        "sync": step.sync.mode,
        "cursors": step.sync.cursors,
        "load": Load(step.load.mode, step.load.table, tuple(step.load.key)),
        "external_id": step.external_id,
        # Only a step that says `dead_letter` has a commit; one that said so once may have letters all the same.
        "settles_letters": not (node.hands_on and step.on_error == "dead_letter"),
    }


def _first_of_pair(node: Node) -> ConnectorOperator:
    """Return the operator of a step that is streamed into the next one, which runs it: it belongs to no DAG."""
    if not isinstance(node.step, UseStep):
        raise TypeError(f"`{node.id}` cannot be streamed")  # the checks have seen to that
    return ConnectorOperator(**_connector(node.step, node), **_common(node, None, None))


def _params(graph: FlowGraph) -> dict[str, Param]:
    """Return the run's params: the flow's own, and those by which a run of a flow with state can read otherwise."""
    params = {name: _param(schema) for name, schema in graph.flow.params.items()}
    if graph.stateful():
        for name, schema in SYNC_PARAMS.items():
            params.setdefault(name, _param(schema))
    return params


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
