"""The batch: the messages that a step hands on, and the small JSON value that stands for them in XCom.

Up to a limit the value holds the messages themselves, above it names a file of gzip-compressed JSON Lines. Writing and
reading stream; nothing holds a whole batch.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from typing import Any

import orjson
from typing_extensions import NotRequired, TypedDict

from flowmate_airflow.batches.message import Message
from flowmate_airflow.batches.storage import Storage, open_read

PREVIEW = 5
"""How many messages of a large batch its XCom value shows."""
PREVIEW_BYTES = 4096
"""The largest message that a preview shows whole."""


class BatchValue(TypedDict):
    """What a step's XCom holds: either `messages`, or `href` and `preview`.

    `bytes` is the size of the messages as JSON; `errors` counts the messages left out because they failed.
    """

    count: int
    errors: int
    bytes: int
    messages: NotRequired[list[Message]]
    href: NotRequired[str]
    preview: NotRequired[list[Any]]


class BatchError(Exception):
    """A batch cannot be read: its value is not one, or its file is gone or damaged."""


class BatchWriter:
    """Takes the messages of one step, one at a time.

    :param storage: where the file goes, should one be needed
    :param inline_limit: the size in bytes up to which the messages stay in the value
    """

    def __init__(self, storage: Storage, inline_limit: int) -> None:
        self._storage = storage
        self._limit = inline_limit
        self._held: list[Message] = []
        self._lines: list[bytes] = []
        self._file: gzip.GzipFile | None = None
        self._stack = ExitStack()
        self.count = 0
        self.errors = 0
        self.bytes = 0

    def write(self, message: Message) -> None:
        """Add a message.

        :raises BatchError: the message is not JSON
        """
        try:
            line = orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError as error:
            raise BatchError(f"message {message.get('id')} is not JSON: {error}") from None
        self.count += 1
        self.bytes += len(line)
        if self._file is not None:
            self._file.write(line)
            if len(self._held) < PREVIEW:
                self._held.append(_previewed(message, line))
            return
        self._held.append(message)
        self._lines.append(line)
        if self.bytes > self._limit:
            self._spill()

    def finish(self) -> BatchValue:
        """Return the batch's value; nothing can be written any more."""
        value: BatchValue = {"count": self.count, "errors": self.errors, "bytes": self.bytes}
        if self._file is None:
            value["messages"] = self._held
        else:
            self._stack.close()
            value["href"] = self._storage.href
            value["preview"] = self._held
        return value

    def abort(self) -> None:
        """Forget the batch and remove its file."""
        if self._file is not None:
            with suppress(OSError):  # what could not be written is not wanted any more
                self._stack.close()
            self._storage.remove()

    def _spill(self) -> None:
        raw = self._stack.enter_context(self._storage.open_write())
        # Level 1: a batch is read once or twice, soon; the name stays out of the file so that equal batches are equal.
        self._file = self._stack.enter_context(gzip.GzipFile("", "wb", 1, raw, mtime=0))
        for line in self._lines:
            self._file.write(line)
        self._held = [_previewed(message, line) for message, line in zip(self._held, self._lines, strict=True)][
            :PREVIEW
        ]
        self._lines = []


def _previewed(message: Message, line: bytes) -> Any:
    return message if len(line) <= PREVIEW_BYTES else {"id": message["id"], "bytes": len(line)}


def read_batch(value: Any) -> Iterator[Message]:
    """Yield the messages of a batch.

    :raises BatchError: the value is no batch, or its file cannot be read to its end
    """
    if not isinstance(value, Mapping):
        raise BatchError(f"an XCom value is not a batch: it is of type {type(value).__name__}")
    messages, href, count = value.get("messages"), value.get("href"), value.get("count")
    if isinstance(messages, list):
        yield from messages
    elif isinstance(href, str) and isinstance(count, int):
        yield from _read_file(href, count)
    else:
        raise BatchError(f"an XCom value is not a batch: it has the keys {', '.join(sorted(map(str, value)))}")


def _read_file(href: str, count: int) -> Iterator[Message]:
    read = 0
    try:
        with open_read(href) as raw, gzip.GzipFile(fileobj=raw, mode="rb") as lines:
            for line in lines:
                yield orjson.loads(line)
                read += 1
    except FileNotFoundError:
        raise BatchError(
            f"the batch {href} is gone; run the step that made it again. Do all workers share `[flowmate] batch_url`?"
        ) from None
    except (OSError, EOFError, zlib.error, orjson.JSONDecodeError) as error:
        raise BatchError(f"the batch {href} cannot be read: {error}") from None
    if read != count:
        raise BatchError(f"the batch {href} has {read} messages, not {count}")
