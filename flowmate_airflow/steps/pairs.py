"""A streamed pair: two components at once, the first one's messages going straight into the second one."""

from __future__ import annotations

import gzip
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from io import BufferedReader
from typing import IO, Any, cast

from flowmate_airflow.batches.batch import BatchValue, BatchWriter
from flowmate_airflow.protocols.airbyte_schema import kept_fields
from flowmate_airflow.protocols.base import Item
from flowmate_airflow.protocols.streams import Stream
from flowmate_airflow.steps.connector import ConnectorRun
from flowmate_airflow.steps.errors import TransientFailure
from flowmate_airflow.steps.inputs import NOTHING, Input
from flowmate_airflow.steps.mapping import is_picked
from flowmate_airflow.steps.session import Session, take_counts
from flowmate_airflow.steps.sinks import BatchSink, Pipe

_JOIN_SECONDS = 60.0


class Pair:
    """Two sessions joined.

    :param first: the step that makes messages
    :param second: the step that takes them
    :param when: JSONata; messages for which it is not true do not reach the second
    :param keep_input: whether the second may ask for its messages again, to keep those that failed
    """

    def __init__(self, first: Session, second: Session, *, when: str | None, keep_input: bool) -> None:
        self._first = first
        self._second = second
        self._when = when
        self._spool = _Spool() if keep_input else None
        self._broken: TransientFailure | None = None

    def run(self, writer: BatchWriter, source: Input = NOTHING) -> BatchValue:
        """Run both and return the batch that the second makes.

        :param source: the input of the first
        :raises ConfigFailure: one of them failed and would fail again
        :raises TransientFailure: one of them failed; a retry may heal it
        """
        pipe = Pipe()
        first = self._first.prepare(pipe, source.streams)
        kept = Input(self._spool.lines) if self._spool is not None else NOTHING
        second = self._second.prepare(BatchSink(writer), self._streams())
        thread = threading.Thread(target=self._read, args=(first, pipe, source), name="flowmate-pair", daemon=True)
        thread.start()
        try:
            second.run(self._second.runtime, self._second.items(self._passed(pipe.items())))
            if not pipe.was_read:  # however well it ended: what it has not read is not stored
                self._broken = TransientFailure("the second step of the pair ended before it had read everything")
        except BaseException:
            self._second.keep_ids()
            raise
        finally:
            pipe.abandon()
            if not pipe.is_complete:
                first.stop()
            thread.join(_JOIN_SECONDS)
        if self._broken is not None:
            raise self._broken
        self._second.finish(second.outcome, kept)
        acknowledged = second.outcome.state if second.outcome.has_state and self._second.passes_state_on else None
        self._first.finish(first.outcome, source, acknowledged=acknowledged)
        take_counts(writer, second.outcome)
        writer.errors += first.outcome.progress.errors
        value = writer.finish()
        first.tell()
        second.tell()
        return value

    def _streams(self) -> list[Stream]:
        """Return the streams that the first step reads, as it will read them."""
        return [
            each.stream
            if each.fields is None
            else replace(each.stream, schema=kept_fields(each.stream.schema, each.fields))
            for each in self._first.selected or ()
        ]

    def _read(self, first: ConnectorRun, pipe: Pipe, source: Input) -> None:
        try:
            first.run(self._first.runtime, self._first.items(source.read()))
        except BaseException as error:
            pipe.complete(error)
        else:
            pipe.complete()

    def _passed(self, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            if isinstance(item, bytes):
                if self._when is not None and not is_picked(self._when, item):
                    continue
                if self._spool is not None:
                    self._spool.write(item)
            yield item


class _Spool:
    """Messages on disk until the pair has ended."""

    def __init__(self) -> None:
        self._raw: IO[bytes] = tempfile.TemporaryFile(prefix="flowmate-pair-")  # noqa: SIM115
        self._file: gzip.GzipFile | None = gzip.GzipFile(fileobj=self._raw, mode="wb", compresslevel=1)

    def write(self, line: bytes) -> None:
        """Add a message."""
        if self._file is not None:
            self._file.write(line + b"\n")

    def lines(self) -> Iterator[bytes]:
        """Yield all messages; none can be added any more."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
        self._raw.seek(0)
        with gzip.GzipFile(fileobj=self._raw, mode="rb") as file:
            for line in BufferedReader(cast("Any", file)):
                yield line[:-1]
