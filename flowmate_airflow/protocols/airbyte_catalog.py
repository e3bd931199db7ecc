"""Airbyte catalogs: what a source offers, and what it or a destination is told to do with each stream."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flowmate_airflow.protocols.airbyte_names import StreamKey, dotted, dotted_paths, path_of
from flowmate_airflow.protocols.airbyte_schema import kept_fields
from flowmate_airflow.protocols.events import ProtocolError, RequestError
from flowmate_airflow.protocols.streams import OPEN_SCHEMA, Load, LoadMode, SelectedStream, Stream

_DESTINATION_MODES: Mapping[LoadMode | None, str] = {
    None: "append",
    "append": "append",
    "overwrite": "overwrite",
    "dedup": "append_dedup",
}


def streams_of_catalog(catalog: Mapping[str, Any]) -> list[Stream]:
    """Return the streams of a catalog.

    :raises ProtocolError: it is no catalog
    """
    entries = catalog.get("streams")
    if not isinstance(entries, list):
        raise ProtocolError("the CATALOG line of its output has no list `streams`")
    return [_stream(entry) for entry in entries]


def source_catalog(selected: Sequence[SelectedStream]) -> dict[str, Any]:
    """Return the configured catalog that tells a source what to read.

    :raises RequestError: a stream cannot be read as it is asked for
    """
    return {"streams": [_source_entry(each) for each in selected]}


def destination_catalog(streams: Iterable[tuple[StreamKey, Stream]], load: Load) -> dict[str, Any]:
    """Return the configured catalog that tells a destination what it will get.

    :param streams: the streams, and how each is called there
    :raises RequestError: one cannot be stored as it is asked for
    """
    return {"streams": [_destination_entry(key, stream, load) for key, stream in streams]}


def merged(name: str, streams: Sequence[Stream]) -> Stream:
    """Return the one stream that several become which go into one table."""
    first = streams[0]
    if len(streams) == 1:
        return Stream(name, first.schema, first.primary_key, first.cursor)
    properties: dict[str, Any] = {}
    for stream in streams:
        for field, schema in (stream.schema.get("properties") or {}).items():
            properties[field] = schema if properties.get(field, schema) == schema else {}
    keys = {stream.primary_key for stream in streams}
    key = first.primary_key if len(keys) == 1 else ()
    return Stream(name, {**OPEN_SCHEMA, "properties": properties}, key)


def _stream(entry: Any) -> Stream:
    name = entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not name:
        raise ProtocolError("the CATALOG line of its output has a stream without a `name`")
    schema = entry.get("json_schema")
    modes = entry.get("supported_sync_modes")
    return Stream(
        name=name,
        schema=schema if isinstance(schema, dict) else dict(OPEN_SCHEMA),
        primary_key=dotted_paths(entry.get("source_defined_primary_key")),
        cursor=dotted(entry.get("default_cursor_field")),
        namespace=entry.get("namespace") or None,
        incremental=isinstance(modes, list) and "incremental" in modes,
        raw=entry,
    )


def _source_entry(selected: SelectedStream) -> dict[str, Any]:
    stream = selected.stream
    offered = stream.raw if isinstance(stream.raw, Mapping) else _offer(stream)
    schema = stream.schema if selected.fields is None else kept_fields(stream.schema, selected.fields)
    incremental = selected.mode == "incremental"
    cursor = selected.cursor or stream.cursor
    if incremental:
        _check_incremental(stream, offered, selected.cursor)
    return {
        "stream": {**offered, "json_schema": schema},
        "sync_mode": "incremental" if incremental else "full_refresh",
        "cursor_field": path_of(cursor, stream.schema) if cursor else [],
        "destination_sync_mode": "append",
        "primary_key": [path_of(name, stream.schema) for name in stream.primary_key],
        **_generation(0, 0),
    }


def _check_incremental(stream: Stream, offered: Mapping[str, Any], cursor: str | None) -> None:
    if not stream.incremental:
        raise RequestError(
            f"the stream `{stream.name}` cannot be read incrementally: its source reads all of it each time"
        )
    if offered.get("source_defined_cursor"):
        if cursor not in (None, stream.cursor):
            own = f"`{stream.cursor}`" if stream.cursor else "its own"
            raise RequestError(f"the stream `{stream.name}` has {own} as cursor, which cannot be changed to `{cursor}`")
    elif not (cursor or stream.cursor):
        raise RequestError(
            f"the stream `{stream.name}` needs a cursor to be read incrementally: a field that grows with each change"
        )


def _offer(stream: Stream) -> dict[str, Any]:
    """Return a stream's description where its source's own is not known."""
    offer: dict[str, Any] = {"name": stream.name, "json_schema": stream.schema, "supported_sync_modes": _modes(stream)}
    if stream.namespace:
        offer["namespace"] = stream.namespace
    if stream.primary_key:
        offer["source_defined_primary_key"] = [path_of(name, stream.schema) for name in stream.primary_key]
    if stream.cursor:
        offer["default_cursor_field"] = path_of(stream.cursor, stream.schema)
    return offer


def _modes(stream: Stream) -> list[str]:
    return ["full_refresh", "incremental"] if stream.incremental else ["full_refresh"]


def _destination_entry(key: StreamKey, stream: Stream, load: Load) -> dict[str, Any]:
    schema = {"type": "object", "properties": {}, **stream.schema}
    primary = [path_of(name, schema) for name in stream.primary_key or load.key]
    if load.mode == "dedup" and not primary:
        raise RequestError(
            f"the stream `{key.name}` has no primary key, so that its records cannot be kept one a key: name one by "
            "`key`, or load it by `append`"
        )
    # A destination of the newer kind deletes what is older than the minimal generation, so it must grow.
    generation = _generation(*[time.time_ns() // 1_000_000] * 2) if load.mode == "overwrite" else _generation(0, 0)
    return {
        "stream": {
            **key.descriptor,
            "json_schema": schema,
            "supported_sync_modes": ["full_refresh", "incremental"],
            "source_defined_primary_key": primary,
        },
        "sync_mode": "full_refresh" if load.mode == "overwrite" else "incremental",
        "destination_sync_mode": _DESTINATION_MODES[load.mode],
        "primary_key": primary,
        "cursor_field": path_of(stream.cursor, schema) if stream.cursor else [],
        **generation,
    }


def _generation(current: int, minimum: int) -> dict[str, int]:
    return {"generation_id": current, "minimum_generation_id": minimum, "sync_id": current}
