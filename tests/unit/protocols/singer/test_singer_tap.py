"""What the lines of a tap mean, good ones and bad ones."""

from __future__ import annotations

import contextlib
import logging

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmate_airflow.catalog.manifest import SingerImage
from flowmate_airflow.protocols.base import Request, Verb
from flowmate_airflow.protocols.events import (
    CatalogEvent,
    CheckEvent,
    Event,
    LogEvent,
    MessageEvent,
    ProtocolError,
    RequestError,
    StateEvent,
    StreamEvent,
)
from flowmate_airflow.protocols.singer_tap import MAX_STREAMS, SingerTap
from flowmate_airflow.protocols.streams import SelectedStream, Stream

SCHEMA = b'{"type":"SCHEMA","stream":"orders","schema":{"properties":{"id":{}}},"key_properties":["id"]}'


def tap(verb: Verb = "run", image: SingerImage | None = None, **request: object) -> SingerTap:
    return SingerTap(Request(verb, **request), image or SingerImage())  # type: ignore[arg-type]


def take(*lines: bytes) -> list[Event]:
    conversation = tap()
    return [event for line in lines for event in conversation.take(line)]


def test_a_record_is_a_message_of_its_stream() -> None:
    events = take(SCHEMA, b'{"type":"RECORD","stream":"orders","record":{"id":1}}')
    assert events[0] == StreamEvent(Stream("orders", {"properties": {"id": {}}}, primary_key=("id",)))
    assert events[1] == MessageEvent({"data": {"id": 1}, "metadata": {"stream": "orders"}})


def test_when_a_record_was_read_stays_with_it() -> None:
    line = b'{"type":"RECORD","stream":"orders","record":{},"time_extracted":"2024-01-01T00:00:00Z","version":17}'
    (message,) = take(SCHEMA, line)[1:]
    assert isinstance(message, MessageEvent)
    assert message.message["metadata"] == {"stream": "orders", "extracted_at": "2024-01-01T00:00:00Z", "version": 17}


def test_a_schema_that_is_said_again_is_told_once() -> None:
    changed = SCHEMA.replace(b'"id":{}', b'"id":{},"name":{}')
    assert [type(event) for event in take(SCHEMA, SCHEMA, changed, changed)] == [StreamEvent, StreamEvent]


def test_a_stream_nobody_declared_is_open_and_warned_of_once() -> None:
    line = b'{"type":"RECORD","stream":"x","record":{"a":1}}'
    warning, stream, *messages = take(line, line)
    assert isinstance(warning, LogEvent)
    assert warning.level == logging.WARNING
    assert isinstance(stream, StreamEvent)
    assert stream.stream == Stream("x")
    assert len(messages) == 2


def test_a_state_of_null_says_nothing() -> None:
    assert take(b'{"type":"STATE","value":{"a":1}}') == [StateEvent({"a": 1})]
    assert [type(event) for event in take(b'{"type":"STATE","value":null}')] == [LogEvent]


@pytest.mark.parametrize(
    "line",
    [
        b"25% done",
        b"",
        b"[1]",
        b'"text"',
        b"NaN",
        b"{'type': 'a dict of Python'}",
        b'{"progress": 3}',
        b'{"progress": NaN}',
        b'{"type":["RECORD"]}',
        b'{"type":"METRIC"}',
        b"\xff\xfe",
    ],
)
def test_other_lines_are_log(line: bytes) -> None:
    (event,) = take(line)
    assert isinstance(event, LogEvent)
    assert event.level == logging.INFO


def test_versions_are_left_alone() -> None:
    (event,) = take(b'{"type":"ACTIVATE_VERSION","stream":"orders","version":1}')
    assert isinstance(event, LogEvent)
    assert event.level == logging.DEBUG


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            b'{"type":"RECORD","stream":"orders","record":{"a":{"b":[1,NaN]}}}',
            "`a.b.1` of the tap's record number 1 is NaN",
        ),
        (
            b'{"type":"RECORD","stream":"orders","record":{"a":1e400}}',
            "field `a` of the tap's record number 1 is 1e400",
        ),
        (b'{"type":"RECORD","stream":"orders","record":{"a":-Infinity}}', "is -Infinity"),
        (b'{"type":"RECORD","stream":"orders","record":{"a":"\\ud800"}}', "is text that is not valid Unicode"),
        (b'{"type":"RECORD","stream":"orders","record":{"a":"\xff"}}', "is text that is not valid Unicode"),
        (b'{"type":"STATE","value":{"a":NaN}}', "`value.a` of a STATE line of its output is NaN"),
        (b'{"type":"RECORD","stream":"orders","record":{"a":"cut', "broken JSON"),
        (b'{"type":"RECORD","stream":"orders","record":' + b'{"a":' * 1500 + b"1" + b"}" * 1502, "nested too deeply"),
        (b'{"type":"RECORD","record":{}}', "RECORD line of its output needs"),
        (b'{"type":"RECORD","stream":"orders","record":[]}', "RECORD line of its output needs"),
        (b'{"type":"RECORD","stream":["orders"],"record":{}}', "RECORD line of its output needs"),
        (b'{"type":"SCHEMA","stream":"orders"}', "SCHEMA line of its output needs"),
        (b'{"type":"STATE"}', "no key `value`"),
        (b'{"type":"BATCH","stream":"orders","manifest":["file:///tmp/x"]}', "`batch_config`"),
        (b'{"type":"BATCH","stream":"o","encoding":{"format":"parquet"},"manifest":["file:///x"]}', "`batch_config`"),
        (b'{"type":"BATCH","stream":"o","encoding":{"format":"jsonl"},"manifest":["s3://x"]}', "`batch_config`"),
    ],
)
def test_a_record_is_never_lost_in_silence(line: bytes, text: str) -> None:
    with pytest.raises(ProtocolError) as error:
        take(SCHEMA, line)
    assert text in str(error.value)
    assert len(str(error.value)) < 1000


@given(st.binary().filter(lambda line: b"\n" not in line))
def test_any_line_is_events_or_a_protocol_error(line: bytes) -> None:
    for text in (line, b'{"type":"RECORD",' + line, b'{"type":"SCHEMA","stream":"a","schema":' + line + b"}"):
        with contextlib.suppress(ProtocolError):
            assert all(isinstance(event, LogEvent | StreamEvent) for event in take(text))


def test_streams_without_end_are_refused() -> None:
    lines = [b'{"type":"RECORD","stream":"s%d","record":{}}' % number for number in range(MAX_STREAMS + 1)]
    assert take(*lines[:-1])
    with pytest.raises(ProtocolError, match="streams"):
        take(*lines)


def test_a_field_that_was_not_selected_stays_out_though_the_tap_sends_it() -> None:
    stream = Stream("orders", {"properties": {"id": {}, "secret": {}}}, raw={"tap_stream_id": "public-orders"})
    conversation = tap(selected=[SelectedStream(stream, frozenset({"id"}))])
    conversation.launch()
    schema = SCHEMA.replace(b'"orders"', b'"public-orders"').replace(b'"id":{}', b'"id":{},"secret":{}')
    (declared,) = conversation.take(schema)
    assert isinstance(declared, StreamEvent)
    assert declared.stream.schema == {"properties": {"id": {}}}
    (event,) = conversation.take(b'{"type":"RECORD","stream":"public-orders","record":{"id":1,"secret":2,"new":3}}')
    assert isinstance(event, MessageEvent)
    assert event.message["data"] == {"id": 1, "new": 3}, "what the catalog does not know was not left out by anybody"


def test_a_record_has_the_name_that_the_field_map_knows() -> None:
    raws = [{"stream": "t", "tap_stream_id": f"{name}-t"} for name in "ab"]
    selected = [SelectedStream(Stream(raw["tap_stream_id"], raw=raw)) for raw in raws]
    record = b'{"type":"RECORD","stream":"%s","record":{}}'
    one, both = tap(selected=selected[:1]), tap(selected=selected)
    for conversation in (one, both):
        conversation.launch()
        events = conversation.take(record % b"a-t")
        assert [event.message["metadata"] for event in events if isinstance(event, MessageEvent)] == [{"stream": "a-t"}]
    (event,) = one.take(record % b"t")
    assert isinstance(event, MessageEvent)
    assert event.message["metadata"] == {"stream": "a-t"}
    with pytest.raises(ProtocolError, match="cannot be told apart"):
        both.take(record % b"t")


def test_a_stream_that_the_catalog_does_not_have_is_warned_of_once() -> None:
    conversation = tap(selected=[SelectedStream(Stream("orders"))])
    conversation.launch()
    record = b'{"type":"RECORD","stream":"users","record":{}}'
    assert [type(event) for event in [*conversation.take(record), *conversation.take(record)]] == [LogEvent]
    mapped = tap(
        selected=[SelectedStream(Stream("orders"))], config={"stream_maps": {"orders": {"__alias__": "users"}}}
    )
    mapped.launch()
    with pytest.raises(ProtocolError, match="stream_maps"):
        mapped.take(record)


def test_a_tap_without_catalog_sends_only_selected_streams_on() -> None:
    conversation = tap(image=SingerImage(catalog="none"), selected=[SelectedStream(Stream("orders"))])
    assert conversation.launch().files.keys() == {"config.json"}
    assert list(conversation.take(SCHEMA.replace(b"orders", b"users"))) == []
    assert list(conversation.take(b'{"type":"RECORD","stream":"users","record":{}}')) == []
    assert len(list(conversation.take(SCHEMA))) == 1
    assert len(list(conversation.take(b'{"type":"RECORD","stream":"orders","record":{}}'))) == 1


def test_the_line_that_tells_why_it_failed_is_not_always_the_last() -> None:
    conversation = tap()
    for line in (
        b"Traceback (most recent call last):",
        b'  File "x.py", line 1, in <module>',
        b"sqlalchemy.exc.OperationalError: (psycopg.OperationalError) password authentication failed",
        b"(Background on this error at: https://example.org/e3q8)",
    ):
        conversation.take_log(line)
    assert conversation.explain().endswith("password authentication failed")
    assert conversation.failure_type(1) == "config"


def test_a_field_that_is_off_is_not_required_either() -> None:
    schema = {"type": "object", "properties": {"id": {}, "name": {}}, "required": ["id", "name"]}
    conversation = tap(selected=[SelectedStream(Stream("orders", schema), frozenset({"id"}))])
    conversation.launch()
    line = {"type": "SCHEMA", "stream": "orders", "schema": {**schema, "properties": {"id": {}}}, "key_properties": []}
    (event,) = conversation.take(orjson.dumps(line))
    assert isinstance(event, StreamEvent)
    assert event.stream.schema["required"] == ["id"]


def test_files_and_options_are_those_that_the_tap_knows() -> None:
    launch = tap(config={"a": {"b": 1}}, credentials={"a.token": "t"}, state={"bookmarks": {}}, selected=[]).launch()
    assert launch.arguments == (
        "--config", "/flowmate/config.json", "--catalog", "/flowmate/catalog.json", "--state", "/flowmate/state.json",
    )  # fmt: skip
    assert orjson.loads(launch.files["config.json"]) == {"a": {"b": 1, "token": "t"}}
    assert launch.read_back == ("config.json",)
    bare = tap(state={}, image=SingerImage(catalog="none", state=False), selected=[]).launch()
    assert bare.arguments == ("--config", "/flowmate/config.json")
    assert "t" not in " ".join(launch.arguments).split()


def test_a_config_that_no_json_can_hold_is_a_clear_error() -> None:
    with pytest.raises(RequestError, match=r"config\.json cannot be written as JSON"):
        tap(config={"n": 2**70}).launch()


@pytest.mark.parametrize("written", [b"", b"{", b"[1]", b"\xff"])
def test_a_config_that_the_tap_spoilt_is_told(written: bytes) -> None:
    events = list(tap(config={"a": 1}).end(1, {"config.json": written}))
    assert [type(event) for event in events] == [LogEvent]


def test_a_config_that_only_looks_different_has_not_changed() -> None:
    conversation = tap(config={"a": 1, "b": [1]})
    assert list(conversation.end(1, {"config.json": b'{ "b": [1], "a": 1 }'})) == []


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        (b'{"streams": []}', []),
        (b'noise\n{"level":"info"}\n{"streams": [{"stream":"a","schema":{}}]}\nbye', ["a"]),
        (b'{ broken\n{\n "streams": [\n{"tap_stream_id":"b","schema":{"maximum":1e999}}]}', ["b"]),
        (b'{"streams":[{"stream":"t","tap_stream_id":"a-t","schema":{}},{"stream":"t","tap_stream_id":"b-t","schema":{}}]}',
         ["a-t", "b-t"]),
    ],
)  # fmt: skip
def test_a_catalog_is_found_among_other_lines(printed: bytes, found: list[str]) -> None:
    conversation = tap("discover")
    assert not [event for line in printed.split(b"\n") for event in conversation.take(line)]
    (event,) = conversation.end(0, {})
    assert isinstance(event, CatalogEvent)
    assert [stream.name for stream in event.streams] == found


def test_a_catalog_can_be_kept_though_a_database_bounds_its_numbers_widely() -> None:
    conversation = tap("discover")
    list(
        conversation.take(
            b'{"streams":[{"stream":"a","schema":{"maximum":1'
            + b"0" * 5000
            + b',"minimum":-10000000000000000000000}}]}'
        )
    )
    (event,) = conversation.end(0, {})
    assert isinstance(event, CatalogEvent)
    assert orjson.loads(orjson.dumps(event.streams[0].raw))["schema"]["maximum"] > 1e300


@pytest.mark.parametrize(
    "printed", [b"", b"all is well", b'{"stream":[]}', b'{"streams":[{"schema":{}}]}', b'{"streams":[5]}']
)
def test_a_discovery_without_catalog_is_an_error(printed: bytes) -> None:
    conversation = tap("discover")
    list(conversation.take(printed))
    with pytest.raises(ProtocolError, match="catalog"):
        list(conversation.end(0, {}))
    assert list(conversation.end(1, {})) == [], "the exit code says it already"


def test_a_tap_that_cannot_discover_says_so() -> None:
    with pytest.raises(RequestError, match="cannot list its streams"):
        tap("discover", SingerImage(discover=False)).launch()
    check = tap("check", SingerImage(discover=False))
    assert check.launch().arguments == ("--help",)
    (event,) = check.end(0, {})
    assert isinstance(event, CheckEvent)
    assert "no way to check" in event.text


def test_a_check_reads_one_record_where_the_tap_can() -> None:
    assert tap("check", SingerImage(about=True)).launch().arguments[2:] == ("--test",)
    assert tap("check").launch().arguments[2:] == ("--discover",)


def test_a_check_that_a_retry_may_heal_says_nothing_of_the_credentials() -> None:
    conversation = tap("check")
    conversation.take_log(b"requests.exceptions.ConnectionError: Connection refused")
    assert list(conversation.end(1, {})) == []
    assert conversation.failure_type(1) == "transient"
