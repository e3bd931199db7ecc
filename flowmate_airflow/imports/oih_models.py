"""The shape of an OIH flow's graph: as much as must be right for anything to be made of it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from flowmate_airflow.flows.models import MAX_STEPS
from flowmate_airflow.imports.report import ImportProblem, Path, pointer, printable

MAX_EDGES = 10_000
_PROBLEMS = 5
"""How many problems of a graph are told at once."""


def plain_id(value: Any) -> Any:
    """Return an id without the wrapping that MongoDB's own exports put around it."""
    if isinstance(value, dict) and list(value) == ["$oid"]:
        return value["$oid"]
    return value


OihId = Annotated[str, BeforeValidator(plain_id), Field(min_length=1, max_length=256)]


class _Model(BaseModel):
    """Unknown keys are left to the ledger."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)


class OihNode(_Model):
    """A node: one step of the flow."""

    id: OihId


class OihEdge(_Model):
    """An edge: what the source emits goes to the target."""

    source: OihId
    target: OihId


class OihGraph(_Model):
    """Nodes and edges."""

    nodes: list[OihNode] = Field(min_length=1)
    edges: Annotated[list[OihEdge], BeforeValidator(lambda value: [] if value is None else value)] = []


def read_graph(graph: Any, place: Path) -> OihGraph:
    """Return a flow's graph.

    :param place: where it stands in its file
    :raises ImportProblem: it has not the shape of a graph, or is larger than a flow can be
    """
    if isinstance(graph, dict):
        for key, most in (("nodes", MAX_STEPS), ("edges", MAX_EDGES)):
            size = len(graph[key]) if isinstance(graph.get(key), list) else 0
            if size > most:
                raise ImportProblem(
                    f"{pointer((*place, key))}: it has {size:,} {key}; a flow may have {most:,}; split it"
                )
    try:
        found = OihGraph.model_validate(graph)
    except ValidationError as error:
        problems = [
            f"{pointer((*place, *item['loc']))}: {printable(item['msg'])}" for item in error.errors(include_url=False)
        ]
        more = f"\nand {len(problems) - _PROBLEMS:,} more" if len(problems) > _PROBLEMS else ""
        raise ImportProblem("\n".join(problems[:_PROBLEMS]) + more) from None
    _check_ids(found, place)
    return found


def _check_ids(graph: OihGraph, place: Path) -> None:
    seen: set[str] = set()
    for index, node in enumerate(graph.nodes):
        if node.id in seen:
            where = pointer((*place, "nodes", index, "id"))
            raise ImportProblem(f"{where}: the id {printable(node.id)} is taken by another node; give it its own")
        seen.add(node.id)
    for index, edge in enumerate(graph.edges):
        for key, id_ in (("source", edge.source), ("target", edge.target)):
            if id_ not in seen:
                where = pointer((*place, "edges", index, key))
                raise ImportProblem(f"{where}: there is no node {printable(id_)}; correct the id, or remove the edge")
