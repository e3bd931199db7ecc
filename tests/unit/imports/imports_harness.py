"""What the tests of imports share: flows of OIH, and checks of what became of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.flows.load import read_flow
from flowmate_airflow.flows.models import Flow
from flowmate_airflow.flows.yamltext import parse


@dataclass
class Import:
    """What an import printed and wrote."""

    code: int
    out: str
    err: str
    files: dict[str, str] = field(default_factory=dict)

    @property
    def report(self) -> dict[str, Any]:
        """What `--format json` printed."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    def text(self) -> str:
        """The text of the one flow file."""
        assert len(self.files) == 1, (self.out, self.err)
        return next(iter(self.files.values()))

    def flow(self) -> dict[str, Any]:
        """The one flow file's content."""
        result = parse(self.text())
        assert not result.problems
        found: dict[str, Any] = result.value
        return found

    def steps(self) -> dict[str, dict[str, Any]]:
        """The one flow's steps by their ids."""
        return {step["id"]: step for step in self.flow()["steps"]}


class ImportOih(Protocol):
    """Imports a value, or the text of a file."""

    def __call__(self, source: Any, *arguments: str) -> Import: ...


def node(id_: str, function: str = "push", **more: Any) -> dict[str, Any]:
    """A node of the graph."""
    return {"id": id_, "componentId": "c-shop", "function": function, **more}


def flow(nodes: list[dict[str, Any]], *edges: str, **more: Any) -> dict[str, Any]:
    """A flow whose edges are written as `a b`."""
    pairs = [dict(zip(("source", "target"), edge.split(), strict=True)) for edge in edges]
    return {"name": "Orders", "graph": {"nodes": nodes, "edges": pairs}, **more}


def chain(**second: Any) -> dict[str, Any]:
    """A flow of a trigger and an action; the arguments are the action's."""
    return flow([node("pulled", "pull"), {**node("pushed"), **second}], "pulled pushed")


def loaded(text: str, folder: Path) -> Flow:
    """Return a flow file as FlowMate's own loader takes it, with connectors that have what the flow names."""
    functions: dict[str, dict[str, set[str]]] = {}
    connected: set[str] = set()
    content = parse(text).value
    for number, step in enumerate(content["steps"]):
        if "use" not in step:
            continue
        name, function = step["use"].split("/")
        kind = "triggers" if number == 0 or step.get("needs") == [] else "actions"
        functions.setdefault(name, {}).setdefault(f"{kind} {function}", set()).update(step.get("with", {}))
        connected |= {name} if "connection" in step else set()
    for name, found in functions.items():
        manifest: dict[str, Any] = {
            "connector": 1,
            "name": name,
            "version": "1.0",
            "title": name,
            "image": f"{name}:1",
            "auth": {"key": {"optional": {"key": "password"}}} if name in connected else {},
        }
        for key, fields in found.items():
            kind, function = key.split()
            schemas = {one: {} for one in fields}
            takes = {"webhook": {"subscribes": False}} if kind == "triggers" and "webhook" in content else {}
            manifest.setdefault(kind, {})[function] = {"title": function, "fields": schemas, **takes}
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "connector.yaml").write_text(json.dumps(manifest), encoding="utf-8")
    found_flow = read_flow(text.encode(), Path("imported.yaml"), Catalog(folder))
    assert found_flow is not None
    return found_flow.flow
