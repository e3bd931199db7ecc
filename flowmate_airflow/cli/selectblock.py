"""A `select:` block with all that a source has, to be cut down by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import yaml

from flowmate_airflow.cli.catalogview import type_of
from flowmate_airflow.flows.fieldmaps import ALL, OFF
from flowmate_airflow.protocols.streams import Stream
from flowmate_airflow.steps.schemafields import fields_of
from flowmate_airflow.steps.selection import Tables, kept_always
from flowmate_airflow.steps.steplog import clean

MAX_FIELDS = 200
"""Fields of one table that are listed one by one."""
_MAX_COMMENT = 60


def select_block(tables: Tables, streams: Sequence[Stream]) -> Iterator[str]:
    """Yield the lines of the block.

    :param streams: the tables that it shall have
    """
    yield "select:"
    for stream in streams:
        yield from _table(tables.name(stream), stream)


def _table(name: str, stream: Stream) -> Iterator[str]:
    fields = fields_of(stream.schema).children
    # What a field map reads as a sign of its own can be chosen by `"*"` only.
    listed = {field: about for field, about in fields.items() if field.strip() and field != ALL and field[:1] != OFF}
    if not listed or len(listed) > MAX_FIELDS or len(listed) < len(fields):
        number = f"{len(fields):,} fields" if fields else "its fields are not described"
        yield f'  {_scalar(name)}: "*"  # {number}'
        return
    always = kept_always(stream)
    yield f"  {_scalar(name)}:"
    for field, about in listed.items():
        note = f"{type_of(about)}, always read" if field in always else type_of(about)
        yield f"    - {_scalar(field)}  # {clean(note, _MAX_COMMENT)}"


def _scalar(text: str) -> str:
    """Return a text as YAML on one line, with quotes where it takes some."""
    if not text.isprintable():
        return json.dumps(text)
    dumped: str = yaml.dump(text, Dumper=yaml.CSafeDumper, allow_unicode=False, width=10_000)
    return dumped.removesuffix("\n").removesuffix("\n...")
