"""Catalogs as they are kept, and what is told of their changes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.protocols.streams import Stream
from flowmate_airflow.steps.catalogs import catalog_digest, streams_from_json, streams_to_json
from flowmate_airflow.steps.drift import drift


def _object(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


TEXT = {"type": "string"}
ORDERS = Stream(
    "orders",
    _object(id={"type": "integer"}, customer=_object(email=TEXT, city=TEXT), note={"type": ["string", "null"]}),
    primary_key=("id",),
    cursor="id",
    namespace="shop",
    automatic=frozenset({"id", "note"}),
    incremental=True,
    raw={"tap_stream_id": "shop-orders", "metadata": [{"breadcrumb": [], "metadata": {"selected": True}}]},
)


def _with(**fields: Any) -> Stream:
    properties = {**ORDERS.schema["properties"], **fields}
    return replace(ORDERS, schema=_object(**{name: field for name, field in properties.items() if field is not None}))


def _changes(old: Stream, new: Stream) -> list[tuple[str, str | None, bool]]:
    return [(change.kind, change.field, change.breaking) for change in drift([old], [new])]


def test_a_kept_catalog_comes_back_whole() -> None:
    streams = [ORDERS, Stream("plain")]
    assert streams_from_json(json.loads(json.dumps(streams_to_json(streams)))) == streams


def _manifest(**parts: Any) -> Manifest:
    base = {"connector": 1, "name": "shop", "version": "1", "title": "Shop", "image": "shop:1"}
    return Manifest.model_validate({**base, "triggers": {"read": {"title": "Read"}}, **parts})


def test_the_digest_tells_what_decides_the_streams_apart_and_holds_no_value() -> None:
    digests = [
        catalog_digest(_manifest(), {}),
        catalog_digest(_manifest(image="shop:2"), {}),
        catalog_digest(_manifest(name="shop2"), {}),
        catalog_digest(_manifest(process={"module": "m"}), {}),
        catalog_digest(_manifest(), {"account": 1}),
        catalog_digest(_manifest(defaults={"account": 2}), {}),
    ]
    assert len(set(digests)) == len(digests)
    assert catalog_digest(_manifest(defaults={"account": 1}), {"b": 2}) == catalog_digest(
        _manifest(), {"b": 2, "account": 1}
    )
    assert "hunter2" not in catalog_digest(_manifest(), {"key": "hunter2"})


def test_no_change() -> None:
    assert drift([ORDERS, Stream("a")], [Stream("a"), ORDERS]) == []


def test_tables_and_fields_come_and_go() -> None:
    changes = drift([ORDERS, Stream("old")], [_with(note=None, tax={"type": "number"}), Stream("new")])
    assert [change.text for change in changes] == [
        "table `old` is gone",
        "field `note` of `shop.orders` is gone",
        "table `new` is new",
        "field `tax` of `shop.orders` is new: number",
    ]
    assert [change.breaking for change in changes] == [True, True, False, False]


def test_of_an_object_that_goes_its_fields_are_not_told() -> None:
    assert _changes(ORDERS, _with(customer=None)) == [("field removed", "customer", True)]
    assert _changes(ORDERS, _with(customer=TEXT)) == [("type changed", "customer", True)]


def test_nested_fields_in_objects_and_lists() -> None:
    assert _changes(ORDERS, _with(customer=_object(email={"type": "integer"}, zip=TEXT))) == [
        ("field removed", "customer.city", True),
        ("type changed", "customer.email", True),
        ("field added", "customer.zip", False),
    ]
    lines = [{"type": "array", "items": _object(price={"type": kind})} for kind in ("number", "string")]
    assert _changes(_with(lines=lines[0]), _with(lines=lines[1])) == [("type changed", "lines.price", True)]


@pytest.mark.parametrize(
    ("old", "new", "breaking"),
    [
        ({"type": "integer"}, {"type": "string"}, True),
        ({"type": "integer"}, {"type": "number"}, True),
        ({"type": "number"}, {"type": "integer"}, False),
        ({"type": ["string", "integer"]}, {"type": "string"}, False),
        ({"type": "string"}, {"type": ["string", "integer"]}, True),
        ({"type": "string"}, {"type": "string", "format": "date"}, False),
        ({"type": "string", "format": "date"}, {"type": "string"}, True),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}, True),
        ({"type": "string"}, {}, True),
        ({}, {"type": ["string", "null"]}, False),
        ({"type": "array"}, {"type": "array", "items": TEXT}, False),
        ({"type": "array", "items": TEXT}, {"type": "array", "items": {"type": "integer"}}, True),
        ({"type": "string"}, {"anyOf": [{"type": "string"}, {"type": "boolean"}]}, True),
    ],
)
def test_a_type_breaks_when_it_allows_what_it_did_not(old: Any, new: Any, breaking: bool) -> None:
    changes = [change for change in drift([_with(x=old)], [_with(x=new)]) if change.kind == "type changed"]
    assert [(change.field, change.breaking) for change in changes] == [("x", breaking)]


def test_the_same_type_written_otherwise_is_no_change() -> None:
    one = {"type": ["string", "null"]}
    assert not _changes(_with(x=one), _with(x={"anyOf": [{"type": "null"}, {"type": "string"}]}))
    assert not _changes(_with(x=one), _with(x={"type": ["null", "string"], "description": "told anew"}))


def test_what_a_field_refers_to_counts() -> None:
    def stream(kind: str) -> Stream:
        schema = _object(a={"$ref": "#/$defs/money"}, b=TEXT)
        return Stream("t", {**schema, "$defs": {"money": {"type": kind}}})

    assert _changes(stream("number"), stream("string")) == [("type changed", "a", True)]


def test_null_is_told_apart_from_types() -> None:
    assert _changes(ORDERS, _with(note=TEXT)) == [("nullable changed", "note", False)]
    (change,) = drift([_with(note=TEXT)], [ORDERS])
    assert (change.breaking, change.text) == (True, "field `note` of `shop.orders` may be null now")


def test_keys_cursors_and_ways_of_reading() -> None:
    changed = replace(ORDERS, primary_key=("a", "b"), cursor="changed", incremental=False)
    assert [change.text for change in drift([ORDERS], [changed])] == [
        "table `shop.orders`: its key was id, is a, b",
        "table `shop.orders`: its cursor was id, is changed",
        "table `shop.orders` can be read in full only now",
    ]
    assert [change.breaking for change in drift([changed], [ORDERS])] == [True, True, False]


def test_breaking_changes_come_first() -> None:
    changes = drift([Stream("a"), Stream("z")], [Stream("a", _object(x=TEXT)), Stream("b")])
    assert [(change.kind, change.table) for change in changes] == [
        ("table removed", "z"),
        ("field added", "a"),
        ("table added", "b"),
    ]


def test_for_programs() -> None:
    (change,) = drift([_with(x={"type": "integer"})], [_with(x=TEXT)])
    assert change.as_json() == {
        "kind": "type changed",
        "table": "shop.orders",
        "field": "x",
        "before": "integer",
        "after": "string",
        "breaking": True,
    }
