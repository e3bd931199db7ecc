"""Finding processes that an earlier start left behind, by a mark in their environment (on Linux)."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = "FLOWMATE_PROCESS"
"""The variable that carries the mark: child processes inherit it, also those that left the process group."""


_PATIENCE = 10.0


def kill_marked(mark: str) -> int:
    """Kill all processes of this user with the mark, wait until they are gone, return how many it were."""
    found = list(_marked(f"{MARK}={mark}".encode()))
    for process in found:
        _kill(process)
    return len(found)


def _kill(process: int) -> None:
    try:
        # A descriptor, not the number: that may belong to another process by now.
        descriptor = os.pidfd_open(process)
    except OSError:
        return
    try:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        select.select([descriptor], [], [], _PATIENCE)
    finally:
        os.close(descriptor)


def _marked(entry: bytes) -> Iterator[int]:
    if sys.platform != "linux":
        return
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)
        except OSError:  # it has ended, or belongs to somebody else
            continue
