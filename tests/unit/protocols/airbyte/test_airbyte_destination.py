"""Airbyte destinations: what they are fed, and that nothing counts as stored before they say so."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from airbyte_lines_of import error, line, message, only, take_all, write
from hypothesis import given
from hypothesis import strategies as st

from flowmate_airflow.protocols.airbyte_acks import MAX_OPEN
from flowmate_airflow.protocols.airbyte_destination import AirbyteDestination
from flowmate_airflow.protocols.base import Item, Request
from flowmate_airflow.protocols.events import ErrorEvent, Event, ProtocolError, RejectedEvent, StateEvent
from flowmate_airflow.protocols.streams import Load, Stream

Messages = Iterator[dict[str, Any]]


def destination(*names: str, **request: Any) -> AirbyteDestination:
    return AirbyteDestination(Request(incoming=[Stream(name) for name in names or ("users",)], **request))


def fed(conversation: AirbyteDestination, *items: Item) -> list[dict[str, Any]]:
    return [json.loads(each) for each in conversation.feed(items)]


def good(messages: Messages) -> Iterable[bytes]:
    """Repeats each state when it comes: all before it is stored."""
    for each in messages:
        if each["type"] == "STATE":
            yield json.dumps(each).encode()


def silent(messages: Messages) -> Iterable[bytes]:
    """Reads all and never says that anything is stored."""
    yield from ()
    for _ in messages:
        pass


def bare(messages: Messages) -> Iterable[bytes]:
    """Writes states without the message around them."""
    for each in messages:
        if each["type"] == "STATE":
            yield json.dumps(each["state"]).encode()


def late(messages: Messages) -> Iterable[bytes]:
    """Repeats only the last state of each stream, at its end."""
    states = {
        each["state"]["stream"]["stream_descriptor"]["name"]: each for each in messages if each["type"] == "STATE"
    }
    yield from (json.dumps(each).encode() for each in states.values())


def counting(stored: Any, **more: Any) -> Any:
    """Repeats each state with what it says it stored."""

    def write_(messages: Messages) -> Iterable[bytes]:
        for each in messages:
            if each["type"] == "STATE":
                stats = {"recordCount": stored, **more}
                yield line("STATE", state={**each["state"], "destinationStats": stats})

    return write_


def failures(events: Iterable[Event]) -> list[tuple[str | None, str]]:
    return [(event.message_id, event.failure_type) for event in only(ErrorEvent, events)]


def states(events: Iterable[Event]) -> list[Any]:
    return [event.state for event in only(StateEvent, events)]


def test_messages_become_records_then_states_then_complete_streams() -> None:
    lines = fed(destination("users", "orders"), message(1, extracted_at=1700000000000), message(2, "orders"))

    assert [each["type"] for each in lines] == ["RECORD", "RECORD", "STATE", "STATE", "TRACE", "TRACE"]
    assert lines[0]["record"] == {"stream": "users", "data": {"id": 1}, "emitted_at": 1700000000000}
    assert lines[1]["record"]["stream"] == "orders"
    assert lines[1]["record"]["emitted_at"] > 1700000000000
    assert [each["state"]["sourceStats"] for each in lines[2:4]] == [{"recordCount": 1.0}] * 2
    assert [each["trace"]["stream_status"]["status"] for each in lines[4:]] == ["COMPLETE"] * 2


def test_the_moment_of_another_protocol_is_understood() -> None:
    lines = fed(destination(), message(1, extracted_at="2023-11-14T22:13:20Z"), message(2, extracted_at="yesterday"))
    assert lines[0]["record"]["emitted_at"] == 1700000000000
    assert lines[1]["record"]["emitted_at"] > 1700000000000


def test_namespaces_go_with_the_records() -> None:
    writing = AirbyteDestination(Request(incoming=[Stream("users", namespace="shop")]))
    lines = fed(writing, message(1, namespace="shop"), message(2))
    assert [each["record"]["namespace"] for each in lines[:2]] == ["shop", "shop"]
    assert lines[2]["state"]["stream"]["stream_descriptor"] == {"name": "users", "namespace": "shop"}


@pytest.mark.parametrize("stream", ["users", "people", None])
def test_a_table_takes_the_place_of_all_streams(stream: str | None) -> None:
    lines = fed(destination("users", "people", load=Load(table="all")), message(1, stream))
    assert lines[0]["record"]["stream"] == "all"


def test_a_message_without_stream_goes_into_the_only_one() -> None:
    assert fed(destination(), message(1, None))[0]["record"]["stream"] == "users"


def test_messages_without_stream_are_a_stream_of_the_steps_name() -> None:
    lines = fed(destination("users", "saved", context={"step": "saved"}), message(1, None), message(2))
    assert [each["record"]["stream"] for each in lines[:2]] == ["saved", "users"]


def test_nothing_is_stored_after_a_bad_message_that_fails_the_step() -> None:
    bad = b'{"id": "x", "data": 1, "metadata": {"stream": "users"}}'
    writing = destination(context={"on_error": "fail"})
    assert [each["type"] for each in fed(writing, message(1), bad, message(2))] == ["RECORD"]
    assert only(ErrorEvent, writing.end(0, {}))[0].message_id == "x"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (b'{"id": "x", "data": [1], "metadata": {"stream": "users"}}', "no object"),
        (b'{"id": "x", "data": "text", "metadata": {"stream": "users"}}', "no object"),
        (message(0, "others").replace(b"m-0", b"x"), "`others`"),
        (message(0, None).replace(b"m-0", b"x"), "does not say which stream"),
        (b'{"id": "x", "data": {}, "metadata": {"stream": ["users"]}}', "none of those"),
        (b'{"id": "x", "data": {}, "metadata": 7}', "does not say which stream"),
    ],
)
def test_a_message_that_cannot_be_a_record_fails_alone(wrong: bytes, told: str) -> None:
    writing = destination("users", "orders")
    events = write(writing, [message(1), wrong, message(2)], good)
    assert [(each.message_id, told in each.text) for each in only(ErrorEvent, events)] == [("x", True)]
    assert failures(events) == [("x", "config")]


def test_a_state_counts_when_all_before_it_is_stored() -> None:
    items: list[Item] = [message(1), StateEvent({"at": 1}), message(2), message(3, "orders"), StateEvent({"at": 3})]
    events = write(destination("users", "orders"), items, good)
    assert states(events) == [{"at": 1}, {"at": 3}]
    assert failures(events) == []


@pytest.mark.parametrize("kind", [bare, late])
def test_destinations_that_answer_otherwise_are_understood(kind: Any) -> None:
    items: list[Item] = [message(1), StateEvent({"at": 1}), message(2), StateEvent({"at": 2})]
    events = write(destination(), items, kind)
    assert states(events)[-1] == {"at": 2}
    assert failures(events) == []


def test_records_without_a_state_of_the_source_are_confirmed_and_no_state_is_made_up() -> None:
    events = write(destination(), [message(1), message(2)], good)
    assert (states(events), failures(events)) == ([], [])


def test_a_state_before_any_record_counts_at_once() -> None:
    assert states(write(destination(), [StateEvent({"at": 0})], good)) == [{"at": 0}]


def test_nothing_that_is_not_confirmed_counts() -> None:
    events = write(destination(), [message(1), StateEvent({"at": 1})], silent)
    assert states(events) == []
    assert [("1 of `users`" in each.text, each.failure_type) for each in only(ErrorEvent, events)] == [(True, "system")]


def test_one_stream_that_is_not_confirmed_holds_the_state_back() -> None:
    def half(messages: Messages) -> Iterable[bytes]:
        return (each for each in good(messages) if b"orders" not in each)

    items: list[Item] = [message(1), message(2, "orders"), StateEvent({"at": 2})]
    events = write(destination("users", "orders"), items, half)
    assert states(events) == []
    assert ["`orders`" in each.text and "`users`" not in each.text for each in only(ErrorEvent, events)] == [True]


def test_a_destination_that_stops_reading_has_not_stored_all() -> None:
    def hasty(messages: Messages) -> Iterable[bytes]:
        next(messages)
        return ()

    events = write(destination(), [message(1), message(2)], hasty)
    assert [each.text for each in only(ErrorEvent, events)] == [
        "it ended as if all were well, but before it had all its input"
    ]


def test_an_error_of_the_destination_is_the_reason() -> None:
    def failing(messages: Messages) -> Iterable[bytes]:
        for _ in messages:
            pass
        yield error("disk full", "transient_error")

    assert failures(write(destination(), [message(1)], failing, code=0)) == [(None, "transient")]
    assert failures(write(destination(), [message(1)], failing, code=1)) == [(None, "transient")]


def test_fewer_records_stored_than_sent_are_a_loss() -> None:
    items: list[Item] = [message(number) for number in range(5)]
    assert failures(write(destination(), items, counting(5.0))) == []
    assert failures(write(destination(), items, counting(0.0))) == []  # one that does not count
    with pytest.raises(ProtocolError, match=r"`users` were lost.*sent 5.*stored 4"):
        write(destination(), items, counting(4.0))


def test_refused_records_are_told() -> None:
    items: list[Item] = [message(number) for number in range(5)]
    events = write(destination(), items, counting(3.0, rejectedRecordCount=2))
    assert [each.count for each in only(RejectedEvent, events)] == [2]


def test_states_that_nobody_sent_confirm_nothing() -> None:
    def forging(messages: Messages) -> Iterable[bytes]:
        list(messages)
        for number in (0, 2, 99, -1, "1", None, True, [1]):
            state = {"stream_descriptor": {"name": "users"}, "stream_state": {"flowmate": number}}
            if number is not True:
                yield line("STATE", state={"type": "STREAM", "stream": state})
        yield line(
            "STATE", state={"type": "STREAM", "stream": {"stream_descriptor": {"name": "x"}, "stream_state": {}}}
        )

    events = write(destination(), [message(1), StateEvent({"at": 1})], forging)
    assert states(events) == []
    assert failures(events) == [(None, "system")]


@pytest.mark.parametrize("state", [None, [], {"type": "GLOBAL", "global": {}}, {"type": "LEGACY", "data": {"a": 1}}])
def test_states_of_another_kind_are_refused(state: Any) -> None:
    with pytest.raises(ProtocolError, match="STATE"):
        take_all(destination(), [line("STATE", state=state)])


def test_many_states_of_the_source_do_not_pile_up() -> None:
    items: list[Item] = []
    for number in range(3 * MAX_OPEN):
        items += [message(number), StateEvent({"at": number})]
    writing = destination()
    lines = fed(writing, *items)
    asked = [each for each in lines if each["type"] == "STATE"]
    assert len(asked) <= MAX_OPEN + 1
    events = take_all(writing, [json.dumps(each).encode() for each in asked])
    assert states(events)[-1] == {"at": 3 * MAX_OPEN - 1}
    assert failures(events) == []


@given(
    st.lists(st.sampled_from(["users", "orders", "state"]), max_size=60),
    st.sets(st.integers(0, 120)),
)
def test_a_state_is_told_only_when_every_record_before_it_is_confirmed(script: list[str], unanswered: set[int]) -> None:
    items: list[Item] = [
        StateEvent(number) if each == "state" else message(number, each) for number, each in enumerate(script)
    ]
    writing, stored, open_ = destination("users", "orders"), 0, {"users": 0, "orders": 0}
    sent = {"users": 0, "orders": 0}
    for number, raw in enumerate(writing.feed(items)):
        each = json.loads(raw)
        if each["type"] == "RECORD":
            sent[each["record"]["stream"]] += 1
        elif each["type"] == "STATE" and number not in unanswered:
            name = each["state"]["stream"]["stream_descriptor"]["name"]
            open_[name] = sent[name]
            for told in states(writing.take(raw)):
                stored = told
                before = [kind for kind in script[:stored] if kind != "state"]
                assert all(before.count(kind) <= open_[kind] for kind in open_)


def test_the_two_threads_do_not_disturb_each_other() -> None:
    writing = destination()
    lines: list[bytes] = []
    ready = threading.Condition()
    over = threading.Event()

    def feed() -> None:
        items = (each for number in range(2000) for each in (message(number), StateEvent(number)))
        for raw in writing.feed(items):
            if b'"STATE"' in raw:
                with ready:
                    lines.append(raw)
                    ready.notify()
        over.set()
        with ready:
            ready.notify()

    thread = threading.Thread(target=feed)
    thread.start()
    told: list[Any] = []
    while True:
        with ready:
            ready.wait_for(lambda: lines or over.is_set())
            taken, lines[:] = list(lines), []
        told += states(take_all(writing, taken, code=None))
        if not taken and over.is_set():
            break
    thread.join()
    told += states(writing.end(0, {}))
    assert told == sorted(told)
    assert told[-1] == 1999


def test_a_destination_has_nothing_to_discover() -> None:
    with pytest.raises(ValueError, match="discover"):
        AirbyteDestination(Request(verb="discover")).launch()


@pytest.mark.parametrize("verb", ["check", "describe"])
def test_verbs_other_than_run_are_fed_nothing(verb: Any) -> None:
    assert fed(AirbyteDestination(Request(verb=verb)), message(1)) == []
