"""Exports that are broken, or made to break the importer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imports_harness import ImportOih, chain, flow, loaded, node
from jinja2.sandbox import SandboxedEnvironment

from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.cli.main import main
from flowmate_airflow.flows.expressions import check_jinja
from flowmate_airflow.imports.oih import import_flow
from flowmate_airflow.imports.report import ImportProblem
from flowmate_airflow.imports.source import SourceFlow
from flowmate_airflow.imports.values import escaped
from flowmate_airflow.steps.templates import render


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "flows.json:1:1: not valid JSON"),
        ('{"graph":\n  {"nodes": [1,]}}', "flows.json:2:16: not valid JSON"),
        (b'{"a": "\xff"}', "flows.json:1: the file is not UTF-8"),
        ("[" * 200_000, "nested deeper than 60 levels"),
        ("[" * 100 + "]" * 100, "nested deeper than 60 levels"),
        ('{"a": 1, "a": 2}', 'the key "a" stands twice'),
        ('{"a": 1e400}', "the number 1e400 is too large"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        (f'{{"a": {"9" * 5000}}}', "not valid JSON"),
        ('{"a": "\\ud800"}', "half a character"),
        ("[]", "there is no flow in it"),
        ('{"data": []}', "there is no flow in it"),
        ("[1]", "flows.json at /0: a flow is an object"),
        ("7", "flows.json at /: a flow is an object"),
        ('{"name": "x"}', "it has no `graph`"),
        ("[" + ",".join(["{}"] * 1001) + "]", "it has 1,001 flows"),
    ],
)
def test_files_that_are_no_flows(import_oih: ImportOih, text: str | bytes, told: str) -> None:
    result = import_oih(text)
    assert result.code == 1
    assert told in result.err
    assert result.files == {}
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        (None, "/graph: "),
        ([], "/graph: "),
        ({}, "/graph/nodes: Field required"),
        ({"nodes": []}, "/graph/nodes: "),
        ({"nodes": {"a": 1}}, "/graph/nodes: "),
        ({"nodes": [None]}, "/graph/nodes/0: "),
        ({"nodes": [{"id": ["x"]}]}, "/graph/nodes/0/id: "),
        ({"nodes": [{"id": ""}]}, "/graph/nodes/0/id: "),
        ({"nodes": [node("a"), node("a")]}, "/graph/nodes/1/id: the id a is taken"),
        ({"nodes": [node("a")], "edges": [{"source": "a"}]}, "/graph/edges/0/target: Field required"),
        ({"nodes": [node("a")], "edges": [{"source": "a", "target": "b"}]}, "there is no node b"),
        ({"nodes": [node("a")], "edges": [{"source": "a", "target": "a"}]}, "wait for each other: a → a"),
        ({"nodes": [node(str(number)) for number in range(10_000)]}, "it has 10,000 nodes; a flow may have 500"),
        ({"nodes": [1] * 400}, "and 395 more"),
    ],
)
def test_graphs_that_are_none(import_oih: ImportOih, graph: Any, told: str) -> None:
    result = import_oih({"name": "Bad\x1b[31m", "graph": graph})
    assert result.code == 1
    assert told in result.err
    assert "the flow Bad\\x1b[31m was not imported" in result.err
    assert len(result.err) < 2000


def test_a_circle_is_shown(import_oih: ImportOih) -> None:
    nodes = [node("start", "pull"), node("a"), node("b"), node("c"), node("after")]
    result = import_oih(flow(nodes, "start a", "a b", "b c", "c a", "c after"))
    assert result.code == 1
    assert "the nodes wait for each other: a → b → c → a; remove one of these edges" in result.err


def test_a_broken_flow_leaves_the_others(import_oih: ImportOih) -> None:
    result = import_oih([{"graph": 1}, chain(), {"name": "Empty", "graph": {"nodes": []}}])
    assert result.code == 1
    assert list(result.files) == ["orders.yaml"]
    assert "the flow at 0 was not imported" in result.err
    assert "the flow Empty was not imported" in result.err


def test_the_largest_flow(import_oih: ImportOih, tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(500)]
    nodes = [node(name, "pull" if name == "n0" else "push") for name in names]
    result = import_oih(flow(nodes, *(f"n0 {name}" for name in names[1:])))
    assert len(loaded(result.text(), tmp_path / "catalog").steps) == 500


def test_transforms_count_as_steps(import_oih: ImportOih) -> None:
    transform = {"applyTransform": "after", "transformFunction": '{"data": {}}'}
    names = [f"n{number}" for number in range(300)]
    nodes = [node(name, nodeSettings=transform) for name in names]
    result = import_oih(flow(nodes, *(f"n0 {name}" for name in names[1:])))
    assert "it would have 600 steps; a flow may have 500" in result.err


def test_gateways_in_a_lattice(import_oih: ImportOih) -> None:
    """Each layer doubles the ways to the next: 2 to the power of 40 of them."""
    operand = {
        "operation": "EQUALS",
        "key": {"type": "ref", "data": {"stepId": "start", "field": "x"}},
        "value": {"type": "string", "data": 1},
    }

    def rule(layer: int, side: str) -> dict[str, Any]:
        test = {**operand, "value": {"type": "string", "data": f"{side}{layer}"}}
        below = [f"a{layer + 1}", f"b{layer + 1}"] if layer < 39 else ["end"]
        actions = {"positive": {"command": "void"}, "negative": {"command": "run-next-steps", "parameters": below}}
        return {"type": "CONDITION", "subtype": "AND", "operands": [test], "actions": actions}

    nodes, edges, above = [node("start", "pull")], [], ["start"]
    for layer in range(40):
        both = [f"a{layer}", f"b{layer}"]
        nodes += [node(name, fields={"rule": rule(layer, name[0])}) for name in both]
        edges += [f"{source} {target}" for source in above for target in both]
        above = both
    nodes.append(node("end"))
    result = import_oih(flow(nodes, *edges, *(f"{source} end" for source in above)))
    assert result.code == 1
    assert "more than 500 ways lead to the node" in result.err


def test_a_report_without_end_is_cut_in_the_file(import_oih: ImportOih) -> None:
    source = {**chain(), "many": 1, **{f"unknown {number} {'x' * 80}": number for number in range(5000)}}
    result = import_oih(source)
    assert result.code == 0
    assert "lines more: import it with --format json" in result.text()
    assert len(result.text()) < 400_000
    assert "unknown 4999" in result.err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("- a\n", "is not a map"),
        ("a: B C\n", "map.yaml:1:4: `a` has no name of a connector"),
        ("600000000000000000000001: google\n", "map.yaml:1:1: the key `600000000000000000000001` is not text"),
        ("a: [", "map.yaml:2:1: not valid YAML"),
        (b"\xff", "is not UTF-8"),
        (None, "map.yaml cannot be read"),
    ],
)
def test_maps_of_connectors_that_are_none(import_oih: ImportOih, content: str | bytes | None, told: str) -> None:
    if content is not None:
        Path("map.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    result = import_oih(chain(), "--connectors", "map.yaml")
    assert result.code == 2
    assert told in result.err
    assert result.files == {}


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "oih", str(tmp_path / "none.json")]) == 2
    assert "none.json cannot be read" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made(import_oih: ImportOih) -> None:
    Path("flows").write_text("a file")
    result = import_oih(chain())
    assert result.code == 1
    assert "cannot be written" in result.err


PIECES = [*"{}%#\"'\\ \n\r\tab|-", "{{", "}}", "{%", "endraw", "é", "😀", "\u2028"]
TEXT = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


@given(text=TEXT)
def test_escaped_text_is_rendered_as_it_was(text: str) -> None:
    template = escaped(text)
    assert check_jinja(template, {}) is None
    assert render(template, {}, SandboxedEnvironment()) == text


def test_what_jinja_would_take_reaches_the_connector_as_it_was(import_oih: ImportOih, tmp_path: Path) -> None:
    fields = {"url": "{{ var.value.secret }}", "text": ["{% raw %}", "{# x", "100%"], "deep": {"{{key}}": "{{"}}
    result = import_oih(chain(fields=fields))
    step = loaded(result.text(), tmp_path / "catalog").steps[1]
    assert render(step.with_, {}, SandboxedEnvironment()) == fields  # type: ignore[union-attr]
    assert "pushed /graph/nodes/1/fields/url" in result.err


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=6), children, max_size=3),
    max_leaves=10,
)
IDS = st.sampled_from(["a", "b", "c"])
GRAPH = st.fixed_dictionaries(
    {
        "nodes": st.lists(
            st.fixed_dictionaries(
                {"id": IDS | JSON},
                optional={"fields": JSON, "nodeSettings": JSON, "name": JSON, "function": JSON, "componentId": JSON},
            )
            | JSON,
            max_size=4,
        )
    },
    optional={"edges": st.lists(st.fixed_dictionaries({"source": IDS, "target": IDS}) | JSON, max_size=4)},
)


@settings(max_examples=200, deadline=None)
@given(source=st.fixed_dictionaries({"graph": GRAPH | JSON}, optional={"name": JSON, "cron": JSON, "owners": JSON}))
def test_any_json_is_a_flow_or_a_problem(source: dict[str, Any]) -> None:
    source = json.loads(json.dumps(source, ensure_ascii=False).encode("utf-8", "replace"))
    try:
        made = import_flow(SourceFlow(source, ()), {}, Catalog(), set())
    except ImportProblem:
        return
    assert made.text.isascii() or made.text.encode()
