"""Lines as Airbyte connectors write them, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from flowmate_airflow.protocols.base import FILES, Conversation, Item, Launch
from flowmate_airflow.protocols.events import Event

E = TypeVar("E")


def line(kind: str, **parts: Any) -> bytes:
    return json.dumps({"type": kind, **parts}).encode()


def record(stream: str, data: Any, **more: Any) -> bytes:
    return line("RECORD", record={"stream": stream, "data": data, "emitted_at": 1700000000000, **more})


def stream_state(stream: str, state: Any, count: float | None = None, namespace: str | None = None) -> bytes:
    descriptor = {"name": stream} if namespace is None else {"name": stream, "namespace": namespace}
    entry: dict[str, Any] = {"type": "STREAM", "stream": {"stream_descriptor": descriptor, "stream_state": state}}
    if count is not None:
        entry["sourceStats"] = {"recordCount": count}
    return line("STATE", state=entry)


def trace(kind: str, **parts: Any) -> bytes:
    return line("TRACE", trace={"type": kind, "emitted_at": 1700000000000.0, **parts})


def status(stream: str, status: str, **more: Any) -> bytes:
    return trace("STREAM_STATUS", stream_status={"stream_descriptor": {"name": stream}, "status": status, **more})


def error(message: str, failure_type: str, **more: Any) -> bytes:
    return trace("ERROR", error={"message": message, "failure_type": failure_type, **more})


def take_all(conversation: Conversation, lines: Iterable[bytes], code: int | None = 0) -> list[Event]:
    """Return what a component's output and end mean; without a code, it has not ended."""
    events = [event for each in lines for event in conversation.take(each)]
    return events if code is None else [*events, *conversation.end(code, {})]


def only(kind: type[E], events: Iterable[Any]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def file_of(launch: Launch, option: str) -> Any:
    """Return what is in the file that an option of the start names."""
    arguments = list(launch.arguments)
    path = arguments[arguments.index(f"--{option}") + 1]
    assert path.startswith(f"{FILES}/")
    return json.loads(launch.files[path[len(FILES) + 1 :]])


Destination = Callable[[Iterator[dict[str, Any]]], Iterable[bytes]]
"""Messages in, lines out."""


def write(conversation: Conversation, items: Iterable[Item], destination: Destination, code: int = 0) -> list[Event]:
    """Feed a destination, and return what its output and end mean."""
    conversation.launch()
    messages = (json.loads(each) for each in conversation.feed(items))
    return take_all(conversation, destination(messages), code)


def message(number: int, stream: str | None = "users", **metadata: Any) -> bytes:
    facts = metadata if stream is None else {"stream": stream, **metadata}
    return json.dumps({"id": f"m-{number}", "data": {"id": number}, "metadata": facts}).encode()
