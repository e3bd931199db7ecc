"""Who has the turn to renew, by a name that tells others on the same machine whether the process still lives.

A process that was killed leaves its turn behind, and until that runs out nobody knows whether it works or is no more.
Who runs on the same kernel and in the same PID namespace need not wait for that: the kernel knows.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import uuid
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
_HOST = 80
_NAME = re.compile(r"(?P<host>.*)/(?P<place>[0-9a-f]{16})/(?P<pid>[0-9]+)\.(?P<started>[0-9]+)/[0-9a-f]{32}")
_ENDED = frozenset("ZXx")
"""States of a process that only waits for its parent to take notice (proc(5))."""


def new_owner() -> str:
    """Return a name that nobody has had, for a turn of this process."""
    started = _life(os.getpid())
    process = f"{os.getpid()}.{started[1]}" if started else str(os.getpid())
    return f"{socket.gethostname()[:_HOST]}/{_place()}/{process}/{uuid.uuid4().hex}"


def is_gone(owner: str) -> bool:
    """Whether the process is known to live no more; False also where that cannot be known."""
    named = _NAME.fullmatch(owner)
    if named is None or (named["host"], named["place"]) != (socket.gethostname()[:_HOST], _place()):
        return False
    pid = int(named["pid"])
    try:
        os.kill(pid, 0)  # signals nothing; also answers for processes that /proc hides from us
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        pass  # another user's
    found = _life(pid)
    return found is not None and (found[0] in _ENDED or found[1] != named["started"])


@cache
def _place() -> str:
    """Return what tells this kernel, since it was booted, and this PID namespace from others; empty: nobody knows."""
    try:
        booted = (_PROC / "sys/kernel/random/boot_id").read_text()
        namespace = (_PROC / "self/ns/pid").readlink()
    except OSError:
        return ""
    return hashlib.sha256(f"{booted}\0{namespace}".encode()).hexdigest()[:16]


def _life(pid: int) -> tuple[str, str] | None:
    """Return the state of a process and when it began, which tells it from a later one of the same number."""
    try:
        # The name of the program comes before, in parentheses, with whatever it has in it.
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return None
