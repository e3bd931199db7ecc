"""Protocol `airbyte`, destinations: `spec`, `check` and `write`."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from flowmate_airflow.protocols.airbyte_acks import Acknowledgements
from flowmate_airflow.protocols.airbyte_base import AirbyteConversation
from flowmate_airflow.protocols.airbyte_catalog import destination_catalog, merged
from flowmate_airflow.protocols.airbyte_counts import told_count
from flowmate_airflow.protocols.airbyte_names import StreamKey, descriptor_key
from flowmate_airflow.protocols.base import Item, Launch, Request
from flowmate_airflow.protocols.events import (
    ErrorEvent,
    Event,
    LogEvent,
    ProtocolError,
    RejectedEvent,
    StateEvent,
)
from flowmate_airflow.protocols.streams import Stream

_REJECTED = "rejectedRecordCount"
_MAX_TROUBLE = 100_000
_MAX_NAMES = 10_000
"""Other names of streams that are remembered."""


class AirbyteDestination(AirbyteConversation):
    """Talks to an Airbyte destination."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._streams = _streams(request) if request.verb == "run" else {}
        self._keys: dict[tuple[Any, Any], StreamKey] = {(key.name, key.namespace): key for key in self._streams}
        self._acks = Acknowledgements(self._streams)
        self._trouble: deque[Event] = deque()  # found while feeding, told when the other thread next asks
        self._ended = False
        self._takers |= {"STATE": self._take_state, "STREAM": self._bare_state}

    def launch(self) -> Launch:
        """See :meth:`Conversation.launch`.

        :raises RequestError: a stream cannot be stored as it is asked for
        """
        if self._request.verb == "discover":
            raise ValueError("an Airbyte destination has no streams to discover")
        if self._request.verb != "run":
            return self._verb_launch()
        return self._start("write", {"catalog": destination_catalog(self._streams.items(), self._request.load)})

    def feed(self, items: Iterable[Item]) -> Iterator[bytes]:
        """See :meth:`Conversation.feed`."""
        if self._request.verb != "run":
            return
        record = self._record
        for item in items:
            if isinstance(item, bytes):
                line = record(item)
                if line is not None:
                    yield line
                elif self._gives_up():
                    return
            elif isinstance(item, StateEvent):
                yield from self._acks.state(item)
        self._ended = True
        yield from self._acks.last()
        for key in self._streams:  # newer destinations store nothing of a stream that is not complete
            yield _complete_line(key)

    def take(self, line: bytes) -> Iterable[Event]:
        """See :meth:`Conversation.take`."""
        events = super().take(line)
        return (*self._told(), *events) if self._trouble else events

    def end(self, code: int, files: Mapping[str, bytes]) -> Iterable[Event]:
        """See :meth:`Conversation.end`."""
        events = [*self._told(), *super().end(code, files)]
        if code != 0 or self._request.verb != "run" or self._failed:
            return events
        if not self._ended:
            return [*events, ErrorEvent("it ended as if all were well, but before it had all its input", "system")]
        missing = self._acks.unconfirmed()
        if missing:
            told = ", ".join(f"{count:,} of {key.text}" for key, count in missing.items())
            text = f"it ended as if all were well, but did not confirm that these records are stored: {told}"
            return [*events, ErrorEvent(text, "system")]
        return [*events, *self._acks.reached()]

    def _gives_up(self) -> bool:
        """Return whether a message that failed ends the feeding: then nothing more must be stored."""
        if len(self._trouble) > _MAX_TROUBLE:
            self._trouble.append(ErrorEvent(f"more than {_MAX_TROUBLE:,} messages cannot be stored", "config"))
            return True
        return bool(self._request.context.get("on_error") == "fail")

    def _told(self) -> list[Event]:
        told = []
        while self._trouble:
            told.append(self._trouble.popleft())
        return told

    def _record(self, item: bytes) -> bytes | None:
        """Return the line that a message becomes; None: it is one that the destination cannot get."""
        message = orjson.loads(item)
        data = message["data"]
        metadata = message.get("metadata")
        if type(metadata) is not dict:
            metadata = {}
        key: StreamKey | None
        try:
            key = self._keys[metadata.get("stream"), metadata.get("namespace")]
        except (KeyError, TypeError):
            key = self._key_of(metadata)
        if key is None or type(data) is not dict:
            self._refuse(message, metadata, key)
            return None
        self._acks.record(key)
        extracted = metadata.get("extracted_at")
        record = {
            "stream": key.name,
            "data": data,
            "emitted_at": extracted if type(extracted) is int else _milliseconds(extracted),
        }
        if key.namespace:
            record["namespace"] = key.namespace
        if metadata.get("meta"):
            record["meta"] = metadata["meta"]
        return orjson.dumps({"type": "RECORD", "record": record}, option=orjson.OPT_APPEND_NEWLINE)

    def _key_of(self, metadata: Mapping[str, Any]) -> StreamKey | None:
        """Return the stream of a message that names it otherwise than its declaration, and remember it."""
        name, namespace = metadata.get("stream"), metadata.get("namespace")
        if self._request.load.table is not None:
            found = list(self._streams)
        elif name is None:  # the step counts such messages as a stream of its own name
            own = StreamKey(str(self._request.context.get("step")))
            found = [own] if own in self._streams else list(self._streams)
        else:
            found = [key for key in self._streams if key.name == name]
        if len(found) != 1 or not isinstance(name, str | None) or not isinstance(namespace, str | None):
            return None
        if len(self._keys) < _MAX_NAMES:
            self._keys[name, namespace] = found[0]
        return found[0]

    def _refuse(self, message: Mapping[str, Any], metadata: Mapping[str, Any], key: StreamKey | None) -> None:
        name = metadata.get("stream")
        if key is not None:
            text = f"its data is no object, so that no record of {key.text} can be made of it"
        elif name is None:
            text = "it does not say which stream it belongs to (`metadata.stream`): name a `table` for such messages"
        else:
            text = f"its stream `{name}` is none of those that the destination was told of before it was started"
        self._trouble.append(ErrorEvent(text, "config", str(message.get("id"))))

    def _bare_state(self, value: dict[str, Any]) -> Iterable[Event]:
        """Take a state without the message around it, as some destinations write it."""
        return self._take_state({"type": "STATE", "state": value})

    def _take_state(self, value: dict[str, Any]) -> Iterable[Event]:
        entry = value.get("state")
        stream = entry.get("stream") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(stream, dict):
            raise ProtocolError("a STATE line of its output is not about a stream, as the ones that it was given are")
        key = descriptor_key(stream.get("stream_descriptor"))
        state = stream.get("stream_state")
        sent = self._acks.confirmed(key, state) if isinstance(state, dict) else None
        if sent is None:
            return (LogEvent(logging.DEBUG, f"a state of the stream {key.text} came back that was not waited for"),)
        return [*self._compare(key, sent, entry), *self._acks.reached()]

    def _compare(self, key: StreamKey, sent: tuple[int, int], entry: Mapping[str, Any]) -> list[Event]:
        """Compare how many records a destination says it stored with how many it was sent."""
        stored, rejected = (told_count(entry, "destinationStats", name) for name in ("recordCount", _REJECTED))
        alone, altogether = sent
        if stored is not None and stored < alone and stored + (rejected or 0) < alone:
            raise ProtocolError(
                f"records of the stream {key.text} were lost: it was sent {altogether:,} and says it stored {stored:,}"
            )
        if rejected is None:
            return []
        return [RejectedEvent(f"the destination refused {rejected:,} records of the stream {key.text}", count=rejected)]


def _streams(request: Request) -> dict[StreamKey, Stream]:
    """Return the streams that the destination will get, by the names they have there."""
    table = request.load.table
    if table is not None:
        return {StreamKey(table): merged(table, request.incoming) if request.incoming else Stream(table)}
    return {StreamKey(stream.name, stream.namespace or None): stream for stream in request.incoming}


def _milliseconds(moment: Any) -> int:
    """Return when a record was read, in milliseconds; now, if nobody said it."""
    if isinstance(moment, str):
        try:
            return int(datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() * 1000)
        except ValueError:
            pass
    return time.time_ns() // 1_000_000


def _complete_line(key: StreamKey) -> bytes:
    status = {"stream_descriptor": key.descriptor, "status": "COMPLETE"}
    trace = {"type": "STREAM_STATUS", "emitted_at": float(time.time_ns() // 1_000_000), "stream_status": status}
    return orjson.dumps({"type": "TRACE", "trace": trace}, option=orjson.OPT_APPEND_NEWLINE)
