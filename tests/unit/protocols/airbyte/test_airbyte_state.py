"""The state of Airbyte sources: what comes back at the next start, whatever form it was kept in."""

from __future__ import annotations

from typing import Any

import pytest
from airbyte_lines_of import file_of, line, only, record, stream_state, take_all

from flowmate_airflow.protocols.airbyte_source import AirbyteSource
from flowmate_airflow.protocols.base import Request
from flowmate_airflow.protocols.events import ProtocolError, RequestError, StateEvent
from flowmate_airflow.protocols.streams import SelectedStream, Stream


def entry(name: str, state: Any, namespace: str | None = None) -> dict[str, Any]:
    descriptor = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    return {"type": "STREAM", "stream": {"stream_descriptor": descriptor, "stream_state": state}}


def reading(state: Any = None) -> AirbyteSource:
    selected = [SelectedStream(Stream("users")), SelectedStream(Stream("orders", namespace="shop"))]
    return AirbyteSource(Request(state=state, selected=selected))


def last_state(source: AirbyteSource, *lines: bytes) -> Any:
    return only(StateEvent, take_all(source, lines))[-1].state


def handed_back(state: Any) -> Any:
    return file_of(reading(state).launch(), "state")


def test_the_last_state_of_each_stream_is_kept_and_handed_back() -> None:
    state = last_state(
        reading(),
        record("users", {"id": 1}),
        stream_state("users", {"c": 1}, 1.0),
        stream_state("orders", {"c": 7}, namespace="shop"),
        stream_state("orders", {"c": 8}),
        stream_state("users", {"c": 2}),
    )
    expected = [entry("users", {"c": 2}), entry("orders", {"c": 7}, "shop"), entry("orders", {"c": 8})]
    assert state == expected
    assert handed_back(state) == expected


def test_what_is_not_told_again_stays() -> None:
    stored = [entry("users", {"c": 1}), entry("orders", {"c": 7}, "shop")]
    assert last_state(reading(stored), stream_state("users", {"c": 2})) == [entry("users", {"c": 2}), stored[1]]


def test_a_read_does_not_change_what_was_stored() -> None:
    stored = [entry("users", {"c": 1})]
    last_state(reading(stored), stream_state("users", {"c": 2}))
    assert stored == [entry("users", {"c": 1})]


def test_each_told_state_stays_as_it_was_told() -> None:
    lines = [stream_state("users", {"c": 1}), stream_state("users", {"c": 2})]
    told = [each.state for each in only(StateEvent, take_all(reading(), lines))]
    assert told == [[entry("users", {"c": 1})], [entry("users", {"c": 2})]]


def test_a_state_for_all_streams_is_replaced_whole() -> None:
    def told(*names: str) -> dict[str, Any]:
        states = [{"stream_descriptor": {"name": name}, "stream_state": {}} for name in names]
        return {"type": "GLOBAL", "global": {"shared_state": {"lsn": len(names)}, "stream_states": states}}

    state = last_state(reading([told("users", "orders")]), line("STATE", state=told("users")))

    assert state == [told("users")]
    assert handed_back(state) == [told("users")]


def test_a_source_that_turns_to_one_state_for_all_does_not_get_both() -> None:
    told = {"type": "GLOBAL", "global": {"shared_state": {"lsn": 1}, "stream_states": []}}
    stored = [entry("users", {"c": 1})]
    assert last_state(reading(stored), line("STATE", state=told)) == [told]
    both = last_state(reading(stored), stream_state("orders", {"c": 1}), line("STATE", state=told))
    assert both == [told, entry("orders", {"c": 1})]


def test_a_state_of_the_old_kind_is_handed_back_as_it_is() -> None:
    for told in ({"type": "LEGACY", "data": {"users": {"c": 1}}}, {"data": {"users": {"c": 1}}}):
        state = last_state(reading(), line("STATE", state=told))
        assert state == [{"type": "LEGACY", "data": {"users": {"c": 1}}}]
        assert handed_back(state) == {"users": {"c": 1}}


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (entry("users", {"c": 1}), [entry("users", {"c": 1})]),
        ([{"stream": entry("users", {"c": 1})["stream"]}], [entry("users", {"c": 1})]),
        ({"users": {"c": 1}}, [entry("users", {"c": 1})]),
        ({"orders": {"c": 1}}, [entry("orders", {"c": 1}, "shop")]),
        ({"cursor": "2026-01-01"}, {"cursor": "2026-01-01"}),
        ({"people": {"c": 1}}, {"people": {"c": 1}}),
        ({"type": "LEGACY", "data": {"users": {"c": 1}}}, {"users": {"c": 1}}),
    ],
)
def test_older_forms_of_a_stored_state_are_understood(stored: Any, expected: Any) -> None:
    assert handed_back(stored) == expected


@pytest.mark.parametrize("nothing", [None, [], {}])
def test_no_state_is_no_file(nothing: Any) -> None:
    assert "--state" not in reading(nothing).launch().arguments


@pytest.mark.parametrize(
    "stored",
    [
        "2026-01-01",
        7,
        True,
        False,
        ["users"],
        [{"type": "STREAM"}],
        [{"type": "STREAM", "stream": {"stream_descriptor": {}}}],
        [{"type": "SHARDED", "stream": {}}],
        {"bookmarks": {"users": {"replication_key_value": 1}}},
    ],
)
def test_a_state_of_another_kind_is_refused_with_what_to_do(stored: Any) -> None:
    with pytest.raises(RequestError, match="flowmate state reset"):
        reading(stored)


def test_verbs_other_than_run_do_not_look_at_the_state() -> None:
    AirbyteSource(Request(verb="check", state="of another version")).launch()


@pytest.mark.parametrize("told", [{"type": "STREAM"}, {"type": "GLOBAL", "data": {}}, {}])
def test_a_told_state_of_no_kind_is_refused(told: Any) -> None:
    with pytest.raises(ProtocolError, match="state"):
        take_all(reading(), [line("STATE", state=told)])


def test_a_source_that_turns_to_another_kind_of_state_gets_that_kind_only() -> None:
    legacy = {"type": "LEGACY", "data": {"users": {"c": 2}}}
    assert last_state(reading([entry("users", {"c": 1})]), line("STATE", state=legacy)) == [legacy]
    assert last_state(reading([legacy]), stream_state("users", {"c": 3})) == [entry("users", {"c": 3})]
