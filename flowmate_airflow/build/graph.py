"""A flow as a graph: every default filled in, every connector found. Knows no Airflow, so that the command line can
show and run it too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any

import yaml

from flowmate_airflow.build.endpoints import flow_endpoint, wait_endpoint
from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.flows.load import LoadedFlow
from flowmate_airflow.flows.models import Flow, MapStep, StepOptions, UseStep, WaitStep
from flowmate_airflow.flows.tenantchecks import is_linked
from flowmate_airflow.flows.webhookmodels import WEBHOOK
from flowmate_airflow.webhooks.endpoints import Endpoint

DEFAULTS: dict[str, Any] = {
    "retries": 2,
    "retry_delay": timedelta(seconds=30),
    "max_retry_delay": timedelta(minutes=10),
    "timeout": timedelta(hours=6),
    "pool": None,
    "pool_slots": 1,
    "priority": 1,
}
"""A step's options where neither the step nor the flow's `defaults` sets them."""


@dataclass(frozen=True, slots=True)
class Node:
    """One step.

    :param needs: the ids of the steps whose messages it gets, in order
    :param options: the options of :data:`DEFAULTS`, resolved
    :param connector: the manifest of a `use` step's connector
    :param text: the step's own YAML
    :param hands_on: whether another step gets its messages
    :param endpoint: where a `wait` step is called
    :param is_linked: whether a `use` step has its Connection from the run's tenant
    """

    step: UseStep | MapStep | WaitStep
    needs: tuple[str, ...]
    options: dict[str, Any]
    connector: Manifest | None
    text: str
    hands_on: bool = False
    endpoint: Endpoint | None = None
    is_linked: bool = False

    @property
    def id(self) -> str:
        """The step's id."""
        return self.step.id


@dataclass(frozen=True, slots=True)
class FlowGraph:
    """A flow, ready to become a DAG or to be run. Its nodes are in the order of the file.

    :param webhook: the endpoint of the webhook that starts it
    """

    flow_id: str
    loaded: LoadedFlow
    nodes: tuple[Node, ...]
    webhook: Endpoint | None = None

    @property
    def flow(self) -> Flow:
        """The flow as it was written."""
        return self.loaded.flow

    def node(self, step: str) -> Node:
        """Return the node of a step."""
        return next(node for node in self.nodes if node.id == step)

    def streamed_into(self) -> dict[str, str]:
        """Return the steps that run in one task with the step they are streamed into, by id."""
        return {
            node.needs[0]: node.id
            for node in self.nodes
            if isinstance(node.step, UseStep) and node.step.stream and len(node.needs) == 1
        }

    def stateful(self) -> list[Node]:
        """Return the steps that remember from run to run how far they read."""
        return [
            node
            for node in self.nodes
            if isinstance(node.step, UseStep)
            and node.connector is not None
            and node.connector.keeps_state(node.step.function)
        ]

    def linked(self) -> list[str]:
        """Return the connectors that a tenant must have linked, in order."""
        return sorted({node.connector.name for node in self.nodes if node.is_linked and node.connector is not None})

    def with_letters(self) -> list[Node]:
        """Return the steps that keep dead letters and hand messages on: what others make of a replay counts too."""
        return [
            node
            for node in self.nodes
            if isinstance(node.step, UseStep) and node.step.on_error == "dead_letter" and node.hands_on
        ]

    def ends_after(self, step: str) -> list[str]:
        """Return the last steps of all that get a step's messages, directly or not: itself, when nobody does."""
        seen = self.after(step)
        return [node.id for node in self.nodes if node.id in seen and not node.hands_on]

    def after(self, step: str) -> set[str]:
        """Return a step and all that get its messages, directly or not."""
        after: dict[str, list[str]] = {}
        for node in self.nodes:
            for need in node.needs:
                after.setdefault(need, []).append(node.id)
        waiting, seen = [step], {step}
        while waiting:
            for follower in after.get(waiting.pop(), ()):
                if follower not in seen:
                    seen.add(follower)
                    waiting.append(follower)
        return seen

    def in_order(self) -> list[Node]:
        """Return the nodes so that each comes after what it needs; the file's order where that leaves a choice."""
        waiting = list(self.nodes)
        placed: set[str] = {WEBHOOK}
        ordered = []
        while waiting:
            ready = next(node for node in waiting if placed.issuperset(node.needs))
            waiting.remove(ready)
            placed.add(ready.id)
            ordered.append(ready)
        return ordered


def build_graph(loaded: LoadedFlow, catalog: Catalog) -> FlowGraph:
    """Return the graph of a flow that has passed its checks."""
    flow = loaded.flow
    texts = _step_texts(loaded)
    needed = {need for index in range(len(flow.steps)) for need in flow.needs(index)}
    nodes = []
    for index, step in enumerate(flow.steps):
        manifest = catalog.get(step.connector) if isinstance(step, UseStep) else None
        nodes.append(
            Node(
                step=step,
                needs=tuple(flow.needs(index)),
                options={name: _option(flow, step, name) for name in DEFAULTS},
                connector=manifest if isinstance(manifest, Manifest) else None,
                text=texts[index],
                hands_on=step.id in needed,
                endpoint=wait_endpoint(loaded, step) if isinstance(step, WaitStep) else None,
                is_linked=is_linked(flow, step, manifest),
            )
        )
    return FlowGraph(loaded.flow_id, loaded, tuple(nodes), flow_endpoint(loaded, catalog))


def _option(flow: Flow, step: StepOptions, name: str) -> Any:
    value = flow.option(step, name)
    return DEFAULTS[name] if value is None else value


_STEPS = re.compile(r"^steps:[ \t]*(?:#.*)?\n", re.MULTILINE)
_ITEM = re.compile(r"^( *)- ", re.MULTILINE)


def _step_texts(loaded: LoadedFlow) -> list[str]:
    """Return each step's YAML: cut out of the text where the steps stand as a plain list, else written anew."""
    count = len(loaded.flow.steps)
    start = _STEPS.search(loaded.text)
    first = _ITEM.search(loaded.text, start.end()) if start else None
    if first is not None:
        indent = first[1]
        starts = [m.start() for m in re.finditer(rf"^{indent}- ", loaded.text[first.start() :], re.MULTILINE)]
        end = re.compile(rf"^(?!{indent}[ -]|[ \t\r]*(?:#|$)).", re.MULTILINE).search(loaded.text, first.start())
        body = loaded.text[first.start() : end.start() if end else len(loaded.text)]
        starts = [place for place in starts if place < len(body)]
        if len(starts) == count:
            edges = [*starts, len(body)]
            return [_dedent(body[a:b], len(indent)) for a, b in pairwise(edges)]
    return [
        yaml.dump(
            step.model_dump(mode="json", by_alias=True, exclude_unset=True),
            Dumper=yaml.CSafeDumper,
            sort_keys=False,
            allow_unicode=True,
        )
        for step in loaded.flow.steps
    ]


def _dedent(text: str, indent: int) -> str:
    first, *rest = text.rstrip().split("\n")
    # A comment may stand further left than the step it is about: only blanks are cut off.
    inner = [re.sub(rf"^ {{0,{indent + 2}}}", "", line) for line in rest]
    return "\n".join([first[indent + 2 :], *inner]) + "\n"
