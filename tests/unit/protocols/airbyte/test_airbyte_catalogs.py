"""Configured catalogs: what sources and destinations are told of their streams."""

from __future__ import annotations

from typing import Any

import pytest
from airbyte_lines_of import file_of

from flowmate_airflow.protocols.airbyte_destination import AirbyteDestination
from flowmate_airflow.protocols.airbyte_source import AirbyteSource
from flowmate_airflow.protocols.base import Request
from flowmate_airflow.protocols.events import RequestError
from flowmate_airflow.protocols.streams import Load, SelectedStream, Stream

ADDRESS = {"type": ["null", "object"], "properties": {"city": {}, "zip": {}}, "required": ["city", "zip"]}
SCHEMA = {
    "type": "object",
    "required": ["id", "name"],
    "properties": {
        "id": {"type": "integer"},
        "name": {"type": "string"},
        "address": ADDRESS,
        "lines": {"type": "array", "items": {"type": "object", "properties": {"sku": {}, "price": {}}}},
        "owner": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"mail": {}, "phone": {}}}]},
        "a.b": {"type": "string"},
    },
}


def offered(**more: Any) -> Stream:
    raw = {"name": "users", "json_schema": SCHEMA, "supported_sync_modes": ["full_refresh", "incremental"], "is_odd": 1}
    facts: dict[str, Any] = {"primary_key": ("id",), "cursor": "updated_at", "incremental": True, **more}
    return Stream("users", SCHEMA, raw={**raw, **facts.pop("raw", {})}, **facts)


def read_entry(selected: SelectedStream) -> Any:
    return file_of(AirbyteSource(Request(selected=[selected])).launch(), "catalog")["streams"][0]


def write_entries(*streams: Stream, **load: Any) -> Any:
    request = Request(incoming=streams, load=Load(**load))
    return file_of(AirbyteDestination(request).launch(), "catalog")["streams"]


def test_a_full_read_hands_the_stream_back_as_it_was_offered() -> None:
    stream = offered()
    entry = read_entry(SelectedStream(stream))
    assert entry["stream"] == stream.raw
    assert entry["sync_mode"] == "full_refresh"
    assert entry["primary_key"] == [["id"]]
    assert entry["destination_sync_mode"] == "append"
    assert entry["minimum_generation_id"] == 0


@pytest.mark.parametrize(
    ("chosen", "cursor"),
    [(None, ["updated_at"]), ("id", ["id"]), ("address.city", ["address", "city"]), ("a.b", ["a.b"])],
)
def test_an_incremental_read_names_its_cursor_as_a_path(chosen: str | None, cursor: list[str]) -> None:
    entry = read_entry(SelectedStream(offered(), mode="incremental", cursor=chosen))
    assert (entry["sync_mode"], entry["cursor_field"]) == ("incremental", cursor)


def test_only_wanted_fields_stay_in_the_schema() -> None:
    fields = frozenset({"id", "address.city", "lines.sku", "owner.mail", "a.b"})
    schema = read_entry(SelectedStream(offered(), fields))["stream"]["json_schema"]
    assert schema["required"] == ["id"]
    assert sorted(schema["properties"]) == ["a.b", "address", "id", "lines", "owner"]
    assert schema["properties"]["address"] == {
        "type": ["null", "object"],
        "properties": {"city": {}},
        "required": ["city"],
    }
    assert list(schema["properties"]["lines"]["items"]["properties"]) == ["sku"]
    assert list(schema["properties"]["owner"]["anyOf"][1]["properties"]) == ["mail"]


def test_a_field_with_fields_below_is_kept_whole() -> None:
    schema = read_entry(SelectedStream(offered(), frozenset({"address", "address.city"})))["stream"]["json_schema"]
    assert schema["properties"] == {"address": ADDRESS}


def test_a_stream_whose_own_description_is_gone_is_described_anew() -> None:
    stream = Stream("users", SCHEMA, ("address.zip",), "updated_at", "shop", incremental=True)
    entry = read_entry(SelectedStream(stream, mode="incremental"))["stream"]
    assert (entry["name"], entry["namespace"], entry["json_schema"]) == ("users", "shop", SCHEMA)
    assert entry["supported_sync_modes"] == ["full_refresh", "incremental"]
    assert entry["source_defined_primary_key"] == [["address", "zip"]]
    assert entry["default_cursor_field"] == ["updated_at"]


@pytest.mark.parametrize(
    ("selected", "told"),
    [
        (SelectedStream(offered(incremental=False), mode="incremental"), "cannot be read incrementally"),
        (SelectedStream(offered(cursor=None), mode="incremental"), "needs a cursor"),
        (
            SelectedStream(offered(raw={"source_defined_cursor": True}), mode="incremental", cursor="id"),
            "`updated_at` as cursor",
        ),
    ],
)
def test_a_read_that_the_source_cannot_do_is_refused(selected: SelectedStream, told: str) -> None:
    with pytest.raises(RequestError, match=f"`users`.*{told}"):
        read_entry(selected)


def test_a_cursor_of_the_sources_own_needs_no_name() -> None:
    stream = offered(cursor=None, raw={"source_defined_cursor": True})
    assert read_entry(SelectedStream(stream, mode="incremental"))["cursor_field"] == []


@pytest.mark.parametrize(
    ("mode", "expected"),
    [(None, "append"), ("append", "append"), ("overwrite", "overwrite"), ("dedup", "append_dedup")],
)
def test_a_destination_is_told_how_to_store(mode: Any, expected: str) -> None:
    (entry,) = write_entries(Stream("users", SCHEMA, ("id", "address.zip"), "updated_at", "shop"), mode=mode)
    assert entry["destination_sync_mode"] == expected
    assert entry["primary_key"] == [["id"], ["address", "zip"]]
    assert entry["cursor_field"] == ["updated_at"]
    assert (entry["stream"]["name"], entry["stream"]["namespace"]) == ("users", "shop")
    assert entry["stream"]["json_schema"] == SCHEMA


def test_overwriting_begins_a_generation_that_all_before_is_older_than() -> None:
    (first,) = write_entries(Stream("users"), mode="overwrite")
    (added,) = write_entries(Stream("users"), mode="append")
    assert first["generation_id"] == first["minimum_generation_id"] > added["generation_id"]
    assert added["minimum_generation_id"] == 0


def test_one_record_a_key_needs_a_key() -> None:
    with pytest.raises(RequestError, match="`users` has no primary key"):
        write_entries(Stream("users"), mode="dedup")
    (entry,) = write_entries(Stream("users"), mode="dedup", key=("id",))
    assert entry["primary_key"] == [["id"]]


def test_a_key_of_the_step_does_not_replace_the_streams_own() -> None:
    (entry,) = write_entries(Stream("users", primary_key=("uuid",)), mode="dedup", key=("id",))
    assert entry["primary_key"] == [["uuid"]]


def test_all_streams_go_into_the_table_that_is_named() -> None:
    one = Stream("a", {"type": "object", "properties": {"id": {"type": "integer"}, "x": {"type": "string"}}}, ("id",))
    other = Stream(
        "b", {"type": "object", "properties": {"id": {"type": "integer"}, "x": {"type": "integer"}}}, ("id",)
    )
    (entry,) = write_entries(one, other, table="all")
    assert entry["stream"]["name"] == "all"
    assert entry["stream"]["json_schema"]["properties"] == {"id": {"type": "integer"}, "x": {}}
    assert entry["primary_key"] == [["id"]]


def test_a_destination_always_gets_properties() -> None:
    (entry,) = write_entries(Stream("users"))
    assert entry["stream"]["json_schema"]["properties"] == {}
    (entry,) = write_entries(table="users")
    assert entry["stream"]["name"] == "users"
