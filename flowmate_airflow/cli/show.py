"""`flowmate show`: a flow's graph, as text or as a Mermaid chart."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from flowmate_airflow.build.graph import FlowGraph, Node, build_graph
from flowmate_airflow.cli.common import catalog_of, count, load_one
from flowmate_airflow.flows.models import UseStep, WaitStep
from flowmate_airflow.flows.webhookmodels import WEBHOOK


def show(arguments: Namespace) -> int:
    """Print the flow's graph."""
    catalog = catalog_of(arguments)
    graph = build_graph(load_one(Path(arguments.flow), catalog), catalog)
    print("\n".join(mermaid(graph) if arguments.format == "mermaid" else text(graph)))
    return 0


def text(graph: FlowGraph) -> Iterator[str]:
    """Yield the lines of a flow's graph: a step a line, in the order they run."""
    flow = graph.flow
    yield f"{graph.flow_id}: {flow.title}" if flow.title else graph.flow_id
    if flow.description:
        yield flow.description.strip()
    start = f"schedule {flow.schedule or 'none'}" if graph.webhook is None else f"webhook {graph.webhook.scheme}"
    facts = [start, count(len(graph.nodes), "step")]
    if flow.params:
        facts.append(f"params {', '.join(flow.params)}")
    yield ", ".join(facts)
    yield ""
    nodes = graph.in_order()
    ids = max(len(node.id) for node in nodes)
    kinds = max(len(kind(node)) for node in nodes)
    for number, node in enumerate(nodes, 1):
        step = node.step
        line = f"{number:>{len(str(len(nodes)))}}. {node.id:<{ids}}  {kind(node):<{kinds}}"
        needs = f"<- {', '.join(node.needs)}" if node.needs else ""
        when = f"when {' '.join(step.when.split())}" if step.when else ""
        yield "  ".join(part for part in (line, needs, when, step.title or "") if part).rstrip()


def mermaid(graph: FlowGraph) -> Iterator[str]:
    """Yield the lines of a Mermaid flow chart; steps of one group stand in one box."""
    yield "flowchart LR"
    numbers = {node.id: f"s{number}" for number, node in enumerate(graph.nodes, 1)}
    groups: dict[str | None, list[Node]] = {None: []}
    for node in graph.nodes:
        groups.setdefault(node.step.group, []).append(node)
    for number, (group, nodes) in enumerate(groups.items()):
        if group is not None:
            yield f'  subgraph g{number}["{_escaped(group)}"]'
        for node in nodes:
            title = f"<br>{_escaped(node.step.title)}" if node.step.title else ""
            label = f"<b>{_escaped(node.id)}</b>{title}<br><i>{_escaped(kind(node))}</i>"
            yield f'  {"  " if group else ""}{numbers[node.id]}["{label}"]'
        if group is not None:
            yield "  end"
    if graph.webhook is not None:
        numbers[WEBHOOK] = "s0"
        yield f'  s0(["<b>{WEBHOOK}</b><br><i>{_escaped(graph.webhook.scheme)}</i>"])'
    for node in graph.nodes:
        for need in node.needs:
            arrow = f'-- "{_escaped(" ".join(node.step.when.split()))}" -->' if node.step.when else "-->"
            yield f"  {numbers[need]} {arrow} {numbers[node.id]}"


def kind(node: Node) -> str:
    """Return what a step does in a word: its connector's function, or the key of its kind."""
    if isinstance(node.step, UseStep):
        return node.step.use
    return "wait" if isinstance(node.step, WaitStep) else "map"


def _escaped(label: str) -> str:
    """Return a text that Mermaid shows as it is."""
    return label.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")
