"""Streams: the tables a source can read, as every protocol describes them, and which of their fields are wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

JsonSchema: TypeAlias = Mapping[str, Any]
SyncMode: TypeAlias = Literal["full", "incremental"]
LoadMode: TypeAlias = Literal["append", "overwrite", "dedup"]

OPEN_SCHEMA: JsonSchema = {"type": "object", "additionalProperties": True}
"""What stands for a schema where nobody declared one."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One table.

    :param name: as messages carry it in `metadata.stream`
    :param schema: JSON Schema of a record
    :param primary_key: the fields that identify a record, each with dots where it is nested
    :param cursor: the field that grows with each change, for incremental reading
    :param namespace: the schema or account that the table belongs to, for sources that have several
    :param automatic: fields that are always read, beside the keys
    :param incremental: whether the source can read only what is new
    :param raw: the protocol's own description, which is handed back to the source
    """

    name: str
    schema: JsonSchema = field(default_factory=lambda: dict(OPEN_SCHEMA))
    primary_key: tuple[str, ...] = ()
    cursor: str | None = None
    namespace: str | None = None
    automatic: frozenset[str] = frozenset()
    incremental: bool = False
    raw: Any = None

    @property
    def key(self) -> str:
        """What tells it from all other streams: its name, after its namespace where it has one."""
        return f"{self.namespace}.{self.name}" if self.namespace else self.name

    def as_json(self) -> dict[str, Any]:
        """Return the stream as it stands in a batch's value: without what only its source needs."""
        value: dict[str, Any] = {"name": self.name, "schema": dict(self.schema)}
        if self.primary_key:
            value["primary_key"] = list(self.primary_key)
        if self.cursor:
            value["cursor"] = self.cursor
        if self.namespace:
            value["namespace"] = self.namespace
        return value


def stream_from_json(value: Mapping[str, Any]) -> Stream:
    """Return a stream from what :meth:`Stream.as_json` gave."""
    return Stream(
        name=value["name"],
        schema=value.get("schema") or dict(OPEN_SCHEMA),
        primary_key=tuple(value.get("primary_key") or ()),
        cursor=value.get("cursor"),
        namespace=value.get("namespace"),
    )


@dataclass(frozen=True, slots=True)
class SelectedStream:
    """A stream that shall be read.

    :param fields: the fields wanted, keys and automatic ones among them, with dots where they are nested; None: all
    :param mode: all records, or only what is new
    :param cursor: the field that tells what is new; None: the source's own choice
    """

    stream: Stream
    fields: frozenset[str] | None = None
    mode: SyncMode = "full"
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """How a target shall store records.

    :param mode: `append` adds, `overwrite` replaces the table, `dedup` keeps one record a primary key. None: the
        target's own way
    :param table: the table for records that carry no stream, or for all of them
    :param key: the primary key, where the records' stream declares none
    """

    mode: LoadMode | None = None
    table: str | None = None
    key: tuple[str, ...] = ()
