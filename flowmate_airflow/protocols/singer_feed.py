"""What a Singer target reads: messages become RECORD lines behind the SCHEMA line of their table.

Messages of a stream that nobody declared wait, a few hundred at most, until their table's columns can be told.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from flowmate_airflow.protocols.base import Item
from flowmate_airflow.protocols.events import ErrorEvent, Event, LogEvent, RequestError
from flowmate_airflow.protocols.singer_tables import Table, Unfit
from flowmate_airflow.protocols.streams import Load, Stream

AHEAD_RECORDS = 500
AHEAD_BYTES = 1024 * 1024
"""How many messages, and bytes of them, are looked at before the columns of an undeclared table are told."""
MAX_TABLES = 10_000
MAX_IDS = 100_000
"""External ids that are remembered, to tell which messages a target's results are about."""
MAX_TROUBLE = 100_000
"""Failed messages that wait to be told."""


class Feed:
    """Turns the input of a target into Singer lines.

    :param load: how the target stores
    :param default_table: the table of messages that carry no stream
    :param strict: as :class:`Table` has it
    :param stop_at_failure: whether no more is fed once a message cannot be stored: the step fails with it
    """

    def __init__(self, load: Load, default_table: str, *, strict: bool = False, stop_at_failure: bool = False) -> None:
        self.complete = False
        self._stop_at_failure = stop_at_failure
        self._failed = False
        self.ids: dict[tuple[str, str], str | None] = {}
        self._load = load
        self._strict = strict
        self._default = load.table or default_table
        self._tables: dict[str, Table] = {}
        self._by_stream: dict[str | None, Table] = {}
        self._ahead: list[tuple[Table, bytes]] = []
        self._ahead_bytes = 0
        self._trouble: deque[Event] = deque()
        self._warned: set[str] = set()
        self._lock = threading.Lock()

    def lines(self, items: Iterable[Item]) -> Iterator[bytes]:
        """Yield the lines for the items.

        :raises RequestError: nothing can be stored like this
        """
        for item in items:
            if item.__class__ is bytes:
                yield from self._message(item)
                if self._failed:
                    break
            elif isinstance(item, Stream):
                yield from self._declare(item)
            else:
                yield from self._flush()
                yield _line({"type": "STATE", "value": item.state})  # type: ignore[union-attr]
        yield from self._flush()
        self.complete = True

    def trouble(self) -> list[Event]:
        """Return what happened in the feeding since this was asked last; from any thread."""
        if not self._trouble:
            return []
        with self._lock:
            told, self._trouble = list(self._trouble), deque()
        return told

    def _declare(self, stream: Stream) -> Iterable[bytes]:
        lines = list(self._flush())
        table = self._table(stream.name)
        if not self._load.key and stream.primary_key:
            table.key = self._key(table, stream.primary_key)
        table.declare(stream)
        if table.declared:
            lines.append(self._schema_line(table))
        return filter(None, lines)

    def _message(self, line: bytes) -> Iterable[bytes]:
        try:
            message = orjson.loads(line)
            data, metadata = message["data"], message.get("metadata")
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise RequestError(f"a message of the step's input cannot be read: {error}") from None
        if metadata.__class__ is not dict:  # a component may put anything there
            metadata = None
        stream = metadata.get("stream") if metadata else None
        try:
            table = self._by_stream.get(stream) or self._table(stream)
        except TypeError:
            return self._fail(message, "its `metadata.stream` is no text")
        if data.__class__ is not dict:
            return self._fail(message, "its data is no object; a target stores records, so `map` it to one before")
        for name in table.key:
            if data.get(name) is None:
                return self._fail(message, f"it has no `{name}`, which is a key field of the table `{table.name}`")
        for name in table.required:
            if name not in data:
                return self._fail(message, f"it has no `{name}`, which its stream `{table.name}` requires")
        external = data.get("externalId")
        if external is not None:
            self._remember(table, external, message)
        return self._record(table, message, data, metadata)

    def _record(self, table: Table, message: Any, data: dict[str, Any], metadata: Any) -> Iterable[bytes]:
        schema = None
        if not table.fits(data):
            try:
                data, new = table.adapt(data)
            except Unfit as error:
                return self._fail(message, str(error))
            if table.declared and new:
                self._warn_of_fields(table, new)
            if table.sent:
                schema = table.schema_line()
        extracted = metadata.get("extracted_at") if metadata else None
        end = b"}\n" if extracted is None else b',"time_extracted":' + orjson.dumps(extracted) + b"}\n"
        line = table.record_head + orjson.dumps(data) + end
        if table.sent:
            return (line,) if schema is None else (schema, line)
        self._ahead.append((table, line))
        self._ahead_bytes += len(line)
        if len(self._ahead) >= AHEAD_RECORDS or self._ahead_bytes >= AHEAD_BYTES:
            return self._flush()
        return ()

    def _flush(self) -> Iterator[bytes]:
        """Yield the lines that waited, each table's SCHEMA before its first."""
        waiting, self._ahead, self._ahead_bytes = self._ahead, [], 0
        for table, line in waiting:
            if not table.sent:
                yield self._schema_line(table)
            yield line

    def _schema_line(self, table: Table) -> bytes:
        if self._load.mode == "dedup" and not table.key:
            raise RequestError(
                f"table `{table.name}` cannot keep one record a key: its stream declares no primary key; "
                "name the fields in the step's `load: {key: [...]}`"
            )
        return table.schema_line() or b""

    def _table(self, stream: str | None) -> Table:
        if stream is not None and not isinstance(stream, str):
            raise TypeError("a stream's name is text")
        name = self._load.table or stream or self._default
        table = self._tables.get(name)
        if table is None:
            if len(self._tables) >= MAX_TABLES:
                raise RequestError(f"the step's input has more than {MAX_TABLES:,} streams")
            table = self._tables[name] = Table(name, strict=self._strict)
            table.key = self._key(table, self._load.key)
        self._by_stream[stream] = table
        return table

    def _key(self, table: Table, key: tuple[str, ...]) -> tuple[str, ...]:
        if self._load.mode == "append":
            return ()  # Singer's word for it: a target that gets no key has nothing to replace a record by
        nested = [name for name in key if "." in name and not self._load.key]
        if nested:
            raise RequestError(
                f"table `{table.name}`: the key field `{nested[0]}` lies in an object, but a Singer target knows only "
                "fields of the record itself; `map` it to one, and name that in the step's `load: {key: [...]}`"
            )
        return key

    def _remember(self, table: Table, external: Any, message: Any) -> None:
        if len(self.ids) >= MAX_IDS or not isinstance(external, str | int):
            return
        place = (table.name.casefold(), str(external))
        self.ids[place] = None if place in self.ids else str(message.get("id"))  # None: two messages have it

    def _fail(self, message: Any, text: str) -> Iterable[bytes]:
        if len(self._trouble) >= MAX_TROUBLE:
            raise RequestError(f"more than {MAX_TROUBLE:,} messages cannot be stored, among them: {text}")
        self._tell(ErrorEvent(text, "config", str(message.get("id"))))
        self._failed = self._stop_at_failure
        return ()

    def _warn_of_fields(self, table: Table, new: list[str]) -> None:
        if table.name not in self._warned:
            self._warned.add(table.name)
            names = ", ".join(f"`{name}`" for name in new[:5]) + (" …" if len(new) > 5 else "")
            text = f"records of `{table.name}` have fields that their source did not declare: {names}; they are added"
            self._tell(LogEvent(logging.WARNING, text))

    def _tell(self, event: Event) -> None:
        with self._lock:
            self._trouble.append(event)


def _line(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
