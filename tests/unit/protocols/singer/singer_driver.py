"""Runs a program of this folder as a step would: files, arguments, stdin, stdout, stderr, exit code, files again."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from flowmate_airflow.protocols.base import FILES, Conversation, Item
from flowmate_airflow.protocols.events import Event, LogEvent, MessageEvent

PROGRAMS = Path(__file__).parent / "programs"


@dataclass
class Ended:
    """What one run of a program came to."""

    code: int
    events: list[Event]
    log: list[LogEvent]

    def of(self, kind: type) -> list[Any]:
        """Return the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def data(self) -> list[Any]:
        """The data of the messages."""
        return [event.message["data"] for event in self.of(MessageEvent)]


def run_program(name: str, conversation: Conversation, items: Iterable[Item] = ()) -> Ended:
    """Start a program as the conversation says and talk to its end."""
    launch = conversation.launch()
    with tempfile.TemporaryDirectory() as folder:
        for file, content in launch.files.items():
            (Path(folder) / file).write_bytes(content)
        arguments = [each.replace(FILES, folder) for each in launch.arguments]
        program = subprocess.Popen(
            [sys.executable, str(PROGRAMS / name), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert program.stdin
        assert program.stdout
        assert program.stderr
        feeder = threading.Thread(target=_feed, args=(program.stdin, conversation, items))
        feeder.start()
        events = [event for line in program.stdout for event in conversation.take(line.rstrip(b"\n"))]
        log = [conversation.take_log(line.rstrip(b"\n")) for line in program.stderr]
        code = program.wait()
        feeder.join()
        program.stdout.close()
        program.stderr.close()
        paths = [Path(folder) / file for file in launch.read_back]
        events += conversation.end(code, {path.name: path.read_bytes() for path in paths if path.exists()})
    return Ended(code, events, log)


def _feed(stdin: Any, conversation: Conversation, items: Iterable[Item]) -> None:
    with contextlib.suppress(BrokenPipeError):
        for line in conversation.feed(items):
            stdin.write(line)
            stdin.flush()
    with contextlib.suppress(BrokenPipeError):
        stdin.close()


def message(number: int | str, data: Any, stream: str | None = "orders", **metadata: Any) -> bytes:
    """Return a message as a step hands it on."""
    about = {**({} if stream is None else {"stream": stream}), **metadata}
    return orjson.dumps({"id": f"m{number}", "data": data, **({"metadata": about} if about else {})})
