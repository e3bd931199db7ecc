"""Connectors as their users meet them: processes that speak the protocol over pipes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from flowmate_airflow.protocols.base import Request
from flowmate_airflow.protocols.component import config_line, message_line, parse_line
from flowmate_airflow.protocols.events import (
    ErrorEvent,
    Event,
    LogEvent,
    MessageEvent,
    ProgressEvent,
    StateEvent,
)

CONNECTORS = Path(__file__).resolve().parents[3] / "connectors"
DEADLINE = 60


@dataclass
class Outcome:
    """What a run of a connector printed, as the host understands it."""

    code: int
    events: list[Event]
    stdout: bytes
    stderr: str
    messages: list[dict[str, Any]] = field(init=False)
    errors: list[ErrorEvent] = field(init=False)

    def __post_init__(self) -> None:
        self.messages = [event.message for event in self.events if isinstance(event, MessageEvent)]
        self.errors = [event for event in self.events if isinstance(event, ErrorEvent)]

    @property
    def data(self) -> list[Any]:
        return [message["data"] for message in self.messages]

    @property
    def states(self) -> list[Any]:
        return [event.state for event in self.events if isinstance(event, StateEvent)]

    @property
    def logs(self) -> list[LogEvent]:
        return [event for event in self.events if isinstance(event, LogEvent)]

    @property
    def progress(self) -> list[ProgressEvent]:
        return [event for event in self.events if isinstance(event, ProgressEvent)]


Start = Callable[..., "subprocess.Popen[bytes]"]
Run = Callable[..., Outcome]


# Without the `site` module: an environment with Airflow in it has start-up hooks that a connector never sees, and
# that take longer than most runs here.
PYTHON = [sys.executable, "-S"]


def environment(**extra: str) -> dict[str, str]:
    path = os.pathsep.join([str(CONNECTORS / "sdk"), sysconfig.get_path("purelib")])
    return {**os.environ, "PYTHONPATH": path, **extra}


def feed(
    config: dict[str, Any] | None = None,
    messages: Iterable[Any] = (),
    credentials: dict[str, Any] | None = None,
    state: Any = None,
    on_error: str | None = None,
) -> bytes:
    """Return the whole stdin of a run; messages get the ids 1, 2, and so on."""
    context = {"flow": "f", "step": "s", "run_id": "r", "try_number": 1}
    if on_error is not None:
        context["on_error"] = on_error
    request = Request(config=config or {}, credentials=credentials or {}, state=state, context=context)
    lines = [config_line(request)]
    lines += [
        message_line(json.dumps({"id": str(number), "data": data}).encode())
        for number, data in enumerate(messages, start=1)
    ]
    return b"".join(lines)


def run_process(command: list[str], stdin: bytes, folder: Path, **variables: str) -> Outcome:
    """Run a connector to its end in a process of its own and return what it printed.

    :param command: what follows `python`: `-m module …` or a file and its arguments
    """
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        source.write(stdin)
        source.seek(0)
        request = {"folder": str(folder), "command": command, "environment": variables}
        connection = _zygote()
        socket.send_fds(connection, [json.dumps(request).encode()], [file.fileno() for file in (source, out, err)])
        code = int(connection.recv(16))
        out.seek(0)
        err.seek(0)
        stdout, stderr = out.read(), err.read()
    return Outcome(code, [parse_line(line) for line in stdout.splitlines()], stdout, stderr.decode())


@cache
def _zygote() -> socket.socket:
    ours, its = socket.socketpair()
    ours.settimeout(DEADLINE)
    script = str(Path(__file__).with_name("zygote.py"))
    # It ends when this process does, since its end of the socket is closed then.
    subprocess.Popen([*PYTHON, script, str(its.fileno())], env=environment(), pass_fds=[its.fileno()])
    its.close()
    return ours
