"""What a step gets: the batches of the steps before it, read as often as they are needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from flowmate_airflow.batches.batch import BatchError, read_lines, streams_of
from flowmate_airflow.protocols.streams import Stream
from flowmate_airflow.steps.mapping import pick_lines


@dataclass(frozen=True, slots=True)
class Input:
    """The input of one step.

    :param read: returns all messages as lines of JSON without newlines, from the first on, each time it is called
    :param streams: what is known about their streams
    :param is_declared: whether all messages are of these streams
    :param fingerprint: the same only for the same messages; None: nobody knows whether they will be the same again
    """

    read: Callable[[], Iterator[bytes]]
    streams: Sequence[Stream] = ()
    is_declared: bool = False
    fingerprint: str | None = None

    def is_empty(self) -> bool:
        """Whether there is no message at all."""
        lines = self.read()
        empty = next(lines, None) is None
        getattr(lines, "close", lambda: None)()
        return empty


NOTHING = Input(lambda: iter(()))
"""The input of a trigger."""


def input_of(values: Iterable[Any], when: str | None) -> Input:
    """Return the messages of some batches, in their order, without those that a condition leaves out.

    :param values: the batches' values
    :param when: JSONata over a message
    :raises BatchError: a value is no batch, or what is known about its streams cannot be read
    """
    batches = list(values)
    streams = {stream.key: stream for value in batches for stream in streams_of(value)}
    names = {stream.name for stream in streams.values()}

    def read() -> Iterator[bytes]:
        for value in batches:
            yield from pick_lines(when, read_lines(value))

    try:
        declared = all(_is_declared(value, names) for value in batches)
        fingerprint = hashlib.sha256(orjson.dumps([when, batches])).hexdigest()
    except (TypeError, AttributeError) as error:
        raise BatchError(f"an XCom value is not a batch: {error}") from None
    return Input(read, tuple(streams.values()), declared, fingerprint)


def _is_declared(value: Any, names: set[str]) -> bool:
    counts = value.get("counts") or {}
    return counts.keys() <= names and sum(counts.values()) == value.get("count")
