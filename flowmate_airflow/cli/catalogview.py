"""A source's catalog for people and for programs: its tables and fields, and what a step reads of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, TypeAlias

from flowmate_airflow.cli.common import count
from flowmate_airflow.protocols.streams import SelectedStream, Stream, SyncMode
from flowmate_airflow.steps.schemafields import Fields, fields_of
from flowmate_airflow.steps.selection import SelectionError, Tables, kept_always, mode_of, select_streams
from flowmate_airflow.steps.steplog import clean

MAX_ROWS = 150
"""How many fields are listed when nobody asked for a table: more would scroll the tables away."""
_WIDEST = 60

Read: TypeAlias = Literal["yes", "no", "partly", "always"]
Selected: TypeAlias = Mapping[int, SelectedStream]
"""What a step reads, by the identity of the stream."""


@dataclass(frozen=True, slots=True)
class Row:
    """One field of a table."""

    name: str
    type: str
    read: Read
    notes: tuple[str, ...]


def selection_of(
    field_map: Mapping[str, Any] | None, streams: Sequence[Stream], mode: SyncMode, cursors: Mapping[str, str]
) -> tuple[Selected, tuple[str, ...]]:
    """Return what a step reads, and what its `select` and `sync` name that there is not.

    Where something is wrong, the tables that the map has right are still told.
    """
    problems: tuple[str, ...] = ()
    try:
        found = select_streams(field_map, streams, mode=mode, cursors=cursors)
    except SelectionError as error:
        found, problems = list(_right(field_map or {}, streams, mode)), error.problems
    return {id(each.stream): each for each in found}, problems


def overview(tables: Tables, selected: Selected) -> Iterator[str]:
    """Yield a line for each table."""
    head = ("TABLE", "FIELDS", "READ", "MODE", "KEY", "CURSOR")
    lines = [head, *(_summary(tables, stream, selected.get(id(stream))) for stream in tables.streams)]
    yield from aligned(lines)


def details(tables: Tables, stream: Stream, selected: Selected) -> Iterator[str]:
    """Yield a line for each field of a table."""
    yield f"{clean(tables.name(stream), _WIDEST)}:"
    lines = [
        (row.name, row.type, {"yes": "read", "no": "-"}.get(row.read, row.read), ", ".join(row.notes))
        for row in rows(stream, selected.get(id(stream)))
    ]
    yield from (f"  {line}" for line in aligned(lines))
    if not lines:
        yield "  its fields are not described: any may come"


def is_short(streams: Sequence[Stream]) -> bool:
    """Whether the fields of all tables can be listed at once."""
    every = (field for stream in streams for field in fields_of(stream.schema).walk())
    return sum(1 for _ in islice(every, MAX_ROWS + 1)) <= MAX_ROWS


def as_json(tables: Tables, stream: Stream, selected: Selected) -> dict[str, Any]:
    """Return a table for programs."""
    chosen = selected.get(id(stream))
    return {
        "name": stream.name,
        "namespace": stream.namespace,
        "select_as": tables.name(stream),
        "selected": chosen is not None,
        "mode": chosen.mode if chosen else None,
        "incremental": stream.incremental,
        "key": list(stream.primary_key),
        "cursor": (chosen and chosen.cursor) or stream.cursor,
        "fields": [
            {"name": row.name, "type": row.type, "read": row.read, "notes": list(row.notes)}
            for row in rows(stream, chosen)
        ],
    }


def rows(stream: Stream, chosen: SelectedStream | None) -> Iterator[Row]:
    """Yield the fields of a table, an object before its fields."""
    cursor = (chosen and chosen.cursor) or stream.cursor
    for name, field, read in _reads(fields_of(stream.schema).walk(), stream, chosen):
        notes = [note for note, names in (("key", stream.primary_key), ("cursor", (cursor,))) if name in names]
        yield Row(name, type_of(field), read, tuple(notes))


def _reads(
    fields: Iterable[tuple[str, Fields]], stream: Stream, chosen: SelectedStream | None
) -> Iterator[tuple[str, Fields, Read]]:
    """Yield fields with whether they are read."""
    always = kept_always(stream, chosen.cursor if chosen else None)
    wanted = chosen.fields if chosen else frozenset()
    above = {parent for name in (wanted or ()) for parent in _parents(name)}
    for name, field in fields:
        if chosen is not None and name in always:
            read: Read = "always"
        elif wanted is None or name in wanted or any(parent in wanted for parent in _parents(name)):
            read = "yes"
        else:
            read = "partly" if name in above else "no"
        yield name, field, read


def type_of(field: Fields) -> str:
    """Return a field's type in words."""
    text = field.describe()
    return f"{text} or null" if field.nullable and text != "anything" else text


def aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield lines whose columns stand below each other; texts of the source cannot steer the terminal."""
    cleaned = [[clean(cell, _WIDEST) for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*cleaned, strict=True)]
    for line in cleaned:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()


def _summary(tables: Tables, stream: Stream, chosen: SelectedStream | None) -> tuple[str, ...]:
    fields = fields_of(stream.schema).children
    number = len(fields)
    if chosen is None:
        read, mode = "no", "can be incremental" if stream.incremental else "full only"
    else:
        some = sum(read != "no" for _, _, read in _reads(fields.items(), stream, chosen))
        read = "all" if chosen.fields is None else f"{some:,}"
        mode = chosen.mode
        if mode == "full" and mode_of(stream, "incremental", stream.cursor) == "full" and stream.incremental:
            mode = "full (incremental with a cursor under `sync`)"
    cursor = (chosen and chosen.cursor) or stream.cursor or "-"
    return (
        tables.name(stream),
        f"{number:,}" if number else "any",
        read,
        mode,
        ", ".join(stream.primary_key) or "-",
        cursor,
    )


def _right(field_map: Mapping[str, Any], streams: Sequence[Stream], mode: SyncMode) -> Iterator[SelectedStream]:
    for name, value in field_map.items():
        try:
            yield from select_streams({name: value}, streams, mode=mode)
        except SelectionError:
            continue


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def totals(streams: Sequence[Stream], selected: Selected) -> str:
    """Return how much there is, in words."""
    fields = sum(len(fields_of(stream.schema).children) for stream in streams)
    return f"{count(len(streams), 'table')} with {count(fields, 'field')}, {len(selected):,} read"
