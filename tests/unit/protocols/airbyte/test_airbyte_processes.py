"""A source and a destination as processes of their own: twice, killed in the middle, and read again."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from airbyte_lines_of import only

from flowmate_airflow.protocols.airbyte_destination import AirbyteDestination
from flowmate_airflow.protocols.airbyte_source import AirbyteSource
from flowmate_airflow.protocols.base import FILES, Conversation, Item, Request
from flowmate_airflow.protocols.events import CheckEvent, ErrorEvent, Event, MessageEvent, StateEvent
from flowmate_airflow.protocols.streams import Load, SelectedStream, Stream

SOURCE = """
import json, sys
def say(kind, **parts): print(json.dumps({"type": kind, **parts}), flush=True)
options = dict(zip(sys.argv[2::2], (open(name).read() for name in sys.argv[3::2])))
config = json.loads(options["--config"])
if sys.argv[1] == "check":
    good = config.get("key") == "good"
    say("CONNECTION_STATUS", connectionStatus={"status": "SUCCEEDED" if good else "FAILED", "message": "wrong key"})
    sys.exit(0)
state = json.loads(options.get("--state", "[]"))
done = state[0]["stream"]["stream_state"]["id"] if state else 0
descriptor = {"name": "users"}
def status(what):
    say("TRACE", trace={"type": "STREAM_STATUS", "stream_status": {"stream_descriptor": descriptor, "status": what}})
assert [each["sync_mode"] for each in json.loads(options["--catalog"])["streams"]] == ["incremental"]
print("starting", flush=True)
status("STARTED")
count = 0
for number in range(done + 1, config["last"] + 1):
    say("RECORD", record={"stream": "users", "data": {"id": number}, "emitted_at": 1700000000000})
    count += 1
    if number % 10 == 0:
        state = {"stream_descriptor": descriptor, "stream_state": {"id": number}}
        say("STATE", state={"type": "STREAM", "stream": state, "sourceStats": {"recordCount": float(count)}})
        count = 0
    if number == config.get("die_at"):
        sys.stdin.read()
status("COMPLETE")
"""

DESTINATION = """
import json, sys
options = dict(zip(sys.argv[2::2], (open(name).read() for name in sys.argv[3::2])))
config, catalog = (json.loads(options[name]) for name in ("--config", "--catalog"))
mode = catalog["streams"][0]["destination_sync_mode"]
table = {} if mode == "overwrite" else json.load(open(config["path"]))
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "RECORD":
        key = message["record"]["data"]["id"] if mode == "append_dedup" else len(table)
        table[str(key)] = message["record"]["data"]
    elif message["type"] == "STATE":
        json.dump(table, open(config["path"], "w"))
        print(line, end="", flush=True)
"""


class Program:
    """Runs a conversation's start with a folder in the place of the container's."""

    def __init__(self, folder: Path, text: str) -> None:
        self._folder = folder
        self._program = folder / "program.py"
        self._program.write_text(text)

    def run(self, conversation: Conversation, items: Iterable[Item] = (), kill_after: int | None = None) -> list[Event]:
        """Return what it said. It is killed after that many messages, if a number is given."""
        launch = conversation.launch()
        for name, content in launch.files.items():
            (self._folder / name).write_bytes(content)
        arguments = [each.replace(FILES, str(self._folder)) for each in launch.arguments]
        events: list[Event] = []
        with subprocess.Popen(
            [sys.executable, str(self._program), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            feeder = threading.Thread(target=self._feed, args=(process, conversation.feed(items), kill_after is None))
            feeder.start()
            assert process.stdout is not None
            for line in process.stdout:
                events += conversation.take(line.rstrip(b"\n"))
                if kill_after is not None and len(only(MessageEvent, events)) >= kill_after:
                    process.kill()
                    break
            code = process.wait()
            feeder.join()
        return [*events, *conversation.end(code, {})]

    def _feed(self, process: subprocess.Popen[bytes], lines: Iterable[bytes], close: bool) -> None:
        assert process.stdin is not None
        for line in lines:
            process.stdin.write(line)
        if close:
            process.stdin.close()


USERS = Stream("users", {"type": "object", "properties": {"id": {"type": "integer"}}}, ("id",), "id", incremental=True)


@pytest.fixture
def source(tmp_path: Path) -> Program:
    (tmp_path / "source").mkdir()
    return Program(tmp_path / "source", SOURCE)


@pytest.fixture
def destination(tmp_path: Path) -> Program:
    (tmp_path / "destination").mkdir()
    return Program(tmp_path / "destination", DESTINATION)


def reading(state: Any = None, **config: Any) -> AirbyteSource:
    return AirbyteSource(Request(config=config, state=state, selected=[SelectedStream(USERS, mode="incremental")]))


def ids(events: Iterable[Event]) -> list[int]:
    return [each.message["data"]["id"] for each in only(MessageEvent, events)]


def last_state(events: Iterable[Event]) -> Any:
    return only(StateEvent, events)[-1].state


@pytest.mark.parametrize(("key", "ok"), [("good", True), ("bad", False)])
def test_credentials_are_checked(source: Program, key: str, ok: bool) -> None:
    events = source.run(AirbyteSource(Request(verb="check", credentials={"key": key})))
    assert [each.ok for each in only(CheckEvent, events)] == [ok]


def test_the_second_read_gets_only_what_is_new(source: Program) -> None:
    first = source.run(reading(last=30))
    again = source.run(reading(last_state(first), last=30))
    more = source.run(reading(last_state(first), last=35))
    assert (ids(first), ids(again), ids(more)) == ([*range(1, 31)], [], [*range(31, 36)])
    assert not only(ErrorEvent, [*first, *again, *more])


def test_a_killed_read_goes_on_where_its_last_state_was(source: Program, destination: Program, tmp_path: Path) -> None:
    killed = source.run(reading(last=50, die_at=25), kill_after=25)
    resumed = source.run(reading(last_state(killed), last=50))
    assert ids(resumed) == [*range(21, 51)]

    table = tmp_path / "table.json"
    table.write_text("{}")
    for events in (killed, resumed):
        items: list[Item] = []
        for each in events:
            if isinstance(each, MessageEvent):
                items.append(orjson.dumps({"id": str(len(items)), **each.message}))
            elif isinstance(each, StateEvent):
                items.append(each)
        request = Request(config={"path": str(table)}, incoming=[USERS], load=Load(mode="dedup"))
        stored = destination.run(AirbyteDestination(request), items)
        assert not only(ErrorEvent, stored)
        assert last_state(stored) == last_state(events)
    assert sorted(each["id"] for each in orjson.loads(table.read_bytes()).values()) == [*range(1, 51)]
