"""A flow's graph: its defaults filled in, and each step's own YAML."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from flowmate_airflow.build.graph import FlowGraph, build_graph
from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.flows.load import read_flow

FLOWS = Path(__file__).resolve().parents[2] / "flows"
HEAD = "flowmate: 1\nid: x\n"


def _graph(text: str) -> FlowGraph:
    catalog = Catalog(FLOWS / "connectors")
    loaded = read_flow(text.encode(), Path("x.yaml"), catalog)
    assert loaded is not None
    return build_graph(loaded, catalog)


@pytest.mark.parametrize(
    "text",
    [
        "steps:\n  # first\n  - id: a\n    use: shop/ping\n\n  # b\n  - id: b\n    map: |\n      data\ntitle: t\n",
        "steps:\n- id: a\n  use: shop/ping\n- id: b\n  map: data\ntitle: t\n",
        "steps: # all\n    - {id: a, use: shop/ping}\n    - {id: b, map: 'data'}\n",
        "steps: [{id: a, use: shop/ping}, {id: b, map: data}]\n",
        "steps:\r\n  - id: a\r\n    use: shop/ping\r\n\r\n  - id: b\r\n    map: data\r\ntitle: t\r\n",
        "steps:\n  -\n    id: a\n    use: shop/ping\n  -\n    id: b\n    map: data\n",
    ],
    ids=["comments", "not indented", "flow style in lines", "flow style", "windows", "dashes alone"],
)
def test_each_step_has_its_own_yaml(text: str) -> None:
    first, second = (yaml.safe_load(node.text) for node in _graph(HEAD + text).nodes)
    first, second = (part[0] if isinstance(part, list) else part for part in (first, second))
    assert first == {"id": "a", "use": "shop/ping"}
    assert second["id"] == "b"
    assert second["map"].strip() == "data"


def test_options_come_from_the_step_then_the_defaults_then_ours() -> None:
    graph = _graph(
        HEAD + "defaults: {retries: 5, timeout: 1h}\nsteps:\n"
        "  - {id: a, use: shop/ping, retries: 0}\n  - {id: b, map: data, timeout: 1m}\n"
    )
    first, second = (node.options for node in graph.nodes)
    assert (first["retries"], second["retries"]) == (0, 5)
    assert (first["timeout"], second["timeout"]) == (timedelta(hours=1), timedelta(minutes=1))
    assert first["retry_delay"] == timedelta(seconds=30)


def test_steps_come_after_what_they_need() -> None:
    graph = _graph(
        HEAD + "steps:\n  - {id: late, map: data, needs: [early]}\n  - {id: early, use: shop/ping, needs: []}\n"
    )
    assert [node.id for node in graph.in_order()] == ["early", "late"]
    assert [node.needs for node in graph.nodes] == [("early",), ()]
