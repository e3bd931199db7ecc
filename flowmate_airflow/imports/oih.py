"""A flow of the Open Integration Hub (FlowMate, elastic.io) as a flow file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.flows.models import MAX_STEPS
from flowmate_airflow.flows.webhookmodels import WEBHOOK
from flowmate_airflow.flows.yamltext import MAX_BYTES
from flowmate_airflow.imports import names
from flowmate_airflow.imports.gateway import is_gateway
from flowmate_airflow.imports.ledger import Ledger
from flowmate_airflow.imports.oih_gateways import Gateways
from flowmate_airflow.imports.oih_graph import Way, in_order
from flowmate_airflow.imports.oih_head import head, own_id
from flowmate_airflow.imports.oih_models import OihGraph, read_graph
from flowmate_airflow.imports.oih_nodes import convert_node, take_node
from flowmate_airflow.imports.oih_start import NO_MESSAGES, Start, start
from flowmate_airflow.imports.report import Finding, ImportProblem, printable
from flowmate_airflow.imports.source import SourceFlow
from flowmate_airflow.imports.transforms import identity
from flowmate_airflow.imports.yamlout import flow_text

MAX_COMMENTS = MAX_BYTES // 4


@dataclass(slots=True)
class ImportedFlow:
    """A flow that was imported.

    :param text: the flow file
    :param nodes: the ids of the steps that each node became
    :param findings: what the file does not say by itself
    """

    id: str
    text: str
    steps: int
    nodes: dict[str, list[str]]
    findings: list[Finding]

    @property
    def todos(self) -> list[Finding]:
        """What has to be done by hand."""
        return [finding for finding in self.findings if finding.level == "todo"]


@dataclass(frozen=True, slots=True)
class _Order:
    """The graph in the order in which its steps are made.

    :param index: where each node stands in the source
    :param nodes: the nodes that become steps
    :param ways: how messages come to each of them
    :param roots: the nodes that no edge leads to
    """

    index: Mapping[str, int]
    nodes: Sequence[str]
    ways: Mapping[str, list[Way]]
    roots: Sequence[str]

    @property
    def first(self) -> str:
        """The node that OIH starts the flow with."""
        return self.roots[0]


@dataclass(slots=True)
class _Steps:
    """The steps made so far, and where each node's messages are to be had.

    :param above: what stands above the first step: the task with a webhook's events, if there is one
    """

    above: list[str] = field(default_factory=list)
    made: list[dict[str, Any]] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    last: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, list[str]] = field(default_factory=dict)

    def add(self, node: str, id_: str, needs: Sequence[str], when: str | None, rest: Mapping[str, Any]) -> None:
        """Add a step of a node; what every flow does by itself is not written."""
        step: dict[str, Any] = {"id": id_}
        keys = dict(rest)
        for key in ("title", "description"):
            if key in keys:
                step[key] = keys.pop(key)
        above = [self.made[-1]["id"]] if self.made else self.above
        if list(needs) != above:
            step["needs"] = list(needs)
        if when is not None:
            step["when"] = when
        self.made.append(step | keys)
        self.ids.add(id_)
        self.last[node] = id_
        self.nodes.setdefault(node, []).append(id_)


def import_flow(source: SourceFlow, connectors: Mapping[str, str], catalog: Catalog, taken: set[str]) -> ImportedFlow:
    """Return a flow of OIH as a flow file.

    :param connectors: names of connectors by componentId
    :param catalog: the connectors whose manifests are known
    :param taken: ids of flows that others have, in lower case
    :raises ImportProblem: nothing can be made of it
    """
    ledger = Ledger(source.value, source.place)
    graph = read_graph(source.value["graph"], (*source.place, "graph"))
    ledger.nodes = dict(enumerate(node.id for node in graph.nodes))
    made = head(ledger)
    id_ = names.flow_id([made.get("title"), own_id(ledger), source.id], taken)
    order = _order(ledger, graph)
    begin = start(ledger, order.index[order.first], id_, connectors, catalog)
    steps = _steps(ledger, order, connectors, begin)
    if len(steps.made) > MAX_STEPS:
        raise ImportProblem(f"it would have {len(steps.made):,} steps; a flow may have {MAX_STEPS:,}; split it")
    ledger.close()
    findings = [*source.beside, *ledger.findings]
    findings.sort(key=lambda finding: finding.level == "info")
    flow = {"flowmate": 1, "id": id_, **made, **begin.keys, "steps": steps.made}
    text = flow_text(flow, _comments(findings, steps.nodes))
    return ImportedFlow(id_, text, len(steps.made), steps.nodes, findings)


def _order(ledger: Ledger, graph: OihGraph) -> _Order:
    index = {node.id: number for number, node in enumerate(graph.nodes)}
    gateways = Gateways(
        ledger, {id_: at for id_, at in index.items() if is_gateway(ledger.get(("graph", "nodes", at)))}
    )
    edges = _edges(ledger, graph)
    edges += gateways.further_edges(edges, index)
    ordered = in_order(list(index), edges)
    ways = gateways.ways(ordered, edges)
    targets = {target for _, target in edges}
    roots = [node for node in ordered if node not in targets]
    return _Order(index, [node for node in ordered if node not in gateways.places], ways, roots)


def _steps(ledger: Ledger, order: _Order, connectors: Mapping[str, str], begin: Start) -> _Steps:
    steps = _Steps([WEBHOOK] if begin.has_webhook else [])
    steps.ids.update(steps.above)
    ids = {}
    for id_ in sorted(order.nodes, key=order.index.__getitem__):
        ids[id_] = names.step_id(id_, steps.ids)
        steps.ids.add(ids[id_])
        if id_ != order.first or not begin.is_taken:
            _tell_id(ledger, order.index[id_], ids[id_])
    for node in order.nodes:
        if node in order.roots[1:]:
            message = "no edge leads to it: OIH started the first such node only, here all of them run"
            ledger.todo(("graph", "nodes", order.index[node], "id"), message)
        if node == order.first and begin.is_taken:
            _take_node(ledger, steps, node, order.index[node], ids[node])
        else:
            _add_node(ledger, steps, node, ids[node], order, connectors, begin)
    if not steps.made:
        steps.add(order.first, ids[order.first], steps.above, None, {"map": identity()})
    return steps


def _edges(ledger: Ledger, graph: OihGraph) -> list[tuple[str, str]]:
    """Return the edges, each once; what else they say is reported, for OIH uses none of it."""
    found: dict[tuple[str, str], None] = {}
    for number, edge in enumerate(graph.edges):
        path = ("graph", "edges", number)
        pair = (edge.source, edge.target)
        if pair in found:
            ledger.info(path, "the same edge is there twice, and counts once")
            continue
        found[pair] = None
        ledger.take((*path, "source"))
        ledger.take((*path, "target"))
        if "id" in ledger.get(path):
            ledger.info((*path, "id"), f"`needs` has no ids; it leads from {edge.source} to {edge.target}")
        _edge_config(ledger, (*path, "config"))
    if not graph.edges and "edges" in ledger.get(("graph",)):
        ledger.info(("graph", "edges"), "it is empty")
    return list(found)


def _edge_config(ledger: Ledger, path: tuple[str | int, ...]) -> None:
    config = ledger.get(path)
    if not isinstance(config, dict):
        return
    if not config:
        ledger.info(path, "it is empty")
    messages = {
        "mapper": "OIH keeps a mapper and never uses it; should elastic.io have used it, write a `map` step",
        "condition": "OIH keeps a condition and never looks at it; should elastic.io have, write a `when`",
    }
    for key, message in messages.items():
        if key in config:
            ledger.todo_if(config[key], (*path, key), message if config[key] else "it is empty")


def _tell_id(ledger: Ledger, number: int, id_: str) -> None:
    path = ("graph", "nodes", number, "id")
    if ledger.get(path) == id_:
        ledger.take(path)
    else:
        ledger.info(path, f"it is the step `{id_}`")


def _take_node(ledger: Ledger, steps: _Steps, node: str, index: int, id_: str) -> None:
    """Let the flow's webhook stand for a node that only handed on what was posted."""
    after = take_node(ledger, index)
    steps.last[node] = WEBHOOK
    steps.nodes[node] = [WEBHOOK]
    if after is not None:
        steps.add(node, names.step_id(f"{id_}_after", steps.ids), steps.above, None, {"map": after})


def _add_node(
    ledger: Ledger,
    steps: _Steps,
    node: str,
    id_: str,
    order: _Order,
    connectors: Mapping[str, str],
    begin: Start,
) -> None:
    is_first, ways = node == order.first, order.ways[node]
    why_no_map = begin.why_no_map if is_first else None if ways else NO_MESSAGES
    parts = convert_node(ledger, order.index[node], id_, connectors, why_no_map)
    needs, when = (steps.above, None) if is_first else _inputs(steps, node, id_, ways)
    if parts.before is not None:
        steps.add(node, names.step_id(f"{parts.id}_before", steps.ids), needs, when, {"map": parts.before})
        needs, when = [steps.last[node]], None
    steps.add(node, parts.id, needs, when, parts.use)
    if parts.after is not None:
        steps.add(node, names.step_id(f"{parts.id}_after", steps.ids), [parts.id], None, {"map": parts.after})


def _inputs(steps: _Steps, node: str, id_: str, ways: list[Way]) -> tuple[list[str], str | None]:
    """Return a node's `needs` and `when`; ways with conditions of their own get a step in between."""
    conditions = list(dict.fromkeys(way.condition for way in ways))
    if len(conditions) <= 1:
        return [steps.last[way.source] for way in ways], next(iter(conditions), None)
    needs = []
    for condition in conditions:
        sources = [steps.last[way.source] for way in ways if way.condition == condition]
        if condition is None:
            needs += sources
        else:
            steps.add(node, names.step_id(f"{id_}_if", steps.ids), sources, condition, {"map": identity()})
            needs.append(steps.last[node])
    return needs, None


def _comments(findings: Sequence[Finding], nodes: Mapping[str, list[str]]) -> list[str]:
    """Return the report as the comment above the flow; a very long one is cut, `--format json` has it all."""
    lines = ["Imported from a flow of the Open Integration Hub."]
    for level, title in (("todo", "To do by hand:"), ("info", "To know:")):
        told = [f"- {finding.line()}" for finding in findings if finding.level == level]
        lines += ["", title, *told] if told else []
    lines += ["", "Nodes and the steps they became:"]
    lines += [printable(f"- {node}: {', '.join(steps)}") for node, steps in nodes.items()]
    room = MAX_COMMENTS
    for number, line in enumerate(lines):
        room -= len(line.encode()) + 3
        if room < 0:
            return [*lines[:number], f"… and {len(lines) - number:,} lines more: import it with --format json"]
    return lines
