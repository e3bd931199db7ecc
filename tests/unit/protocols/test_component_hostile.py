"""Lines of a component that are valid JSON and yet not what they seem."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from flowmate_airflow.batches.message import canonical
from flowmate_airflow.protocols.base import Request
from flowmate_airflow.protocols.component import ComponentConversation, message_line, parse_line
from flowmate_airflow.protocols.events import MessageEvent, ProtocolError


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"MESSAGE","message": {"data":1}}',
        b'{"type":"MESSAGE","message":\t{"data":1}}',
        b'{"type":"MESSAGE","message":{"data":1} }',
        b'{"type":"MESSAGE","message":{"data":2},"message":{"data":1}}',
        b'{"type":"MESSAGE","message":{"id":"a","data":2},"message":{"data":1}}',
        b'{"type":"MESSAGE","message":{"data":1},"type":"MESSAGE"}',
        b'{"type":"MESSAGE","message":7,"message":{"data":1}}',
        b'{"type": "MESSAGE", "message": {"data": 1}}',
        b'{"type":"MESSAGE","message":{"data":1},"more":{}}',
    ],
)
def test_what_goes_on_is_one_message_however_the_line_is_written(line: bytes) -> None:
    event = parse_line(line)
    assert isinstance(event, MessageEvent)
    message, raw = canonical(event.message, event.line, "m", 1)
    assert message["data"] == 1
    if raw is not None:
        assert orjson.loads(raw) == message
        assert orjson.loads(message_line(raw)) == {"type": "MESSAGE", "message": message}


def test_a_line_with_its_type_twice_is_what_it_says_last() -> None:
    event = parse_line(b'{"type":"MESSAGE","message":{"data":1},"type":"LOG"}')
    assert not isinstance(event, MessageEvent)


@pytest.mark.parametrize(
    "part",
    [
        {"primary_key": 5},
        {"primary_key": "id"},
        {"primary_key": [["id"]]},
        {"schema": "x"},
        {"schema": [1]},
        {"cursor": {}},
        {"namespace": 5},
        {"name": None},
    ],
)
@pytest.mark.parametrize("kind", ["STREAM", "CATALOG"])
def test_a_stream_of_wrong_types_breaks_the_protocol(kind: str, part: dict[str, Any]) -> None:
    stream = {"name": "a", **part}
    line = {"type": "STREAM", "stream": stream} if kind == "STREAM" else {"type": "CATALOG", "streams": [stream]}
    with pytest.raises(ProtocolError, match=f"a {kind} line"):
        list(ComponentConversation(Request()).take(orjson.dumps(line)))
