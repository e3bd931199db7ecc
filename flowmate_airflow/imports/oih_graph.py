"""The graph of an OIH flow, put in order: which node comes when, and which messages it gets under which condition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flowmate_airflow.imports.gateway import both
from flowmate_airflow.imports.report import ImportProblem, printable

MAX_WAYS = 500
"""How many ways may lead to one node, through however many gateways."""


@dataclass(frozen=True, slots=True)
class Way:
    """How messages come to a node.

    :param source: the node they come from, never a gateway
    :param condition: JSONata that must be true for a message to come this way; None: all do
    """

    source: str
    condition: str | None = None


def in_order(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> list[str]:
    """Return the nodes so that each comes after those it gets messages from, else in the order given.

    :raises ImportProblem: there is a circle
    """
    rank = {node: number for number, node in enumerate(nodes)}
    incoming: dict[str, set[str]] = {node: set() for node in nodes}
    following: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in edges:
        incoming[target].add(source)
        following[source].append(target)
    ready = [node for node in nodes if not incoming[node]]
    ordered: list[str] = []
    while ready:
        node = ready.pop(0)
        ordered.append(node)
        for target in dict.fromkeys(following[node]):
            incoming[target].discard(node)
            if not incoming[target]:
                ready.append(target)
        ready.sort(key=rank.__getitem__)
    if len(ordered) < len(nodes):
        raise ImportProblem(f"/graph: the nodes wait for each other: {_circle(incoming)}; remove one of these edges")
    return ordered


def _circle(incoming: Mapping[str, set[str]]) -> str:
    """Return a circle as text, such as `a → b → a`; each node left has one that it waits for."""
    left = {node for node, sources in incoming.items() if sources}
    node = min(left)
    trail: list[str] = []
    while node not in trail:
        trail.append(node)
        node = min(incoming[node] & left)
    circle = [node, *reversed(trail[trail.index(node) :])]
    return printable(" → ".join(circle))


def ways_to(
    ordered: Sequence[str],
    edges: Iterable[tuple[str, str]],
    gateways: Mapping[str, Mapping[str, str | None]],
) -> dict[str, list[Way]]:
    """Return for each node the ways that lead to it, in the order of the edges.

    :param gateways: for each gateway and each node after it, the condition for that way
    :raises ImportProblem: too many ways lead to a node
    """
    sources: dict[str, list[str]] = {node: [] for node in ordered}
    for source, target in edges:
        if source not in sources[target]:
            sources[target].append(source)
    ways: dict[str, list[Way]] = {}
    for node in ordered:
        found: dict[Way, None] = {}
        for source in sources[node]:
            if source not in gateways:
                found[Way(source)] = None
                continue
            condition = gateways[source].get(node)
            found.update(dict.fromkeys(Way(way.source, both(way.condition, condition)) for way in ways[source]))
            if len(found) > MAX_WAYS:
                raise ImportProblem(f"/graph: more than {MAX_WAYS} ways lead to the node {printable(node)}; split it")
        ways[node] = list(found)
    return ways
