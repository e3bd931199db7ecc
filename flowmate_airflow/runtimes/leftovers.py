"""Finding processes that an earlier start left behind, by a mark in their environment (on Linux)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = "FLOWMATE_PROCESS"
"""The variable that carries the mark: child processes inherit it, also those that left the process group."""


def kill_marked(mark: str) -> int:
    """Kill all processes of this user that carry the mark; return how many were found."""
    killed = 0
    for process in _marked(f"{MARK}={mark}".encode()):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)
            killed += 1
    return killed


def _marked(entry: bytes) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)
        except OSError:  # it has ended, or belongs to somebody else
            continue
