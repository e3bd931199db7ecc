"""What a Node component says of a function's fields, as the one table that the function reads."""

from __future__ import annotations

import json

import pytest
from node_runs import Component

from flowmate_airflow.protocols.base import FILES, Request
from flowmate_airflow.protocols.events import CatalogEvent, LogEvent, ProtocolError
from flowmate_airflow.protocols.node_image import NodeConversation
from flowmate_airflow.protocols.streams import OPEN_SCHEMA, Stream

REQUEST = Request(verb="discover", function="act", context={"function": "people"})
SCHEMA = {"type": "object", "properties": {"email": {"type": "string"}}}


def test_the_function_is_asked_for_its_fields() -> None:
    assert NodeConversation(REQUEST).launch().arguments == [f"{FILES}/runner.js", "metamodel", "act"]
    checked = NodeConversation(Request(verb="check")).launch()
    assert checked.arguments == [f"{FILES}/runner.js", "check"]


@pytest.mark.parametrize(
    "code",
    [
        f"exports.process = () => null; exports.getMetaModel = async () => ({{out: {json.dumps(SCHEMA)}}});",
        "exports.process = () => null;",
    ],
)
def test_what_it_gives_is_a_table_of_the_functions_name(component: Component, code: str) -> None:
    component.action(code, metadata={"out": SCHEMA})
    (event,) = component.verb("metamodel", "act").of("METADATA")
    line = json.dumps(event, separators=(",", ":")).encode()
    assert NodeConversation(REQUEST).take(line) == (CatalogEvent([Stream("people", SCHEMA)]),)


@pytest.mark.parametrize("metadata", [{"in": None, "out": None}, None, [], {"out": "x"}])
def test_without_a_schema_any_field_may_come(metadata: object) -> None:
    line = json.dumps({"type": "METADATA", "metadata": metadata}, separators=(",", ":")).encode()
    assert NodeConversation(REQUEST).take(line) == (CatalogEvent([Stream("people", OPEN_SCHEMA)]),)


def test_half_an_answer_is_none() -> None:
    with pytest.raises(ProtocolError, match="broken JSON"):
        NodeConversation(REQUEST).take(b'{"type":"METADATA","metadata":{"out"')


def test_other_lines_mean_what_they_always_do() -> None:
    (event,) = NodeConversation(REQUEST).take(b"hello")
    assert isinstance(event, LogEvent)
