"""What a field map makes a source read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmate_airflow.protocols.streams import SelectedStream, Stream
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.projection import Projection
from flowmate_airflow.steps.selection import SelectionError, select_streams

TEXT = {"type": ["string", "null"]}


def _object(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


ORDERS = Stream(
    "orders",
    _object(
        id={"type": "integer"},
        total={"type": "number"},
        updated_at={"type": "string", "format": "date-time"},
        customer={"anyOf": [{"type": "null"}, _object(email=TEXT, name=TEXT, address=_object(city=TEXT, zip=TEXT))]},
        lines={"type": "array", "items": _object(sku=TEXT, price={"type": "number"})},
        meta={"type": "object"},
        tenant=TEXT,
    ),
    primary_key=("id",),
    cursor="updated_at",
    automatic=frozenset({"tenant"}),
    incremental=True,
)
PEOPLE = Stream("people", _object(uid=TEXT, email=TEXT, secret=TEXT), primary_key=("uid",))
ALWAYS = {"id", "updated_at", "tenant"}


def _select(field_map: Mapping[str, Any] | None, **options: Any) -> list[SelectedStream]:
    return select_streams(field_map, [PEOPLE, ORDERS], **options)


def _fields(field_map: Mapping[str, Any]) -> frozenset[str] | None:
    (selected,) = _select(field_map)
    return selected.fields


def _problems(field_map: Mapping[str, Any] | None, streams: Any = (PEOPLE, ORDERS), **options: Any) -> list[str]:
    with pytest.raises(SelectionError) as caught:
        select_streams(field_map, streams, **options)
    return list(caught.value.problems)


def test_without_a_map_all_is_read() -> None:
    assert [(each.stream.name, each.fields) for each in _select(None)] == [("orders", None), ("people", None)]


@pytest.mark.parametrize("everything", ["*", True, ["*"], {"selected": ["*"]}, {"name": "orders", "selected": ["*"]}])
def test_all_fields_of_a_table(everything: Any) -> None:
    assert [(each.stream, each.fields) for each in _select({"orders": everything})] == [(ORDERS, None)]


def test_keys_cursors_and_automatic_fields_stay_on() -> None:
    assert _fields({"orders": ["total"]}) == {"total", *ALWAYS}
    assert _fields({"orders": {"name": "orders", "selected": ["total"]}}) == {"total", *ALWAYS}
    taken_off = _fields({"orders": ["*", "!id", "!total"]})
    assert taken_off is not None
    assert taken_off >= ALWAYS
    assert "total" not in taken_off


def test_nested_fields_also_in_lists_and_alternatives() -> None:
    wanted = {"customer.email", "customer.address.city", "lines.price", "meta.anything.below"}
    assert _fields({"orders": sorted(wanted)}) == wanted | ALWAYS


def test_fields_taken_off_leave_their_neighbours() -> None:
    fields = _fields({"orders": ["*", "!customer.address.zip", "!lines"]})
    assert fields == {"total", "customer.email", "customer.name", "customer.address.city", "meta", *ALWAYS}
    assert _fields({"orders": ["*", "!customer", "customer.email"]}) == {
        "total", "lines", "meta", "customer.email", *ALWAYS
    }  # fmt: skip


def test_a_name_may_have_dots_of_its_own() -> None:
    stream = Stream("flat", _object(**{"address": TEXT, "address.city": TEXT, "a.b": _object(**{"c.d": TEXT})}))
    (selected,) = select_streams({"flat": ["address.city", "a.b.c.d"]}, [stream])
    record = {"address": "x", "address.city": "Kiel", "a.b": {"c.d": 1, "e": 2}}
    assert Projection([selected]).cut("flat", None, record)[1] == {"address.city": "Kiel", "a.b": {"c.d": 1}}
    (selected,) = select_streams({"flat": ["*", "!address.city"]}, [stream])
    assert selected.fields == {"address", "a.b"}


def test_all_tables_with_these_fields() -> None:
    selected = {each.stream.name: each.fields for each in _select({"*": ["email", "customer.email"]})}
    assert selected == {"orders": {"customer.email", *ALWAYS}, "people": {"uid", "email"}}
    assert [each.stream.name for each in _select({"*": ["secret"]})] == ["people"]
    both = {each.stream.name: each.fields for each in _select({"*": "*", "people": ["email"]})}
    assert both == {"orders": None, "people": {"uid", "email"}}
    assert [each.stream.name for each in _select({"*": "*", "people": False})] == ["orders"]
    without = {each.stream.name: each.fields for each in _select({"*": ["*", "!secret"]})}
    assert without == {"orders": None, "people": {"uid", "email"}}


def test_hotglue_name_and_empty_selection() -> None:
    table = {"name": "orders", "selected": ["total"]}
    assert [each.stream for each in _select({"T1": table, "people": {"selected": []}})] == [ORDERS]


def test_every_problem_is_told_with_what_is_near() -> None:
    told = _problems({"ordres": "*", "people": ["emial", "uid"], "orders": ["city", "total.net", "customer.emial"]})
    assert told == [
        "there is no table `ordres`; did you mean `orders`?",
        "the table `orders` has no field `city`; did you mean `customer.address.city`?",
        "the table `orders` has no field `total.net`; `total` is number, which has no fields",
        "the table `orders` has no field `customer.emial`; did you mean `customer.email`?",
        "the table `people` has no field `emial`; did you mean `email`?",
    ]


def test_the_error_is_no_reason_to_retry_and_says_where_to_look() -> None:
    with pytest.raises(ConfigFailure, match=r"there is no table `x`.*flowmate discover"):
        _select({"x": "*"})
    many = {f"table{number}": "*" for number in range(500)}
    with pytest.raises(SelectionError, match="and 480 more") as caught:
        _select(many)
    assert len(caught.value.problems) == 500


def test_names_of_the_source_cannot_steer_the_terminal() -> None:
    with pytest.raises(SelectionError) as caught:
        select_streams({"orders": "*"}, [Stream("order\x1b[2Js")])
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("field_map", [{"orders": False}, {"*": False}, {"orders": {"selected": []}}])
def test_no_table_left(field_map: Any) -> None:
    assert "no table is left" in _problems(field_map)[0]


def test_a_source_without_tables() -> None:
    assert "no table at all" in _problems(None, [])[0]


def test_a_field_that_no_table_has() -> None:
    assert _problems({"*": ["emial"]}) == ["none of the tables has a field `emial`; did you mean `email`?"]


def test_a_table_named_twice() -> None:
    assert "named twice" in _problems({"orders": "*", "O": {"name": "orders", "selected": ["id"]}})[0]


def test_what_is_left_beside_an_unknown_field_cannot_be_told() -> None:
    assert "list those that are wanted" in _problems({"orders": ["*", "!meta.secret"]})[0]


def test_namespaces_tell_tables_of_one_name() -> None:
    streams = [Stream("t", namespace="b"), Stream("t", namespace="a"), Stream("u", namespace="a")]
    assert [each.stream.namespace for each in select_streams({"b.t": "*"}, streams)] == ["b"]
    assert [each.stream.name for each in select_streams({"u": "*"}, streams)] == ["u"]
    assert [each.stream.name for each in select_streams({"a.u": "*"}, streams)] == ["u"]
    assert [each.stream.namespace for each in select_streams(None, streams)] == ["a", "a", "b"]
    assert _problems({"t": "*"}, streams) == ["there are 2 tables `t`; write `a.t` or `b.t`"]
    assert _problems({"a.v": "*"}, streams) == ["there is no table `a.v`; did you mean `a.t`?"]


def test_incremental_where_a_stream_can() -> None:
    modes = {each.stream.name: each.mode for each in _select(None, mode="incremental")}
    assert modes == {"orders": "incremental", "people": "full"}
    assert {each.mode for each in _select(None, mode="full")} == {"full"}


def test_a_cursor_makes_a_stream_incremental_and_stays_on() -> None:
    offered = {"supported_sync_modes": ["full_refresh", "incremental"]}
    stream = Stream("a", _object(id=TEXT, changed=TEXT), incremental=True, raw=offered)
    (without,) = select_streams({"a": ["id"]}, [stream], mode="incremental")
    assert (without.mode, without.cursor) == ("full", None)
    (selected,) = select_streams({"a": ["id"]}, [stream], mode="incremental", cursors={"a": "changed"})
    assert (selected.mode, selected.cursor, selected.fields) == ("incremental", "changed", {"id", "changed"})
    own = Stream("a", incremental=True, raw={**offered, "source_defined_cursor": True})
    assert [each.mode for each in select_streams(None, [own], mode="incremental")] == ["incremental"]


def test_cursors_of_what_there_is_not() -> None:
    assert _problems(None, mode="incremental", cursors={"oders": "id", "orders": "update_at"}) == [
        "in `cursors`, there is no table `oders`; did you mean `orders`?",
        "in `cursors`, the table `orders` has no field `update_at`; did you mean `updated_at`?",
    ]


def test_a_source_that_cannot_tell_its_tables() -> None:
    selected = select_streams({"b": "*", "a": ["x.y"], "c": False}, None, mode="incremental", cursors={"a": "t"})
    assert [(each.stream.name, each.fields, each.mode, each.cursor) for each in selected] == [
        ("a", {"x.y", "t"}, "incremental", "t"),
        ("b", None, "incremental", None),
    ]
    assert select_streams(None, None) == []
    assert select_streams({"*": "*"}, None) == []
    assert "name them" in _problems({"*": ["id"]}, None)[0]
    assert "list them" in _problems({"a": ["*", "!x"]}, None)[0]
    assert "no table `d`" in _problems({"a": "*"}, None, cursors={"d": "t"})[0]
    assert "no table is left" in _problems({"a": False}, None)[0]


def test_a_schema_that_refers_to_itself() -> None:
    comment = _object(text=TEXT, replies={"type": "array", "items": {"$ref": "#/definitions/comment"}})
    stream = Stream("comments", {**_object(top={"$ref": "#/definitions/comment"}), "definitions": {"comment": comment}})
    (selected,) = select_streams({"comments": ["top.text", "top.replies.replies.text"]}, [stream])
    assert selected.fields == {"top.text", "top.replies.replies.text"}
    assert "has no field `top.txt`" in _problems({"comments": ["top.txt"]}, [stream])[0]


def test_a_large_catalog() -> None:
    names = [f"f{number}" for number in range(2000)]
    streams = [Stream(f"t{number}", _object(**dict.fromkeys(names, TEXT))) for number in range(100)]
    selected = select_streams({"*": names, "t7": ["*", "!f9"]}, streams)
    assert sum(len(each.fields or ()) for each in selected) == 199_999
    half = select_streams({"*": ["*", *(f"!{name}" for name in names[::2])]}, streams)
    assert sum(len(each.fields or ()) for each in half) == 100_000


_names = st.sampled_from(["id", "a", "b", "c.d", "x y", "ü"])
_schemas = st.recursive(
    st.sampled_from([TEXT, {"type": "integer"}, {"type": "object"}, {}]),
    lambda inner: (
        st.dictionaries(_names, inner, max_size=4).map(lambda fields: _object(**fields))
        | inner.map(lambda items: {"type": ["array", "null"], "items": items})
    ),
    max_leaves=12,
)


def _record(schema: Mapping[str, Any], path: str = "") -> Any:
    """Return a record that has every field of a schema, each value its own path."""
    if "items" in schema:
        return [_record(schema["items"], path), None]
    if "properties" in schema:
        return {name: _record(each, f"{path}/{name}") for name, each in schema["properties"].items()}
    return path


def _paths(value: Any, prefix: str = "") -> set[str]:
    """Return the fields of a record that have values, with dots."""
    if isinstance(value, dict):
        below = (_paths(child, f"{prefix}.{name}" if prefix else name) for name, child in value.items())
        return set().union(*below)
    if isinstance(value, list):
        return set().union(*(_paths(each, prefix) for each in value if each is not None))
    return {prefix}


@given(st.dictionaries(_names, _schemas, min_size=1, max_size=5), st.data())
def test_a_projected_record_has_the_chosen_fields_and_its_keys_and_nothing_else(
    fields: dict[str, Any], data: st.DataObject
) -> None:
    schema = _object(id={"type": "integer"}, **{name: part for name, part in fields.items() if name != "id"})
    stream = Stream("t", schema, primary_key=("id",))
    record = _record(schema)
    known = sorted(_paths(record))
    chosen = data.draw(st.lists(st.sampled_from(known), min_size=1, unique=True))
    (selected,) = select_streams({"t": chosen}, [stream])
    _, kept = Projection([selected]).cut("t", None, record)
    assert kept["id"] == record["id"]
    assert _paths(kept) == {*chosen, "id"}


@given(st.dictionaries(_names, _schemas, min_size=1, max_size=5), st.data())
def test_what_is_taken_off_is_gone_and_all_else_is_there(fields: dict[str, Any], data: st.DataObject) -> None:
    schema = _object(id={"type": "integer"}, **{name: part for name, part in fields.items() if name != "id"})
    record = _record(schema)
    known = sorted(_paths(record) - {"id"})
    off = data.draw(st.lists(st.sampled_from(known), unique=True)) if known else []
    (selected,) = select_streams({"t": ["*", *(f"!{name}" for name in off)]}, [Stream("t", schema, ("id",))])
    _, kept = Projection([selected]).cut("t", None, record)
    assert _paths(kept) >= set(known) - set(off) - {name for name in known if _under(name, off)}
    assert not _paths(kept) & set(off)


def _under(name: str, others: list[str]) -> bool:
    return any(name.startswith(f"{other}.") or other.startswith(f"{name}.") for other in others)


def test_tables_of_one_name_in_two_namespaces_keep_their_own_fields() -> None:
    record = {"id": 1, "a": 2, "b": 3}
    both = Projection(
        [
            SelectedStream(Stream("t", namespace="one"), frozenset({"a"})),
            SelectedStream(Stream("t", namespace="two"), frozenset({"b"})),
        ]
    )
    assert both.cut("t", "one", record) == (True, {"a": 2})
    assert both.cut("t", "two", record) == (True, {"b": 3})
    assert both.cut("u", "one", record) == (False, None)
