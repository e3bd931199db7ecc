"""Airbyte sources: what they print becomes messages, states and errors, and nothing of it is lost unseen."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from airbyte_lines_of import error, file_of, line, only, record, status, stream_state, take_all, trace
from hypothesis import given
from hypothesis import strategies as st

from flowmate_airflow.protocols.airbyte_source import AirbyteSource
from flowmate_airflow.protocols.base import Request
from flowmate_airflow.protocols.events import (
    CatalogEvent,
    CheckEvent,
    CredentialsEvent,
    DescribeEvent,
    ErrorEvent,
    LogEvent,
    MessageEvent,
    ProgressEvent,
    ProtocolError,
    StateEvent,
    StreamEvent,
)
from flowmate_airflow.protocols.streams import SelectedStream, Stream

USERS = Stream("users", {"type": "object", "properties": {"id": {"type": "integer"}}}, ("id",), "updated_at")


def source(*names: str, **request: Any) -> AirbyteSource:
    return AirbyteSource(Request(selected=[SelectedStream(Stream(name)) for name in names or ("users",)], **request))


def texts(events: Sequence[Any], level: int) -> str:
    return "\n".join(event.text for event in only(LogEvent, events) if event.level == level)


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("describe", ["spec"]),
        ("check", ["check", "--config", "/flowmate/config.json"]),
        ("discover", ["discover", "--config", "/flowmate/config.json"]),
    ],
)
def test_verbs_start_the_source_with_its_commands(verb: Any, arguments: list[str]) -> None:
    request = Request(verb=verb, config={"host": "h"}, credentials={"auth.key": "k"})

    launch = AirbyteSource(request).launch()

    assert list(launch.arguments) == arguments
    assert launch.entrypoint is None
    if verb != "describe":
        assert file_of(launch, "config") == {"host": "h", "auth": {"key": "k"}}


def test_secrets_are_in_files_and_never_in_arguments() -> None:
    launch = source(credentials={"api_key": "s3cret"}).launch()
    assert "s3cret" not in " ".join(launch.arguments)
    assert "s3cret" not in repr(launch)


def test_a_read_has_a_catalog_and_a_state_only_where_there_is_one() -> None:
    without = source().launch()
    stored = [{"type": "STREAM", "stream": {"stream_descriptor": {"name": "users"}, "stream_state": {"c": 1}}}]
    with_state = source(state=stored).launch()

    assert without.arguments[0] == "read"
    assert "--state" not in without.arguments
    assert file_of(with_state, "state") == stored


def test_a_read_without_streams_is_refused() -> None:
    with pytest.raises(ValueError, match="selected"):
        AirbyteSource(Request()).launch()


def test_records_become_messages_after_their_stream() -> None:
    reading = AirbyteSource(Request(selected=[SelectedStream(USERS)]))

    events = take_all(reading, [record("users", {"id": 1}, namespace="shop"), record("users", {"id": 2})])

    streams = only(StreamEvent, events)
    assert [each.stream.primary_key for each in streams] == [("id",), ("id",)]
    assert [each.message for each in only(MessageEvent, events)] == [
        {"data": {"id": 1}, "metadata": {"stream": "users", "extracted_at": 1700000000000, "namespace": "shop"}},
        {"data": {"id": 2}, "metadata": {"stream": "users", "extracted_at": 1700000000000}},
    ]
    assert isinstance(events[0], StreamEvent)


def test_the_stream_of_a_projection_declares_only_the_fields_that_are_read() -> None:
    schema = {"type": "object", "properties": {"id": {"type": "integer"}, "mail": {"type": "string"}}}
    chosen = SelectedStream(Stream("users", schema), frozenset({"id"}))

    events = take_all(AirbyteSource(Request(selected=[chosen])), [record("users", {"id": 1})])

    assert list(only(StreamEvent, events)[0].stream.schema["properties"]) == ["id"]


def test_what_a_source_changed_in_a_record_is_kept() -> None:
    meta = {"changes": [{"field": "size", "change": "NULLED", "reason": "SOURCE_FIELD_SIZE_LIMITATION"}]}
    events = take_all(source(), [record("users", {"size": None}, meta=meta)])
    assert only(MessageEvent, events)[0].message["metadata"]["meta"] == meta


def test_a_stream_nobody_asked_for_is_told_and_passed_on() -> None:
    events = take_all(source("users"), [record("secrets", {"id": 1}), record("secrets", {"id": 2})])
    assert len(only(MessageEvent, events)) == 2
    assert texts(events, logging.WARNING).count("`secrets`") == 1


@pytest.mark.parametrize("noise", [b"Loading plugins", b"  {not json", b'{"level": "info"}', b"[1, 2]", b"{}"])
def test_other_lines_are_log(noise: bytes) -> None:
    events = take_all(source(), [noise, record("users", {"id": 1})])
    assert [event.text for event in only(LogEvent, events)] == [noise.decode()]
    assert len(only(MessageEvent, events)) == 1


@pytest.mark.parametrize(
    "broken",
    [
        record("users", {"id": 1})[:-5],
        b'{"record": {"stream": "users", "data": {"id": 1}, "emitted_at": 1}, "type": "RECORD"',
        b'{"type":"REC',
        stream_state("users", {"cursor": 1})[:-1],
        error("boom", "config_error")[:-2],
        b'{"type": "RECORD", "record": {"stream": "users", "data": {"a": "\xff"}, "emitted_at": 1}}',
    ],
)
def test_a_broken_line_that_would_be_lost_ends_the_read(broken: bytes) -> None:
    with pytest.raises(ProtocolError, match="broken JSON"):
        take_all(source(), [broken])


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ('{"a": {"b": [1, NaN]}}', r"`a\.b\[1\]` is not a number"),
        ('{"a": Infinity}', "`a` is infinite"),
        ('{"a": -Infinity}', "`a` is infinite"),
        ('{"a": 1e400}', "`a` is infinite, or a number too large"),
        ('{"a": "x\\ud800y"}', "`a` is a text with half a character"),
    ],
)
def test_values_that_json_does_not_have_are_named(value: str, told: str) -> None:
    text = f'{{"type": "RECORD", "record": {{"stream": "users", "data": {value}, "emitted_at": 1}}}}'
    with pytest.raises(ProtocolError, match=rf"stream `users`.*{told}"):
        take_all(source(), [text.encode()])


def test_a_nan_in_a_log_line_does_no_harm() -> None:
    events = take_all(source(), [b'{"type": "LOG", "log": {"level": "INFO", "message": "x", "rate": NaN}}'])
    assert texts(events, logging.INFO) == "x"


def test_a_nan_in_a_state_ends_the_read() -> None:
    with pytest.raises(ProtocolError, match="state"):
        take_all(source(), [stream_state("users", {"cursor": float("nan")})])


@pytest.mark.parametrize(
    "wrong",
    [
        line("RECORD"),
        line("RECORD", record=[1]),
        line("RECORD", record={"stream": "users", "emitted_at": 1}),
        record("users", [1]),
        line("RECORD", record={"stream": {"a": 1}, "data": {}, "emitted_at": 1}),
        line("RECORD", record={"stream": 7, "data": {}, "emitted_at": 1}),
        line("STATE"),
        line("STATE", state={"type": "STREAM"}),
        line("STATE", state={"type": "STREAM", "stream": {"stream_descriptor": {}}}),
        line("TRACE", trace={"type": "ERROR"}),
        line("CONTROL", control={"type": "CONNECTOR_CONFIG"}),
    ],
)
def test_messages_of_another_shape_end_the_read(wrong: bytes) -> None:
    with pytest.raises(ProtocolError):
        take_all(source(), [wrong])


@given(st.binary().filter(lambda text: b"\n" not in text))
def test_any_line_is_understood_or_refused(text: bytes) -> None:
    reading = source()
    with suppress(ProtocolError):
        assert list(reading.take(text))
    with suppress(ProtocolError):
        assert list(reading.take(b'{"type":' + text))


def test_fewer_records_than_the_source_counts_are_a_loss() -> None:
    sent = [record("users", {"id": 1}), record("users", {"id": 2}), stream_state("users", {"c": 2}, 2.0)]
    take_all(source(), sent)
    with pytest.raises(ProtocolError, match=r"users.*lost.*sent 2 .*1 came"):
        take_all(source(), sent[1:])


def test_records_are_counted_from_state_to_state_and_by_stream() -> None:
    lines = [
        record("users", {"id": 1}),
        record("orders", {"id": 1}, namespace="shop"),
        stream_state("users", {"c": 1}, 1.0),
        record("users", {"id": 2}),
        stream_state("orders", {"c": 1}, 1.0, namespace="shop"),
        stream_state("users", {"c": 2}, 1.0),
        stream_state("users", {"c": 2}, 0.0),
    ]
    take_all(source("users", "orders"), lines)
    with pytest.raises(ProtocolError, match="lost"):
        take_all(source("users", "orders"), [*lines, stream_state("users", {"c": 3}, 1.0)])


def test_a_source_that_counts_less_is_warned_of_once() -> None:
    lines = [record("users", {"id": 1}), record("users", {"id": 2}), stream_state("users", {"c": 2}, 1.0)]
    events = take_all(source(), lines * 3)
    assert texts(events, logging.WARNING).count("counts 1 records") == 1


def test_a_state_for_all_streams_counts_all_of_them() -> None:
    state = {"type": "GLOBAL", "global": {"stream_states": []}, "sourceStats": {"recordCount": 2.0}}
    both = [record("users", {}), record("orders", {})]
    take_all(source("users", "orders"), [*both, line("STATE", state=state)])
    with pytest.raises(ProtocolError, match="all streams were lost"):
        take_all(source("users", "orders"), [both[0], line("STATE", state=state)])


def test_states_come_whole() -> None:
    events = take_all(source("a", "b"), [stream_state("a", {"c": 1}), stream_state("b", {"c": 5})])
    told = [[each["stream"]["stream_descriptor"]["name"] for each in event.state] for event in only(StateEvent, events)]
    assert told == [["a"], ["a", "b"]]


@pytest.mark.parametrize(
    ("told", "expected"),
    [("config_error", "config"), ("transient_error", "transient"), ("system_error", "system"), ("odd", "system")],
)
def test_the_failure_type_says_who_must_act(told: str, expected: str) -> None:
    events = take_all(source(), [error("No access", told, internal_message="403", stack_trace="Trace…")], code=1)
    assert [(each.text, each.failure_type) for each in only(ErrorEvent, events)] == [("No access (403)", expected)]
    assert texts(events, logging.DEBUG) == "Trace…"


def test_the_first_error_tells_why_and_later_ones_are_logged() -> None:
    lines = [
        error("No access", "config_error", stream_descriptor={"name": "users"}),
        status("users", "INCOMPLETE"),
        error("Something failed", "system_error"),
    ]
    events = take_all(source(), lines, code=1)
    assert [each.text for each in only(ErrorEvent, events)] == ["stream `users`: No access"]
    assert "Something failed" in texts(events, logging.ERROR)


def test_long_errors_and_traces_are_cut() -> None:
    events = take_all(source(), [error("m" * 10**6, "system_error", internal_message="i" * 10**6)], code=1)
    assert len(only(ErrorEvent, events)[0].text) < 4000
    events = take_all(
        source(), [line("LOG", log={"level": "ERROR", "message": "x" * 10**6, "stack_trace": "t" * 10**6})]
    )
    assert all(len(each.text) < 20_000 for each in only(LogEvent, events))


def test_traces_within_log_messages_are_for_developers() -> None:
    text = 'It failed\nTraceback (most recent call last):\n  File "x.py"'
    events = take_all(source(), [line("LOG", log={"level": "ERROR", "message": text})])
    assert texts(events, logging.ERROR) == "It failed"
    assert "x.py" in texts(events, logging.DEBUG)


@pytest.mark.parametrize(
    ("level", "expected"),
    [("FATAL", 40), ("ERROR", 40), ("WARN", 30), ("INFO", 20), ("DEBUG", 10), ("TRACE", 10), ("LOUD", 20)],
)
def test_log_lines_keep_their_level(level: str, expected: int) -> None:
    events = take_all(source(), [line("LOG", log={"level": level, "message": "hello"})])
    assert [(each.level, each.text) for each in only(LogEvent, events)] == [(expected, "hello")]


def test_a_stream_that_was_started_and_not_completed_fails_the_read() -> None:
    for last in ([], [status("users", "INCOMPLETE")], [status("users", "RUNNING")]):
        events = take_all(source(), [status("users", "STARTED"), record("users", {}), *last])
        assert [(each.failure_type, "users" in each.text) for each in only(ErrorEvent, events)] == [("transient", True)]


def test_a_stream_the_source_does_not_know_needs_a_new_catalog() -> None:
    events = take_all(
        source("users", "gone"), [status("users", "STARTED"), status("users", "COMPLETE"), status("gone", "INCOMPLETE")]
    )
    assert [(each.failure_type, "gone" in each.text) for each in only(ErrorEvent, events)] == [("config", True)]


def test_a_complete_stream_without_records_is_told() -> None:
    events = take_all(source(), [status("users", "STARTED"), status("users", "COMPLETE")])
    assert not only(ErrorEvent, events)
    assert "complete, 0 records" in texts(events, logging.INFO)


def test_a_stream_the_source_says_nothing_of_is_told() -> None:
    events = take_all(source("users", "orders"), [status("users", "STARTED"), status("users", "COMPLETE")])
    assert "`orders`" in texts(events, logging.WARNING)


def test_rate_limits_and_estimates_are_progress() -> None:
    estimate = trace("ESTIMATE", estimate={"name": "users", "type": "STREAM", "row_estimate": 10})
    limited = status("users", "RUNNING", reasons=[{"type": "RATE_LIMITED"}])
    events = take_all(source(), [record("users", {}), estimate, limited], code=None)
    assert [(each.done, each.total) for each in only(ProgressEvent, events)] == [(1, 10)]
    assert "rate limited" in texts(events, logging.WARNING)


def test_changed_configuration_is_told_at_once_and_once() -> None:
    given = {"host": "h", "auth": {"refresh": "old", "access": "a0"}}
    reading = source(config={"host": "h"}, credentials={"auth.refresh": "old", "auth.access": "a0"})

    def control(**auth: str) -> bytes:
        config = {**given, "auth": {**given["auth"], **auth}, "__injected_manifest": {"version": 1}}
        return line("CONTROL", control={"type": "CONNECTOR_CONFIG", "connectorConfig": {"config": config}})

    told = [
        [dict(each.changed) for each in only(CredentialsEvent, reading.take(control(**auth)))]
        for auth in ({"refresh": "new"}, {"refresh": "new"}, {"refresh": "old"})
    ]

    assert told == [[{"auth.refresh": "new"}], [], [{"auth.refresh": "old"}]]


def test_a_check_says_whether_the_credentials_work_although_it_exits_well() -> None:
    def check(line_: bytes, code: int = 0) -> list[CheckEvent]:
        return only(CheckEvent, take_all(AirbyteSource(Request(verb="check")), [line_], code))

    assert check(line("CONNECTION_STATUS", connectionStatus={"status": "SUCCEEDED"})) == [CheckEvent(True)]
    failed = line("CONNECTION_STATUS", connectionStatus={"status": "FAILED", "message": "wrong password"})
    assert check(failed) == [CheckEvent(False, "wrong password")]
    assert check(error("wrong password", "config_error"), 1) == [CheckEvent(False, "wrong password")]


@pytest.mark.parametrize("verb", ["check", "discover", "describe"])
def test_a_verb_without_its_answer_is_refused(verb: Any) -> None:
    with pytest.raises(ProtocolError, match=verb):
        take_all(AirbyteSource(Request(verb=verb)), [b"nothing to say"])


def test_a_specification_is_handed_on() -> None:
    spec = {"connectionSpecification": {"type": "object"}}
    events = take_all(AirbyteSource(Request(verb="describe")), [line("SPEC", spec=spec)])
    assert only(DescribeEvent, events) == [DescribeEvent(spec)]


def test_a_catalog_becomes_streams() -> None:
    entry = {
        "name": "users",
        "namespace": "shop",
        "json_schema": {"type": "object"},
        "supported_sync_modes": ["full_refresh", "incremental"],
        "default_cursor_field": ["meta", "updated"],
        "source_defined_primary_key": [["tenant"], ["key", "id"]],
    }
    events = take_all(
        AirbyteSource(Request(verb="discover")), [line("CATALOG", catalog={"streams": [entry, {"name": "bare"}]})]
    )
    users, bare = only(CatalogEvent, events)[0].streams
    assert (users.name, users.namespace, users.incremental, users.raw) == ("users", "shop", True, entry)
    assert (users.primary_key, users.cursor) == (("tenant", "key.id"), "meta.updated")
    assert (bare.primary_key, bare.cursor, bare.incremental) == ((), None, False)


@pytest.mark.parametrize("catalog", [{}, {"streams": {}}, {"streams": [{}]}, {"streams": ["users"]}])
def test_a_catalog_of_another_shape_is_refused(catalog: Any) -> None:
    with pytest.raises(ProtocolError):
        take_all(AirbyteSource(Request(verb="discover")), [line("CATALOG", catalog=catalog)])
