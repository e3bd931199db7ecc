"""Field maps that leave out more of what a step reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmate_airflow.protocols.streams import Stream
from flowmate_airflow.steps.reading import Reading
from flowmate_airflow.steps.selection import SelectionError

TEXT = {"type": "string"}
CUSTOMER = {"type": "object", "properties": {"email": TEXT, "name": TEXT}}
ORDERS = Stream("orders", {"properties": {"id": TEXT, "total": TEXT, "customer": CUSTOMER}}, primary_key=("id",))
PEOPLE = Stream("people", {"properties": {"id": TEXT, "email": TEXT}}, primary_key=("id",))
STREAMS = [ORDERS, PEOPLE]


def _read(*maps: Mapping[str, Any] | None, streams: list[Stream] | None = STREAMS) -> dict[str, Any]:
    first, *rest = maps
    reading = Reading(dict(first) if first is not None else None).narrowed(*(dict(each or {}) for each in rest))
    return {each.stream.name: each.fields for each in reading.chosen(streams)}


def test_without_a_step_select_the_map_is_all_there_is() -> None:
    assert _read(None, {"orders": ["id", "total"]}) == {"orders": {"id", "total"}}


def test_what_the_step_leaves_out_cannot_be_switched_on() -> None:
    assert _read({"orders": ["id", "customer"]}, {"orders": ["total", "customer.email"], "people": "*"}) == {
        "orders": {"id", "customer.email"}
    }
    assert _read({"orders": ["customer.email"]}, {"orders": "*"}) == {"orders": {"id", "customer.email"}}
    assert _read({"*": ["*", "!email"]}, {"people": ["*"]}) == {"people": {"id"}}


def test_several_maps_all_count() -> None:
    assert _read({"*": "*"}, {"orders": ["total"], "people": "*"}, {"orders": "*"}) == {"orders": {"id", "total"}}


def test_nothing_in_common_is_told() -> None:
    with pytest.raises(SelectionError, match="no table is left"):
        _read({"orders": "*"}, {"people": "*"})


def test_a_source_that_cannot_tell_its_tables_is_narrowed_by_name() -> None:
    assert _read({"orders": ["a", "b"], "people": "*"}, {"orders": ["b", "c"]}, streams=None) == {"orders": {"b"}}
    assert _read(None, {"orders": "*"}, streams=None) == {"orders": None}
    assert _read({"*": "*"}, {"orders": ["a"]}, streams=None) == {"orders": {"a"}}


def test_cursors_are_those_of_tables_that_are_read() -> None:
    reading = Reading({"orders": "*", "people": "*"}, cursors={"people": "id"}).narrowed({"orders": "*"})
    assert [each.stream.name for each in reading.chosen(None)] == ["orders"]


FIELDS = ["id", "total", "customer", "customer.email", "customer.name"]
MAPS = st.dictionaries(
    st.sampled_from(["orders", "people"]), st.lists(st.sampled_from(FIELDS), min_size=1, unique=True), min_size=1
)


def _within(name: str, allowed: frozenset[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:end]) in allowed for end in range(1, len(parts) + 1))


@given(MAPS, MAPS)
def test_nothing_is_read_that_one_of_them_leaves_out(first: dict[str, Any], second: dict[str, Any]) -> None:
    people = Stream("people", ORDERS.schema, primary_key=("id",))
    try:
        both = _read(first, second, streams=[ORDERS, people])
    except SelectionError:
        assert not first.keys() & second.keys()
        return
    assert both.keys() == first.keys() & second.keys()
    for table, fields in both.items():
        for name in fields:
            assert _within(name, frozenset({*first[table], "id"}))
            assert _within(name, frozenset({*second[table], "id"}))
