"""The batch: the messages that a step hands on, and the small JSON value that stands for them in XCom.

Up to a limit the value holds the messages themselves, above it names a file of gzip-compressed JSON Lines, which goes
on in further parts when it is long. Writing and reading stream; nothing holds a whole batch.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader
from typing import Any

import orjson
from typing_extensions import NotRequired, TypedDict

from flowmate_airflow.batches.message import Message
from flowmate_airflow.batches.storage import Storage, open_read, open_write, part_href
from flowmate_airflow.protocols.streams import Stream, stream_from_json

PREVIEW = 5
"""How many messages of a large batch its XCom value shows."""
PREVIEW_BYTES = 4096
"""The largest message that a preview shows whole."""
PREVIEW_ID = 200
"""How much of a message's id a preview shows."""
BLOCK = 256 * 1024
"""Bytes of lines that are compressed together, which costs less than one by one."""
PART = 64 * 1024 * 1024
"""Bytes of lines in one part of a batch's file: on object storage a part is there when it ends."""
MAX_COUNTS = 64 * 1024
"""Bytes of counts by stream in the value; they are left out where they are more."""
MAX_INLINE_DEPTH = 64
"""How deep lists and objects may nest in a message that stays in the value. Airflow gives up at about 250."""
MAX_DEPTH = 250
"""How deep they may nest in any message: as deep as the encoder goes, whether it is needed or not."""

# Airflow's deserialiser takes an object with such a key for an instance of a class, and makes one of any class in
# `airflow.*`. PostgreSQL's JSON knows no NUL. Neither can be meant by other bytes: orjson escapes nothing needlessly.
_NOT_FOR_XCOM = re.compile(rb'"__(?:[a-z_]*__|type|source|var)":|\\u0000')


class BatchValue(TypedDict):
    """What a step's XCom holds: either `messages`, or `href` and `preview`, with `parts` when there are several.

    `bytes` is the size of the messages as JSON; `errors` counts the messages left out because they failed; `received`
    those that the step got. `counts` and `received_counts` have the numbers by stream; `streams` says what their
    records look like.
    """

    count: int
    errors: int
    bytes: int
    received: NotRequired[int]
    received_counts: NotRequired[dict[str, int]]
    messages: NotRequired[list[Message]]
    href: NotRequired[str]
    parts: NotRequired[int]
    preview: NotRequired[list[Any]]
    counts: NotRequired[dict[str, int]]
    streams: NotRequired[dict[str, Any]]
    streams_href: NotRequired[str]


class BatchError(Exception):
    """A batch cannot be read: its value is not one, or its file is gone or damaged."""


class StorageFailure(OSError):
    """A batch's file cannot be written: the disk is full, or the folder may not be written to."""


class BatchWriter:
    """Takes the messages of one step, one at a time.

    A message that an XCom can't carry as the plain JSON it is goes to the file, however small the batch.

    :param storage: where the file goes, should one be needed
    :param inline_limit: the size in bytes up to which the messages stay in the value
    """

    def __init__(self, storage: Storage, inline_limit: int) -> None:
        self._storage = storage
        self._limit = inline_limit
        self._held: list[Message] = []
        self._lines: list[bytes] = []
        self._pending = bytearray()
        self._file: gzip.GzipFile | None = None
        self._stack = ExitStack()
        self._parts = 0
        self._kept = False
        self._part_bytes = 0
        self._streams: dict[str, Any] = {}
        self._streams_href: str | None = None
        self.counts: dict[str, int] = {}
        self.count = 0
        self.errors = 0
        self.received = 0
        self.received_counts: dict[str, int] = {}
        self.bytes = 0

    def write(self, message: Message, line: bytes | None = None) -> None:
        """Add a message.

        :param line: the same message as JSON, where it is there already; it spares encoding it anew
        :raises BatchError: the message is not JSON, or nested too deep
        :raises StorageFailure: there is no room for it
        """
        if line is None or self._file is None or len(self._held) < PREVIEW or _may_be_deep(line):
            # What goes into XCom is always encoded here: its checks know how this encoder writes.
            line = _encoded(message)
        self.count += 1
        self.bytes += len(line) + 1
        if self._file is not None:
            # Not a list of lines: each of them would keep the larger buffer that orjson made it in.
            self._pending += line
            self._pending += b"\n"
            if len(self._pending) >= BLOCK:
                with self._writing():
                    self._flush(self._file)
            if len(self._held) < PREVIEW:
                self._held.append(_previewed(message, line))
            return
        self._held.append(message)
        self._lines.append(line)
        if self.bytes > self._limit or not _fits_xcom(message, line):
            with self._writing():
                self._spill()

    def declare(self, stream: Stream) -> None:
        """Say what the records of a stream look like; the last word on a stream counts."""
        self._streams[stream.key] = stream.as_json()

    def count_stream(self, name: str) -> None:
        """Count a message of a stream."""
        self.counts[name] = self.counts.get(name, 0) + 1

    def finish(self) -> BatchValue:
        """Return the batch's value; nothing can be written any more.

        :raises StorageFailure: the file cannot be completed
        """
        value: BatchValue = {"count": self.count, "errors": self.errors, "bytes": self.bytes}
        if self.received:
            value["received"] = self.received
        if self.received_counts and _can_be_shown(self.received_counts):
            value["received_counts"] = self.received_counts
        if self._file is None:
            value["messages"] = self._held
        else:
            with self._writing():
                self._flush(self._file)
                self._stack.close()
            value["href"] = self._storage.href
            if self._parts > 1:
                value["parts"] = self._parts
            value["preview"] = self._held
        if self.counts and _can_be_shown(self.counts):
            value["counts"] = self.counts
        if self._streams:
            with self._writing():
                self._finish_streams(value)
        return value

    def _finish_streams(self, value: BatchValue) -> None:
        line = _encoded(self._streams)
        if len(line) <= self._limit and _fits_xcom(self._streams, line):
            value["streams"] = self._streams
            return
        value["streams_href"] = self._streams_href = self._storage.beside("streams.json")
        with open_write(value["streams_href"]) as file:
            file.write(line)

    def keep(self) -> None:
        """Keep the file from now on, whatever becomes of the step."""
        self._kept = True

    def abort(self) -> None:
        """Forget the batch and remove its files, unless they shall be kept."""
        if self._kept:
            return
        if self._streams_href is not None:
            self._storage.remove_one(self._streams_href)
        if self._parts:
            with suppress(OSError):  # what could not be written is not wanted any more
                self._stack.close()
            self._storage.remove(self._parts)

    def _open_part(self) -> gzip.GzipFile:
        self._stack.close()
        self._parts += 1
        self._part_bytes = 0
        raw = self._stack.enter_context(open_write(part_href(self._storage.href, self._parts)))
        # Level 1: a batch is read once or twice, soon; the name stays out of the file so that equal batches are equal.
        self._file = self._stack.enter_context(gzip.GzipFile("", "wb", 1, raw, mtime=0))
        return self._file

    def _spill(self) -> None:
        file = self._open_part()
        self._held = [_previewed(message, line) for message, line in zip(self._held, self._lines, strict=True)][
            :PREVIEW
        ]
        self._pending += b"".join(line + b"\n" for line in self._lines)
        self._lines = []
        self._flush(file)

    def _flush(self, file: gzip.GzipFile) -> None:
        if self._part_bytes >= PART and self._pending:
            file = self._open_part()
        file.write(self._pending)
        self._part_bytes += len(self._pending)
        self._pending = bytearray()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageFailure(
                f"the batch {self._storage.href} cannot be written: {error.strerror or error}. It lies where "
                "`[flowmate] batch_url` says"
            ) from None


def _encoded(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise BatchError(f"message {value.get('id')} is not JSON: {error}") from None


def _may_be_deep(line: bytes) -> bool:
    return line.count(b"{") + line.count(b"[") > MAX_DEPTH


def _previewed(message: Message, line: bytes) -> Any:
    if len(line) <= PREVIEW_BYTES and _fits_xcom(message, line):
        return message
    return {"id": message["id"][:PREVIEW_ID].replace("\0", "\ufffd"), "bytes": len(line) + 1}


def _fits_xcom(message: Message, line: bytes) -> bool:
    """Whether a message survives Airflow's serialisation and database as the plain JSON that it is."""
    if _NOT_FOR_XCOM.search(line):
        return False
    # Hardly a message has so many brackets; only of those that do must the depth be known.
    return line.count(b"{") + line.count(b"[") <= MAX_INLINE_DEPTH or depth_is_at_most(message, MAX_INLINE_DEPTH)


def _can_be_shown(counts: dict[str, int]) -> bool:
    """Whether counts by stream are small, and survive in XCom: a component may call its streams anything."""
    line = _encoded(counts)
    return len(line) <= MAX_COUNTS and not _NOT_FOR_XCOM.search(line)


def depth_is_at_most(value: Any, limit: int) -> bool:
    """Whether lists and objects nest no deeper."""
    level = [value] if isinstance(value, dict | list | tuple) else []
    for _ in range(limit + 1):
        if not level:
            return True
        children = (each.values() if isinstance(each, dict) else each for each in level)
        level = [child for group in children for child in group if isinstance(child, dict | list | tuple)]
    return not level


def read_batch(value: Any) -> Iterator[Message]:
    """Yield the messages of a batch.

    :raises BatchError: the value is no batch, or its file cannot be read to its end
    """
    messages = value.get("messages") if isinstance(value, Mapping) else None
    if isinstance(messages, list):
        yield from messages
    else:
        for line in read_lines(value):
            yield decoded(line)


def read_lines(value: Any) -> Iterator[bytes]:
    """Yield the messages of a batch as lines of JSON, without newlines.

    :raises BatchError: the value is no batch, or its file cannot be read to its end
    """
    _check_value(value)
    messages, href, count = value.get("messages"), value.get("href"), value.get("count")
    if isinstance(messages, list):
        for message in messages:
            if not isinstance(message, Mapping) or not isinstance(message.get("id"), str) or "data" not in message:
                raise BatchError("an XCom value is not a batch: one of its messages has no text `id`, or no `data`")
            yield _encoded(message)
    elif isinstance(href, str) and isinstance(count, int):
        yield from _read_file(href, int(value.get("parts") or 1), count)
    else:
        raise BatchError(f"an XCom value is not a batch: it has the keys {', '.join(sorted(map(str, value)))}")


def _check_value(value: Any) -> None:
    if not isinstance(value, Mapping):
        raise BatchError(f"an XCom value is not a batch: it is of type {type(value).__name__}")


def decoded(line: bytes) -> Message:
    """Return the message that a line of a batch holds.

    :raises BatchError: it holds none
    """
    try:
        message: Message = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BatchError(f"a line of a batch cannot be read: {error}") from None
    return message


def streams_of(value: Any) -> list[Stream]:
    """Return what is known of the streams of a batch.

    :raises BatchError: the value is no batch, or their file cannot be read
    """
    _check_value(value)
    streams, href = value.get("streams"), value.get("streams_href")
    if isinstance(href, str):
        try:
            with open_read(href) as file:
                streams = orjson.loads(file.read())
        except (OSError, orjson.JSONDecodeError) as error:
            raise BatchError(f"the streams of a batch, {href}, cannot be read: {error}") from None
    try:
        return [stream_from_json({"name": key, **stream}) for key, stream in (streams or {}).items()]
    except (TypeError, AttributeError) as error:
        raise BatchError(f"an XCom value is not a batch: its streams are none ({error})") from None


def _read_file(href: str, parts: int, count: int) -> Iterator[bytes]:
    read = 0
    try:
        for part in range(1, parts + 1):
            # The buffer cuts lines in C; GzipFile's own iteration takes a call of Python for each.
            with (
                open_read(part_href(href, part)) as raw,
                gzip.GzipFile(fileobj=raw, mode="rb") as file,
                BufferedReader(file, BLOCK) as lines,
            ):
                for line in lines:
                    yield line[:-1]
                    read += 1
    except FileNotFoundError:
        raise BatchError(
            f"the batch {href} is gone; run the step that made it again. Do all workers share `[flowmate] batch_url`?"
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise BatchError(f"the batch {href} cannot be read: {error}") from None
    if read != count:
        raise BatchError(f"the batch {href} has {read} messages, not {count}")
