"""What earlier tries of a step have done: messages that are not sent again, and the output that they gave."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from flowmate_airflow.batches.batch import BatchError, BatchValue, BatchWriter, decoded, read_lines
from flowmate_airflow.batches.message import stream_in_line
from flowmate_airflow.protocols.base import Item
from flowmate_airflow.steps.inputs import Input
from flowmate_airflow.steps.memory import Memory
from flowmate_airflow.steps.outcome import Outcome
from flowmate_airflow.steps.steplog import Log
from flowmate_airflow.store.errors import StoreError


class Tries:
    """The tries of one step over one input. What cannot be kept or read costs a repetition, and is told.

    :param memory: keeps it between tries
    """

    def __init__(self, memory: Memory, log: Log) -> None:
        self._memory = memory
        self._log = log

    def resume(self, source: Input, writer: BatchWriter) -> Iterable[Item]:
        """Write again what earlier tries have made, and return what of the input is left to do."""
        done, partial = self._known(source)
        for line in read_lines(partial) if partial is not None else ():
            _write_again(writer, line)
        if done:
            self._log(logging.INFO, f"{len(done):,} messages were done by an earlier try and are not sent again")
        return _without(_items(source), _once(source, done))

    def _known(self, source: Input) -> tuple[set[str], BatchValue | None]:
        """Return what earlier tries have done of this very input: a step before may have been run again since."""
        if source.fingerprint is None:
            return set(), None
        try:
            done, partial = self._memory.tried(source.fingerprint)
            for _ in read_lines(partial) if partial is not None else ():
                pass  # only to see that it is all there, before any of it is written again
        except (StoreError, BatchError) as error:
            self._log(logging.WARNING, f"all messages are sent, also those that an earlier try may have done: {error}")
            return set(), None
        return done, partial

    def keep(self, outcome: Outcome, source: Input, writer: BatchWriter) -> None:
        """Keep what a failed try has done."""
        if not outcome.done.count or source.fingerprint is None:
            return
        try:
            value = writer.finish()
            done = (each for each in outcome.done if each not in outcome.undone)
            self._memory.keep_tried(source.fingerprint, done, value)
            writer.keep()
        except (StoreError, OSError) as error:
            self._log(logging.WARNING, f"the next try sends all messages again: {error}")

    def forget(self) -> None:
        """Forget all of them, now that one has succeeded."""
        try:
            self._memory.forget_tried()
        except StoreError as error:
            self._log(logging.WARNING, f"what earlier tries have done is not forgotten: {error}")


def _write_again(writer: BatchWriter, line: bytes) -> None:
    writer.write(decoded(line), line)
    name = stream_in_line(line)
    if name is not None:
        writer.count_stream(name)


def _items(source: Input) -> Iterator[Item]:
    yield from source.streams
    yield from source.read()


def _once(source: Input, done: set[str]) -> set[str]:
    """Return those ids that only one message of the input has: of several nobody knows which was done."""
    seen: set[str] = set()
    twice: set[str] = set()
    for line in source.read() if done else ():
        own = decoded(line)["id"]
        if own in done:
            (twice if own in seen else seen).add(own)
    return seen - twice


def _without(items: Iterable[Item], done: set[str]) -> Iterable[Item]:
    if not done:
        return items
    return (item for item in items if not isinstance(item, bytes) or decoded(item)["id"] not in done)
