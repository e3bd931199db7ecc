"""What was seen of one run of a component."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from flowmate_airflow.protocols.events import CheckEvent, ErrorEvent, RejectedEvent
from flowmate_airflow.protocols.streams import Stream
from flowmate_airflow.steps.steplog import clean_failure

MAX_RECORDS = 100_000
"""Records of one run; a source that has more is stopped, which is no failure."""
MAX_KEPT = 20_000
"""Records of one run whose data is kept."""


@dataclass(frozen=True, slots=True)
class Record:
    """A message that a component emitted.

    :param digest: of stream and data
    :param data: None for those that came after many others
    """

    stream: str | None
    digest: bytes
    data: Any = None


@dataclass(slots=True)
class Seen:
    """One run.

    :param lines: whether each line of its stdout is a message of the protocol
    :param code: the exit code, None when it did not end by itself
    :param late: it was stopped since it took too long
    :param cut: it was stopped since the check had seen enough
    :param full: it was stopped since it had too many records
    :param broken: how it broke its protocol
    :param failure: why it could not be run, or was ended by the runtime
    :param state_at: how many records there were at the last state
    :param noise: lines of stdout that mean nothing in its protocol
    :param renewals: how often it asked for new credentials
    """

    what: str
    lines: bool = True
    code: int | None = None
    reason: str | None = None
    late: bool = False
    cut: bool = False
    full: bool = False
    broken: str | None = None
    failure: str | None = None
    records: list[Record] = field(default_factory=list)
    streams: dict[str, Stream] = field(default_factory=dict)
    undeclared: set[str] = field(default_factory=set)
    state: Any = None
    has_state: bool = False
    state_at: int = 0
    states: int = 0
    results: list[str] = field(default_factory=list)
    errors: list[ErrorEvent] = field(default_factory=list)
    rejected: list[RejectedEvent] = field(default_factory=list)
    check: CheckEvent | None = None
    catalog: list[Stream] | None = None
    description: Mapping[str, Any] | None = None
    noise: int = 0
    renewals: int = 0
    last_line: str = ""
    seconds: float = 0.0

    @property
    def failed(self) -> ErrorEvent | None:
        """The error of the whole run, where the component told one."""
        return next((error for error in self.errors if error.message_id is None), None)

    def problem(self) -> str | None:
        """Return why the run did not end well, None when it did."""
        if self.failure is not None:
            return self.failure
        if self.broken is not None:
            return f"it broke its protocol: {clean_failure(self.broken)}"
        if self.late:
            return f"it did not end within {self.seconds:.0f} seconds"
        if self.failed is not None:
            return f"it failed: {clean_failure(self.failed.text)}"
        if self.cut or self.full:
            return None
        if self.code != 0:
            told = self.reason or self.last_line
            return f"it ended with exit code {self.code}" + (f": {clean_failure(told)[:500]}" if told else "")
        return None


def record_of(message: Mapping[str, Any], *, keep: bool) -> Record:
    """Return what is kept of a message."""
    metadata = message.get("metadata")
    stream = metadata.get("stream") if isinstance(metadata, Mapping) else None
    stream = stream if isinstance(stream, str) else None
    data = message.get("data")
    text = orjson.dumps([stream, data], option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return Record(stream, hashlib.blake2b(text, digest_size=16).digest(), data if keep else None)
