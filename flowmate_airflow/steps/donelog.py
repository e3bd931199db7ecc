"""The ids of messages that are done, however many: on disk, not in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import orjson

_IN_MEMORY = 1024 * 1024


class DoneLog:
    """A list of ids that only grows."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, prefix="flowmate-done-")  # noqa: SIM115
        self.count = 0

    def add(self, message_id: str) -> None:
        """Add an id."""
        self._file.write(orjson.dumps(message_id, option=orjson.OPT_APPEND_NEWLINE))
        self.count += 1

    def __iter__(self) -> Iterator[str]:
        self._file.seek(0)
        for line in self._file:
            yield orjson.loads(line)
        self._file.seek(0, 2)
