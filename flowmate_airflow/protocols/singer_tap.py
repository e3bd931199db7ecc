"""Protocol `singer`, a tap: SCHEMA, RECORD and STATE lines on stdout become streams, messages and state."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson

from flowmate_airflow.catalog.manifest import SingerImage
from flowmate_airflow.protocols.base import Item, Launch, Request
from flowmate_airflow.protocols.events import (
    CatalogEvent,
    CheckEvent,
    Event,
    FilesEvent,
    LogEvent,
    MessageEvent,
    ProtocolError,
    RequestError,
    StateEvent,
    StreamEvent,
)
from flowmate_airflow.protocols.singer import CATALOG, STATE, SingerConversation, place
from flowmate_airflow.protocols.singer_catalog import Wanted, read_catalog, selected_catalog, wanted_records
from flowmate_airflow.protocols.singer_json import find_flaw, read_leniently
from flowmate_airflow.protocols.streams import Stream

MAX_STREAMS = 10_000
"""Streams of one run: each is kept with its schema."""

_MESSAGE = re.compile(rb'"type"\s*:\s*"(?:RECORD|SCHEMA|STATE|BATCH|ACTIVATE_VERSION)"')


class SingerTap(SingerConversation):
    """Talks to one start of a tap."""

    def __init__(self, request: Request, image: SingerImage) -> None:
        super().__init__(request, image)
        self._streams: dict[str, Stream] = {}
        self._records = 0
        self._said_state = False
        self._wanted: Mapping[str, Wanted | None] | None = None
        self._warned: set[str] = set()
        self._kinds: Mapping[str, Callable[[dict[str, Any]], Iterable[Event]]] = {
            "RECORD": self._record,
            "SCHEMA": self._schema,
            "STATE": self._state,
            "BATCH": self._batch,
            "ACTIVATE_VERSION": self._version,
        }

    def launch(self) -> Launch:
        """See :meth:`Conversation.launch`.

        :raises RequestError: the tap cannot do what is asked
        """
        verb, image = self._request.verb, self._image
        if verb == "describe":
            return self._about()
        if verb == "check" and image.about:
            return self._start("--test")
        if verb == "check" and not image.discover:
            return Launch(arguments=("--help",))
        if verb in ("check", "discover"):
            if not image.discover:
                raise RequestError(
                    "the tap cannot list its streams: it has no `--discover`, says the manifest's `singer.discover`"
                )
            return self._start("--discover")
        return self._sync()

    def feed(self, items: Iterable[Item]) -> Iterator[bytes]:
        """See :meth:`Conversation.feed`: a tap reads nothing."""
        return iter(())

    def take(self, line: bytes) -> Iterable[Event]:
        """See :meth:`Conversation.take`."""
        if self._request.verb != "run":
            return () if self._request.verb == "check" else self._keep(line)
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            return self._take_unreadable(line)
        if value.__class__ is not dict:
            return (_chatter(line),)
        kind = value.get("type")
        if kind == "RECORD":  # first: nearly all lines are records
            return self._record(value)
        take = self._kinds.get(kind) if isinstance(kind, str) else None
        return take(value) if take else (_chatter(line),)

    def end(self, code: int, files: Mapping[str, bytes]) -> Iterable[Event]:
        """See :meth:`Conversation.end`."""
        yield from self._changed_config(files)
        verb = self._request.verb
        if verb == "describe":
            yield from self._described(code)
        elif verb == "discover":
            yield from self._discovered(code)
        elif verb == "check":
            yield from self._check_result(code)
        elif code == 0 and not self._records and not self._said_state and self._request.selected != []:
            yield LogEvent(logging.WARNING, self._silence())

    def _sync(self) -> Launch:
        request, image = self._request, self._image
        options: list[str] = []
        files: dict[str, bytes] = {}
        if request.selected is not None:
            catalog = selected_catalog(request.selected, classic=image.catalog == "properties")
            self._wanted = wanted_records(request.selected, catalog)
            if image.catalog != "none":
                files[CATALOG] = self._dumps(catalog, CATALOG)
                options += [f"--{image.catalog}", place(CATALOG)]
        if request.state is not None and image.state:
            files[STATE] = self._dumps(request.state, STATE)
            options += ["--state", place(STATE)]
        return self._start(*options, files=files)

    def _record(self, value: dict[str, Any]) -> tuple[Event, ...]:
        name, record = value.get("stream"), value.get("record")
        if name.__class__ is not str or record.__class__ is not dict:
            raise ProtocolError("a RECORD line of its output needs a text `stream` and an object `record`")
        self._records += 1
        if self._wanted is not None:
            wanted = self._wanted.get(name)
            if wanted is None:
                return self._unwanted(name)
            name, left_out = wanted
            if not left_out.isdisjoint(record):  # the tap does not care what its catalog says
                record = {field: part for field, part in record.items() if field not in left_out}
        metadata: dict[str, Any] = {"stream": name}
        if len(value) > 3:
            extracted, version = value.get("time_extracted"), value.get("version")
            if isinstance(extracted, str):
                metadata["extracted_at"] = extracted
            if isinstance(version, int):
                metadata["version"] = version
        message = MessageEvent({"data": record, "metadata": metadata})
        return (message,) if name in self._streams else (*self._undeclared(str(name)), message)

    def _undeclared(self, name: str) -> tuple[Event, ...]:
        stream = Stream(name)
        self._remember(stream)
        text = f"the tap sends records of the stream `{name}` without its SCHEMA; any fields are taken"
        return (LogEvent(logging.WARNING, text), StreamEvent(stream))

    def _schema(self, value: dict[str, Any]) -> Iterable[Event]:
        name, schema = value.get("stream"), value.get("schema")
        if not isinstance(name, str) or not isinstance(schema, dict):
            raise ProtocolError("a SCHEMA line of its output needs a text `stream` and an object `schema`")
        if self._wanted is not None:
            wanted = self._wanted.get(name)
            if wanted is None:
                return self._unwanted(name)
            name, schema = wanted.name, _without(schema, wanted.left_out)
        bookmarks = value.get("bookmark_properties")
        cursors = _names([bookmarks] if isinstance(bookmarks, str) else bookmarks)
        cursor = cursors[0] if cursors else None
        key = _names(value.get("key_properties"))
        stream = Stream(name, schema, primary_key=key, cursor=cursor, incremental=cursor is not None)
        if self._streams.get(name) == stream:
            return ()
        self._remember(stream)
        return (StreamEvent(stream),)

    def _unwanted(self, name: str) -> tuple[Event, ...]:
        """Return what is to be said about a stream that was not selected, or is not found among the selected ones."""
        if name in self._wanted:  # type: ignore[operator]
            raise ProtocolError(
                f"the tap calls several of its tables `{name}` in their records, so that they cannot be told apart: "
                "`select` one of them in each step"
            )
        if self._image.catalog == "none" or name in self._warned:
            return ()
        if "stream_maps" in self._request.config:
            raise ProtocolError(
                f"the tap sends records of `{name}`, which its catalog does not have: `stream_maps` must not rename a "
                "table of a tap; use `load: {table: ...}` at the step that stores it"
            )
        self._warned.add(name)
        text = f"the tap sends records of `{name}`, which was not selected or is not in its catalog; they are left out"
        return (LogEvent(logging.WARNING, text),)

    def _remember(self, stream: Stream) -> None:
        self._streams[stream.name] = stream
        if len(self._streams) > MAX_STREAMS:
            raise ProtocolError(f"it sends more than {MAX_STREAMS:,} streams")

    def _state(self, value: dict[str, Any]) -> Iterable[Event]:
        if "value" not in value:
            raise ProtocolError("a STATE line of its output has no key `value`")
        state = value["value"]
        if state is None:
            return (LogEvent(logging.DEBUG, "the tap sent a STATE of null, which says nothing"),)
        self._said_state = True
        return (StateEvent(state),)

    def _batch(self, value: dict[str, Any]) -> Iterable[Event]:
        encoding, paths = value.get("encoding") or {}, value.get("manifest")
        compression = encoding.get("compression") or "none"
        readable = encoding.get("format") == "jsonl" and compression in ("gzip", "none") and isinstance(paths, list)
        if not readable or not all(isinstance(path, str) and path.startswith("file://") for path in paths or ()):
            raise ProtocolError(
                f"the tap sends the stream `{value.get('stream')}` as BATCH files that cannot be read here: let its "
                "`batch_config` (of the step's `with`, or the manifest's `defaults`) say the format `jsonl` and a root "
                "`file://…`, or take it out, so that it sends records"
            )
        head = b'{"type":"RECORD","stream":' + orjson.dumps(value.get("stream")) + b',"record":'
        return (FilesEvent([path.removeprefix("file://") for path in paths or ()], compression == "gzip", head),)

    def _version(self, value: dict[str, Any]) -> Iterable[Event]:
        return (LogEvent(logging.DEBUG, f"the tap activated a version of `{value.get('stream')}`; it is left alone"),)

    def _take_unreadable(self, line: bytes) -> Iterable[Event]:
        if line.lstrip()[:1] != b"{" or not _MESSAGE.search(line):
            return (_chatter(line),)
        try:
            value = read_leniently(line)
        except ValueError as error:
            text = _text(line[:120])
            raise ProtocolError(f"a line of its output is broken JSON ({str(error)[:200]}): {text}…") from None
        flaw = find_flaw(value)
        if flaw is None:
            raise ProtocolError(
                f"a line of its output cannot be read, it may be nested too deeply: {_text(line[:120])}…"
            )
        if value.get("type") == "RECORD":
            field = flaw.path.removeprefix("record.")
            raise ProtocolError(
                f"stream `{value.get('stream')}`: the field `{field}` of the tap's record number {self._records + 1:,} "
                f"{flaw.text}, which JSON cannot hold: leave the field out with `select`, or let the tap send null"
            )
        raise ProtocolError(f"`{flaw.path}` of a {value.get('type')} line of its output {flaw.text}")

    def _discovered(self, code: int) -> Iterable[Event]:
        if code != 0:
            return
        catalog = self._answer.find(lambda value: isinstance(value.get("streams"), list))
        if catalog is None:
            raise ProtocolError("it ended well but printed no catalog: an object with a list `streams` on stdout")
        yield CatalogEvent(read_catalog(catalog))

    def _check_result(self, code: int) -> Iterable[Event]:
        if self._image.about or self._image.discover:
            yield from self._checked(code)
        elif code == 0:
            yield CheckEvent(ok=True, text="the tap starts; it has no way to check its configuration")

    def _silence(self) -> str:
        text = "the tap ended well, but sent no record and no state"
        if self._request.selected is None or self._image.catalog == "none":
            return f"{text}; a tap may need to be told by `select` what to read"
        other = "properties" if self._image.catalog == "catalog" else "catalog"
        return (
            f"{text}; some taps take their catalog by `--{other}` only: if there was something to read, "
            f"set `singer: {{catalog: {other}}}` in the connector's manifest"
        )


def _without(schema: dict[str, Any], fields: frozenset[str]) -> dict[str, Any]:
    properties, required = schema.get("properties"), schema.get("required")
    if isinstance(properties, dict) and not fields.isdisjoint(properties):
        schema = {**schema, "properties": {name: part for name, part in properties.items() if name not in fields}}
    if isinstance(required, list):  # the SDK leaves a field here that it has left out of the properties
        schema = {**schema, "required": [name for name in required if name not in fields]}
    return schema


def _names(value: Any) -> tuple[str, ...]:
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list) else ()


def _chatter(line: bytes) -> LogEvent:
    return LogEvent(logging.INFO, _text(line))


def _text(line: bytes) -> str:
    return line.decode("utf-8", errors="backslashreplace")
