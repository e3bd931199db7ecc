"""Protocol `airbyte`, sources: `spec`, `check`, `discover` and `read`."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from flowmate_airflow.protocols.airbyte_base import AirbyteConversation
from flowmate_airflow.protocols.airbyte_catalog import source_catalog
from flowmate_airflow.protocols.airbyte_counts import told_count
from flowmate_airflow.protocols.airbyte_names import StreamKey
from flowmate_airflow.protocols.airbyte_schema import kept_fields
from flowmate_airflow.protocols.airbyte_state import SourceState
from flowmate_airflow.protocols.base import Item, Launch, Request
from flowmate_airflow.protocols.events import (
    ErrorEvent,
    Event,
    LogEvent,
    MessageEvent,
    ProgressEvent,
    ProtocolError,
    StateEvent,
    StreamEvent,
)
from flowmate_airflow.protocols.streams import SelectedStream, Stream

MAX_STREAMS = 100_000
"""Streams that a source may speak of."""


class AirbyteSource(AirbyteConversation):
    """Talks to an Airbyte source.

    :raises RequestError: the stored state is not one of an Airbyte source
    """

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._selected = {_key(each.stream): _as_read(each) for each in request.selected or ()}
        self._state = SourceState(request.state if request.verb == "run" else None, self._selected)
        self._counts: dict[tuple[str, str | None], int] = {}
        self._at_state: dict[StreamKey | None, int] = {}
        self._miscounted: set[StreamKey | None] = set()
        self._status: dict[StreamKey, str] = {}
        self._started: set[StreamKey] = set()
        self._takers |= {"RECORD": self._record, "STATE": self._take_state}

    def launch(self) -> Launch:
        """See :meth:`Conversation.launch`.

        :raises RequestError: a stream cannot be read as it is asked for
        """
        if self._request.verb != "run":
            return self._verb_launch()
        if self._request.selected is None:
            raise ValueError("an Airbyte source is read by a catalog: `selected` must name its streams")
        files: dict[str, Any] = {"catalog": source_catalog(self._request.selected)}
        state = self._state.for_source()
        return self._start("read", files if state is None else files | {"state": state})

    def feed(self, items: Iterable[Item]) -> Iterator[bytes]:
        """See :meth:`Conversation.feed`. A source takes no input."""
        return iter(())

    def end(self, code: int, files: Mapping[str, bytes]) -> Iterable[Event]:
        """See :meth:`Conversation.end`."""
        events = list(super().end(code, files))
        if code != 0 or self._request.verb != "run":
            return events
        if not self._failed:
            events += self._unfinished()
        if self._status:
            names = {key.name for key in self._status} | {name for name, _ in self._counts}
            silent = sorted(key.text for key in self._selected if key.name not in names)
            if silent:
                events.append(LogEvent(logging.WARNING, f"the source said nothing of the streams {', '.join(silent)}"))
        return events

    def _unfinished(self) -> list[Event]:
        """Return the error that an end with exit code 0 hides."""
        unfinished = sorted((key for key, status in self._status.items() if status != "COMPLETE"), key=_text)
        if not unfinished:
            return []
        names = ", ".join(key.text for key in unfinished)
        if not self._started.intersection(unfinished):
            text = f"it does not know the streams {names} any more, or cannot read them: discover its streams anew"
            return [ErrorEvent(text, "config")]
        return [ErrorEvent(f"it ended as if all were well, but did not complete the streams {names}", "transient")]

    def _record(self, value: dict[str, Any]) -> Iterable[Event]:
        try:
            record = value["record"]
            name = record["stream"]
            data = record["data"]
        except (KeyError, TypeError):
            raise ProtocolError("a RECORD line of its output has no `record` with `stream` and `data`") from None
        if type(data) is not dict:
            raise ProtocolError(f"a record of the stream `{name}` is no object")
        namespace = record.get("namespace") or None
        metadata = {"stream": name, "extracted_at": record.get("emitted_at")}
        if namespace is not None:
            metadata["namespace"] = namespace
        if record.get("meta"):  # what the source had to change in the record
            metadata["meta"] = record["meta"]
        event = MessageEvent({"data": data, "metadata": metadata})
        try:
            self._counts[name, namespace] += 1
        except (KeyError, TypeError):
            return (*self._first_record(name, namespace), event)
        return (event,)

    def _first_record(self, name: Any, namespace: Any) -> list[Event]:
        """Return what is said of a stream before its first record."""
        if not isinstance(name, str) or not isinstance(namespace, str | None):
            raise ProtocolError("a RECORD line of its output has a `stream` or a `namespace` that is no text")
        _bounded(self._counts)
        self._counts[name, namespace] = 1
        stream = self._stream_of(StreamKey(name, namespace))
        if stream is not None:
            return [StreamEvent(stream)]
        text = f"the source sends the stream `{name}`, which its catalog does not have"
        return [LogEvent(logging.WARNING, text), StreamEvent(Stream(name, namespace=namespace))]

    def _stream_of(self, key: StreamKey) -> Stream | None:
        """Return what is known of a stream; many sources leave the namespace out of their records."""
        found = self._selected.get(key)
        if found is None:
            alike = [stream for each, stream in self._selected.items() if each.name == key.name]
            found = alike[0] if len(alike) == 1 else None
        return found

    def _take_state(self, value: dict[str, Any]) -> Iterable[Event]:
        entry = value.get("state")
        if not isinstance(entry, dict):
            raise ProtocolError("a STATE line of its output has no object `state`")
        key = self._state.take(entry)
        _bounded(self._at_state)
        warnings = self._compare(key, told_count(entry, "sourceStats"))
        return (*warnings, StateEvent(self._state.whole()))

    def _compare(self, key: StreamKey | None, told: int | None) -> list[Event]:
        """Compare how many records a source says it sent since its last state with how many came."""
        count = sum(self._counts.values()) if key is None else self._count(key)
        seen = count - self._at_state.get(key, 0)
        self._at_state[key] = count
        if told is None or told == seen:
            return []
        where = "all streams" if key is None else f"the stream {key.text}"
        if told > seen:
            raise ProtocolError(
                f"records of {where} were lost: the source says it sent {told:,} since its last state, {seen:,} came"
            )
        if key in self._miscounted:
            return []
        self._miscounted.add(key)
        return [LogEvent(logging.WARNING, f"the source counts {told:,} records of {where}, but {seen:,} came")]

    def _count(self, key: StreamKey) -> int:
        """Return how many records of a stream came so far; many sources leave the namespace out of their records."""
        found = self._counts.get(key)
        if found is None:
            found = sum(number for (name, _), number in self._counts.items() if name == key.name)
        return found

    def _estimated(self, key: StreamKey, rows: int) -> Iterable[Event]:
        return (ProgressEvent(self._count(key), rows, f"stream {key.text}"),)

    def _stream_status(self, key: StreamKey, status: str, reasons: str) -> Iterable[Event]:
        _bounded(self._status)
        if status in ("STARTED", "RUNNING"):
            self._started.add(key)
        if status == "RUNNING":
            self._status.setdefault(key, status)
            if not reasons:
                return ()
            return (LogEvent(logging.WARNING, f"stream {key.text} waits{reasons}"),)
        self._status[key] = status
        if status == "COMPLETE":
            return (LogEvent(logging.INFO, f"stream {key.text}: complete, {self._count(key):,} records"),)
        level = logging.DEBUG if status == "STARTED" else logging.WARNING
        return (LogEvent(level, f"stream {key.text}: {status.lower()}{reasons}"),)


def _as_read(selected: SelectedStream) -> Stream:
    """Return what is known of the records of a stream that is read in part."""
    stream = selected.stream
    schema = stream.schema if selected.fields is None else kept_fields(stream.schema, selected.fields)
    return replace(stream, schema=schema, cursor=selected.cursor or stream.cursor)


def _text(key: StreamKey) -> str:
    return key.text


def _key(stream: Stream) -> StreamKey:
    return StreamKey(stream.name, stream.namespace)


def _bounded(streams: Collection[Any]) -> None:
    if len(streams) >= MAX_STREAMS:
        raise ProtocolError(f"it speaks of more than {MAX_STREAMS:,} streams")
