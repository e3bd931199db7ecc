"""What a destination has been sent, and what of it it says is stored.

A destination repeats a state when all records before it are stored. So each stream is given numbered states of our own,
and what comes back tells how far the destination is.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from flowmate_airflow.protocols.airbyte_names import StreamKey
from flowmate_airflow.protocols.events import StateEvent

MAX_OPEN = 200
"""Source states that may be on their way at once. More of them wait, so that neither side holds too many."""

_NUMBER = "flowmate"


@dataclass(slots=True)
class _Sent:
    """A stream's records: how many went out since its last state, and the states' numbers."""

    since: int = 0
    number: int = 0
    stored: int = 0
    counts: dict[int, int] = field(default_factory=dict)


class Acknowledgements:
    """Keeps count for one run of a destination. The feeding thread and the reading one share it."""

    def __init__(self, keys: Iterable[StreamKey]) -> None:
        self._lock = threading.Lock()
        self._sent = {key: _Sent() for key in keys}
        self._open: deque[tuple[Mapping[StreamKey, int], StateEvent]] = deque()
        self._waiting: StateEvent | None = None

    def record(self, key: StreamKey) -> None:
        """Count a record that goes out. Only the feeding thread calls it."""
        self._sent[key].since += 1

    def state(self, event: StateEvent) -> Sequence[bytes]:
        """Return the lines that ask the destination to confirm what came before a state of the source."""
        with self._lock:
            if len(self._open) >= MAX_OPEN:
                self._waiting = event  # a later one tells the same and more
                return ()
            return self._ask(event)

    def last(self) -> Sequence[bytes]:
        """Return the lines that ask the destination to confirm all."""
        with self._lock:
            return self._ask(self._waiting)

    def confirmed(self, key: StreamKey, state: Mapping[str, Any]) -> tuple[int, int] | None:
        """Take a state that came back.

        :returns: how many records went out for it: with that state alone, and since the one that came back before;
            None: it is none of ours
        """
        number = state.get(_NUMBER)
        with self._lock:
            sent = self._sent.get(key)
            if sent is None or not isinstance(number, int) or number not in sent.counts:
                return None
            covered = {each: count for each, count in sent.counts.items() if each <= number}
            for each in covered:
                del sent.counts[each]
            sent.stored = number
            return covered[number], sum(covered.values())

    def reached(self) -> list[StateEvent]:
        """Return the state of the source up to which all is stored, if it is a new one."""
        found: list[StateEvent] = []
        with self._lock:
            while self._open and all(self._sent[key].stored >= number for key, number in self._open[0][0].items()):
                found = [self._open.popleft()[1]]
        return found

    def unconfirmed(self) -> dict[StreamKey, int]:
        """Return how many records of each stream went out that are not known to be stored."""
        with self._lock:
            open_ = {key: sent.since + sum(sent.counts.values()) for key, sent in self._sent.items()}
        return {key: count for key, count in open_.items() if count}

    def _ask(self, event: StateEvent | None) -> list[bytes]:
        lines = []
        for key, sent in self._sent.items():
            if sent.since:
                sent.number += 1
                sent.counts[sent.number] = sent.since
                lines.append(_state_line(key, sent.number, sent.since))
                sent.since = 0
        if event is not None:
            self._open.append(({key: sent.number for key, sent in self._sent.items() if sent.counts}, event))
            self._waiting = None
        return lines


def _state_line(key: StreamKey, number: int, count: int) -> bytes:
    stream = {"stream_descriptor": key.descriptor, "stream_state": {_NUMBER: number}}
    state = {"type": "STREAM", "stream": stream, "sourceStats": {"recordCount": float(count)}}
    return orjson.dumps({"type": "STATE", "state": state}, option=orjson.OPT_APPEND_NEWLINE)
