"""The streams of the messages that a target gets, for protocols that must know them before the first message."""

from __future__ import annotations

from typing import Any

import orjson

from flowmate_airflow.batches.batch import decoded
from flowmate_airflow.protocols.singer_tables import Table, Unfit
from flowmate_airflow.protocols.streams import Stream
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.inputs import Input


def incoming_streams(source: Input, default: str) -> tuple[Stream, ...]:
    """Return the streams of a step's input: those declared, and what the records show of all others.

    The input is read once more where some of its messages are of a stream that nobody declared.

    :param default: the name of the stream of messages that have none
    :raises ConfigFailure: a stream has too many fields
    """
    declared = {stream.name: stream for stream in source.streams}
    if source.is_declared:
        return tuple(declared.values())
    tables: dict[str, Table] = {}
    for line in source.read():
        message = decoded(line)
        name = _stream_name(message) or default
        if name in declared or not isinstance(message["data"], dict):
            continue
        table = tables.get(name) or tables.setdefault(name, Table(name))
        try:
            if not table.fits(message["data"]):
                table.adapt(message["data"])
        except Unfit as error:
            raise ConfigFailure(str(error)) from None
    seen = {name: Stream(name, _schema(table)) for name, table in tables.items()}
    return tuple({**declared, **seen}.values())


def _stream_name(message: dict[str, Any]) -> str | None:
    metadata = message.get("metadata")
    name = metadata.get("stream") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else None


def _schema(table: Table) -> dict[str, Any]:
    schema: dict[str, Any] = orjson.loads(table.schema_line() or b"{}").get("schema", {})
    return schema
