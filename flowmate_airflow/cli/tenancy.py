"""A local run for a tenant: with the Connections that they have linked, as Airflow's runs have them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from flowmate_airflow.auth.names import check_tenant
from flowmate_airflow.build.graph import FlowGraph, Node
from flowmate_airflow.cli.errors import CommandError, UsageError
from flowmate_airflow.flows.fieldmaps import FieldMap
from flowmate_airflow.flows.models import UseStep
from flowmate_airflow.steps.errors import StepError
from flowmate_airflow.steps.links import link_of
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.store import open_store


@dataclass(frozen=True, slots=True)
class ForTenant:
    """A flow as it runs for one tenant.

    :param graph: steps that are linked have the tenant's Connection
    :param field_maps: which tables and fields are read for the tenant, by step
    """

    graph: FlowGraph
    field_maps: Mapping[str, FieldMap] = field(default_factory=dict)


def for_tenant(graph: FlowGraph, tenant: str | None, only: Collection[str] | None = None) -> ForTenant:
    """Return a flow as it runs for a tenant.

    :param only: the steps that will run; None: all
    :raises UsageError: the flow runs for tenants and none is given, or the other way round
    :raises CommandError: the tenant has not linked a connector, or nobody knows
    """
    if graph.flow.tenants is None:
        if tenant is not None:
            raise UsageError("--tenant: the flow has no `tenants`")
        return ForTenant(graph)
    linked = [node for node in graph.nodes if node.is_linked and (only is None or node.id in only)]
    if tenant is None:
        if linked:
            names = ", ".join(sorted({node.connector.name for node in linked if node.connector is not None}))
            raise UsageError(f"the flow runs for tenants, with their links to {names}: say for whom with --tenant")
        return ForTenant(graph)
    try:
        check_tenant(tenant)
    except ValueError as error:
        raise UsageError(f"--tenant: {error}") from None
    try:
        return _linked(graph, tenant, linked)
    except (StepError, StoreError) as error:
        raise CommandError(str(error)) from None


def _linked(graph: FlowGraph, tenant: str, nodes: Collection[Node]) -> ForTenant:
    links = {
        node.id: link_of(open_store(), tenant, node.connector.name, node.id)
        for node in nodes
        if node.connector is not None
    }
    changed = tuple(
        replace(node, step=node.step.model_copy(update={"connection": links[node.id].conn_id}))
        if node.id in links and isinstance(node.step, UseStep)
        else node
        for node in graph.nodes
    )
    maps = {
        node.id: field_map
        for node in nodes
        if (field_map := links[node.id].field_map) is not None and _has_tables(node)
    }
    return ForTenant(replace(graph, nodes=changed), maps)


def _has_tables(node: Node) -> bool:
    """Whether a choice of tables means something to a step, as :class:`ConnectorOperator` sees it."""
    step, manifest = node.step, node.connector
    if not isinstance(step, UseStep) or manifest is None or step.function in manifest.actions:
        return False
    return manifest.protocol != "component" or step.select is not None
