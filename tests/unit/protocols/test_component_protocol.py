"""Protocol `component`: whatever a component prints is an event or a protocol error, and no message is lost."""

from __future__ import annotations

import logging
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmate_airflow.protocols.base import Request
from flowmate_airflow.protocols.component import config_line, failure_type_of_exit, message_line, parse_line
from flowmate_airflow.protocols.events import (
    ErrorEvent,
    LogEvent,
    MessageEvent,
    ProgressEvent,
    ProtocolError,
    StateEvent,
)

EVENTS = (ErrorEvent, LogEvent, MessageEvent, ProgressEvent, StateEvent)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=6,
)
_TYPES = st.sampled_from(["MESSAGE", "STATE", "ERROR", "LOG", "PROGRESS", "OTHER"])


@given(st.binary().filter(lambda line: b"\n" not in line))
def test_any_line_is_an_event_or_a_protocol_error(line: bytes) -> None:
    try:
        event = parse_line(line)
    except ProtocolError as error:
        event = LogEvent(logging.ERROR, str(error))
    assert isinstance(event, EVENTS)


@given(
    _TYPES,
    st.dictionaries(st.sampled_from(["message", "state", "id", "failure_type", "done", "total", "level"]), _JSON),
)
def test_any_object_is_an_event_or_a_protocol_error(kind: str, value: dict[str, Any]) -> None:
    try:
        event = parse_line(orjson.dumps({"type": kind, **value}))
    except ProtocolError as error:
        event = LogEvent(logging.ERROR, str(error))
    assert isinstance(event, EVENTS)


@given(st.dictionaries(_TEXT, _JSON), _JSON)
def test_a_message_arrives_as_it_was_sent(rest: dict[str, Any], data: Any) -> None:
    message = {**rest, "data": data}
    line = message_line(orjson.dumps(message))
    assert line.count(b"\n") == 1
    assert parse_line(line.rstrip(b"\n")) == MessageEvent(message)


@given(st.integers(1, 60))
def test_a_message_cut_off_is_never_log(cut: int) -> None:
    line = orjson.dumps({"type": "MESSAGE", "message": {"id": "1", "data": {"a": [1, 2, 3], "b": "text"}}})
    with pytest.raises(ProtocolError):
        parse_line(line[: -min(cut, len(line) - 9)])


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        b"[1]",
        b"{oops",
        b'{"a": 1}',
        b'{"type": 5}',
        b'{"type": "MESSAGES"}',
        b"\xff\xfe",
        b'{"x": "\xff"}',
    ],
)
def test_what_is_no_event_is_log(line: bytes) -> None:
    assert isinstance(parse_line(line), LogEvent)


@pytest.mark.parametrize(
    "value",
    [
        {"type": "MESSAGE"},
        {"type": "MESSAGE", "message": {}},
        {"type": "MESSAGE", "message": [1]},
        {"type": "STATE"},
        {"type": "ERROR", "failure_type": "odd"},
        {"type": "ERROR", "failure_type": [1]},
        {"type": "PROGRESS"},
        {"type": "PROGRESS", "done": "1"},
        {"type": "PROGRESS", "done": 1, "total": 2.5},
    ],
)
def test_half_an_event_breaks_the_protocol(value: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        parse_line(orjson.dumps(value))


def test_events_have_their_parts() -> None:
    assert parse_line(b'{"type":"STATE","state":null}') == StateEvent(None)
    assert parse_line(b'{"type":"ERROR","message":"x","id":7}') == ErrorEvent("x", "system", "7")
    assert parse_line(b'{"type":"LOG","level":"WARN","message":"x"}') == LogEvent(logging.WARNING, "x")
    assert parse_line(b'{"type":"LOG","level":[1],"message":{"a":1}}').level == logging.INFO  # type: ignore[union-attr]
    assert parse_line(b'{"type":"PROGRESS","done":1,"total":2,"text":"rows"}') == ProgressEvent(1, 2, "rows")


def test_the_config_line_is_one_line() -> None:
    line = config_line(Request(config={"a": "x\ny"}, credentials={"key": "k\nl"}, context={"step": "s"}))
    assert line.count(b"\n") == 1
    assert orjson.loads(line)["credentials"] == {"key": "k\nl"}


def test_exit_codes_say_who_must_act() -> None:
    assert [failure_type_of_exit(code) for code in (78, 75, 1, 137)] == ["config", "transient", "system", "system"]
