"""What a component may make a step remember: it can say anything, and say it without an end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from flowmate_airflow.batches.batch import depth_is_at_most
from flowmate_airflow.protocols.events import ProtocolError
from flowmate_airflow.steps.outcome import Failure
from flowmate_airflow.steps.steplog import MAX_FAILURE, MAX_ID

MAX_FAILURES = 100_000
"""Messages that may fail in one try of a step that keeps them: their reasons are in memory until it ends."""
MAX_FAILED_SIZE = 64 * 1024 * 1024
"""Characters of what is kept about them: ids and reasons."""
MAX_STREAMS = 10_000
"""Streams of one run: each is counted by itself, and has a schema."""
MAX_SCHEMAS = 64 * 1024 * 1024
"""Bytes of all that a component says about its streams."""
MAX_KEPT_ID = 10_000
"""Characters of an id, or of a stream's name, that is kept after its message has gone."""
MAX_CHANGED = 256 * 1024
"""Bytes of all credentials that a component changed."""
MAX_CHANGES = 1000
"""How often it may change them in one try."""
MAX_KEPT_DEPTH = 200
"""How deep lists and objects may nest in what is handed to the component again: less than the encoder goes."""


def may_change(credentials: Mapping[str, Any], changes: int) -> bool:
    """Whether credentials can be kept and handed to the component again.

    :param changes: how often it has changed them so far
    """
    if changes > MAX_CHANGES or not depth_is_at_most(credentials, MAX_KEPT_DEPTH):
        return False
    return len(orjson.dumps(credentials)) <= MAX_CHANGED


class Bounds:
    """Counts what one run of a component makes its step remember."""

    def __init__(self) -> None:
        self._schemas: dict[str, int] = {}
        self._schema_bytes = 0
        self._failures = 0
        self._failed_size = 0

    def described(self, stream: str, size: int) -> None:
        """Note that a stream was described.

        :param size: of the line that did it, in bytes
        :raises ProtocolError: there are too many, or they need too much room
        """
        self._schema_bytes += size - self._schemas.get(stream, 0)
        self._schemas[stream] = size
        self._check_streams(len(self._schemas))
        if self._schema_bytes > MAX_SCHEMAS:
            raise ProtocolError(f"it needs more than {MAX_SCHEMAS:,} bytes to describe its streams")

    def new_stream(self, name: str, count: int) -> None:
        """Note a stream that no message had before.

        :param count: how many there are now
        :raises ProtocolError: there are too many, or it has no name to keep
        """
        if len(name) > MAX_KEPT_ID:
            raise ProtocolError(f"the name of a stream has more than {MAX_KEPT_ID:,} characters")
        self._check_streams(count)

    def failed(self, failure: Failure) -> Failure | None:
        """Return a failure as it is kept, None when there is no more room. The more there are, the shorter."""
        text = failure.text[: MAX_FAILURE if self._failed_size < MAX_FAILED_SIZE // 2 else MAX_ID]
        self._failures += 1
        self._failed_size += len(text) + len(failure.message_id or failure.external_id or "")
        if self._failures > MAX_FAILURES or self._failed_size > MAX_FAILED_SIZE:
            return None
        return replace(failure, text=text)

    def remote_id(self, remote_id: str) -> str:
        """Return an id of the other system.

        :raises ProtocolError: it is too long to be one
        """
        if len(remote_id) > MAX_KEPT_ID:
            raise ProtocolError(f"the `remote_id` of a RESULT has more than {MAX_KEPT_ID:,} characters")
        return remote_id

    @staticmethod
    def _check_streams(count: int) -> None:
        if count > MAX_STREAMS:
            raise ProtocolError(f"it has more than {MAX_STREAMS:,} streams")
