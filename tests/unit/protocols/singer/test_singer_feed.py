"""What a target reads: schemas before records, tables nobody declared, and messages that cannot be stored."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from singer_driver import message

from flowmate_airflow.catalog.manifest import SingerImage
from flowmate_airflow.protocols.base import Item, Request
from flowmate_airflow.protocols.events import (
    ErrorEvent,
    Event,
    LogEvent,
    RejectedEvent,
    RequestError,
    ResultEvent,
    StateEvent,
)
from flowmate_airflow.protocols.singer_feed import AHEAD_RECORDS
from flowmate_airflow.protocols.singer_tables import MAX_FIELDS
from flowmate_airflow.protocols.singer_target import SMALL_STATE, SingerTarget
from flowmate_airflow.protocols.streams import Load, Stream

ORDERS = Stream("orders", {"type": "object", "properties": {"id": {"type": "integer"}}}, primary_key=("id",))


def target(load: Load | None = None, image: SingerImage | None = None, **config: Any) -> SingerTarget:
    request = Request(config=config, load=load or Load(), context={"step": "saved"})
    return SingerTarget(request, image or SingerImage())


def lines(conversation: SingerTarget, items: Iterable[Item]) -> list[Any]:
    return [orjson.loads(line) for line in conversation.feed(items)]


def told(conversation: SingerTarget) -> list[Event]:
    return list(conversation.end(0, {}))


def kinds(said: list[Any]) -> list[str]:
    return [f"{line['type']} {line.get('stream', '')}".strip() for line in said]


def test_streams_interleave_and_each_schema_is_said_once() -> None:
    users = Stream("users", {"properties": {"id": {}}})
    items = [ORDERS, users, message(1, {"id": 1}), message(2, {"id": 1}, "users"), ORDERS, message(3, {"id": 2})]
    said = lines(target(), items)
    assert kinds(said) == ["SCHEMA orders", "SCHEMA users", "RECORD orders", "RECORD users", "RECORD orders"]
    assert said[0]["schema"] == ORDERS.schema
    assert said[0]["key_properties"] == ["id"]


def test_a_stream_that_changes_is_declared_again() -> None:
    changed = Stream("orders", {"properties": {"id": {}, "name": {}}}, primary_key=("id",))
    said = lines(target(), [ORDERS, message(1, {"id": 1}), changed, message(2, {"id": 1, "name": "n"})])
    assert kinds(said) == ["SCHEMA orders", "RECORD orders", "SCHEMA orders", "RECORD orders"]


def test_a_table_nobody_declared_is_told_by_its_first_records() -> None:
    data = [{"id": 1, "name": None}, {"id": 2, "name": "x", "price": 1}, {"price": 1.5, "ok": True, "o": {}, "l": []}]
    said = lines(target(), [message(number, each) for number, each in enumerate(data)])
    assert kinds(said) == ["SCHEMA orders", *["RECORD orders"] * 3]
    assert {name: part["type"] for name, part in said[0]["schema"]["properties"].items()} == {
        "id": ["integer", "null"],
        "name": ["string", "null"],
        "price": ["number", "null"],
        "ok": ["boolean", "null"],
        "o": ["object", "null"],
        "l": ["array", "null"],
    }


def test_later_fields_and_types_make_a_new_schema() -> None:
    first = [message(number, {"id": 1, "none": None}) for number in range(AHEAD_RECORDS)]
    later = [message("a", {"id": "A1"}), message("b", {"id": 1, "new": 2.5}), message("c", {"new": 3, "none": 4})]
    said = lines(target(), [*first, *later])
    schemas = [line["schema"]["properties"] for line in said if line["type"] == "SCHEMA"]
    assert schemas[0] == {"id": {"type": ["integer", "null"]}, "none": {"type": ["string", "null"]}}
    assert schemas[1]["id"]["type"] == ["integer", "string", "null"]
    assert schemas[2]["new"]["type"] == ["number", "null"]
    assert schemas[3]["none"]["type"] == ["integer", "string", "null"]
    assert len(schemas) == 4


def test_a_fraction_that_a_told_column_would_round_fails_its_message() -> None:
    first = [message(number, {"n": 1}) for number in range(AHEAD_RECORDS)]
    conversation = target()
    said = lines(conversation, [*first, message("whole", {"n": 2.0}), message("half", {"n": 2.5})])
    assert repr(said[-1]["record"]) == "{'n': 2}", "some targets take 2.0 for no whole number"
    (error,) = told(conversation)
    assert isinstance(error, ErrorEvent)
    assert error.message_id == "mhalf"
    assert "`n` is 2.5" in error.text


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from("abc"),
            st.none() | st.booleans() | st.integers(-9, 9) | st.text("xy") | st.lists(st.integers(0, 1)),
        ),
        max_size=30,
    )
)
def test_every_record_fits_the_schema_said_before_it(records: list[dict[str, Any]]) -> None:
    from jsonschema import Draft202012Validator

    filler = [{"a": 1}] * (AHEAD_RECORDS - 5)
    conversation, schema, seen = target(), {}, []
    for line in lines(conversation, [message(1, each) for each in [*filler, *records]]):
        if line["type"] == "SCHEMA":
            schema = line["schema"]
        else:
            assert line["record"].keys() <= schema["properties"].keys()
            Draft202012Validator(schema).validate(line["record"])
            seen.append(line["record"])
    assert seen == [*filler, *records]


def test_a_state_comes_after_the_records_that_waited() -> None:
    said = lines(target(), [message(1, {"id": 1}), StateEvent({"at": 1}), message(2, {"id": 2})])
    assert kinds(said) == ["SCHEMA orders", "RECORD orders", "STATE", "RECORD orders"]
    assert said[2]["value"] == {"at": 1}


def test_large_records_do_not_wait_for_five_hundred() -> None:
    def items() -> Iterable[bytes]:
        for number in range(10):
            yield message(number, {"text": "x" * 600_000})
            taken.append(number)

    taken: list[int] = []
    feed = iter(target().feed(items()))
    next(feed)
    assert taken == [0]


def test_fields_that_a_source_did_not_declare_are_added_and_warned_of() -> None:
    conversation = target()
    said = lines(conversation, [ORDERS, message(1, {"id": 1, "x": 1}), message(2, {"id": 2, "y": "a"})])
    assert said[-2]["schema"]["properties"] == {
        "id": {"type": "integer"},
        "x": {"type": ["integer", "null"]},
        "y": {"type": ["string", "null"]},
    }
    (warning,) = told(conversation)
    assert isinstance(warning, LogEvent)
    assert warning.level == logging.WARNING


def test_an_open_schema_is_filled_from_the_records() -> None:
    said = lines(target(), [Stream("orders", primary_key=("id",)), message(1, {"id": 1, "name": "n"})])
    assert kinds(said) == ["SCHEMA orders", "RECORD orders"]
    assert said[0]["schema"]["properties"].keys() == {"id", "name"}
    assert said[0]["key_properties"] == ["id"]


def test_one_table_can_take_all_streams() -> None:
    first = Stream("a", {"properties": {"id": {"type": "integer"}, "x": {"type": ["string", "null"]}}}, ("id",))
    second = Stream("b", {"properties": {"id": {"type": "string"}, "y": {}}})
    said = lines(target(Load(table="all")), [first, second, message(1, {"id": 1}, "a"), message(2, {"id": "x"}, "b")])
    assert kinds(said) == ["SCHEMA all", "SCHEMA all", "RECORD all", "RECORD all"]
    assert said[1]["schema"]["properties"] == {
        "id": {"type": ["integer", "string"]},
        "x": {"type": ["string", "null"]},
        "y": {},
    }


def test_a_message_without_stream_goes_to_the_table_named_or_to_the_steps() -> None:
    assert kinds(lines(target(), [message(1, {}, None)]))[1] == "RECORD saved"
    assert kinds(lines(target(Load(table="t")), [message(1, {}, None)]))[1] == "RECORD t"


def test_when_a_record_was_extracted_goes_along() -> None:
    said = lines(target(), [message(1, {"id": 1}, extracted_at="2024-01-01T00:00:00Z")])
    assert said[1]["time_extracted"] == "2024-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("load", "key"),
    [(Load(), ["id"]), (Load("append"), []), (Load("dedup", key=("x",)), ["x"]), (Load("dedup"), ["id"])],
)
def test_the_key_is_the_streams_unless_the_step_says_otherwise(load: Load, key: list[str]) -> None:
    assert lines(target(load), [ORDERS])[0]["key_properties"] == key


@pytest.mark.parametrize(
    ("load", "items", "text"),
    [
        (Load("dedup"), [message(1, {"id": 1})], "declares no primary key"),
        (Load(), [Stream("orders", primary_key=("a.b",)), message(1, {})], "key field `a.b` lies in an object"),
        (Load(), [b"{"], "cannot be read"),
        (Load(), [b'{"id":"1"}'], "cannot be read"),
    ],
)
def test_what_cannot_be_stored_at_all_is_one_clear_error(load: Load, items: list[Item], text: str) -> None:
    with pytest.raises(RequestError, match=text):
        lines(target(load), items)


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (message("x", [1]), "no object"),
        (message("x", None), "no object"),
        (message("x", {"name": "n"}), "no `id`"),
        (message("x", {"id": None}), "no `id`"),
        (message("x", {"id": 1}, ["orders"]), "no text"),  # type: ignore[arg-type]
        (message("x", {"id": 1}, 5), "no text"),  # type: ignore[arg-type]
        (message("x", {"id": 1, **{f"f{n}": 1 for n in range(MAX_FIELDS)}}), "10,001 fields"),
    ],
)
def test_a_message_that_cannot_be_stored_fails_alone(item: bytes, text: str) -> None:
    conversation = target()
    said = lines(conversation, [ORDERS, message(1, {"id": 1}), item, message(2, {"id": 2})])
    assert [line["record"] for line in said[1:]] == [{"id": 1}, {"id": 2}]
    (error,) = told(conversation)
    assert isinstance(error, ErrorEvent)
    assert (error.failure_type, error.message_id) == ("config", "mx")
    assert text in error.text


def test_nothing_is_fed_after_a_failure_that_ends_the_step() -> None:
    conversation = SingerTarget(Request(context={"on_error": "fail"}), SingerImage())
    said = lines(conversation, [ORDERS, message(1, {"id": 1}), message("x", 5), message("y", 6), message(2, {"id": 2})])
    assert [line["record"] for line in said[1:]] == [{"id": 1}]
    assert [event.message_id for event in told(conversation) if isinstance(event, ErrorEvent)] == ["mx"]


STRICT = Stream(
    "orders",
    {
        "required": ["id"],
        "properties": {
            "id": {"type": "integer"},
            "total": {"type": ["number", "null"]},
            "any": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "odd": {"type": "decimal"},
        },
    },
)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"total": 1}, "no `id`, which its stream `orders` requires"),
        ({"id": "1"}, "`id` is of the type string, but its stream `orders` declares it as integer"),
        ({"id": None}, "`id` is null"),
        ({"id": 1.5}, "`id` is 1.5"),
        ({"id": True}, "`id` is of the type boolean"),
        (
            {"id": 1, "total": "2"},
            "`total` is of the type string, but its stream `orders` declares it as number or null",
        ),
    ],
)
def test_a_record_that_breaks_its_schema_fails_alone_where_the_target_would_end(data: Any, text: str) -> None:
    conversation = target(image=SingerImage(about=True))
    good = {"id": 2.0, "total": None, "any": 5, "odd": [], "new": 1}
    said = lines(conversation, [STRICT, message("x", data), message(2, good)])
    assert repr([line["record"] for line in said if line["type"] == "RECORD"]) == repr([{**good, "id": 2}])
    error = told(conversation)[0]
    assert isinstance(error, ErrorEvent)
    assert error.message_id == "mx"
    assert text in error.text


def test_a_classic_target_judges_records_itself() -> None:
    for conversation in (target(), target(image=SingerImage(about=True), validate_records=False)):
        said = lines(conversation, [STRICT, message(1, {"id": "1"}), message(2, {"total": 2.0})])
        assert [line["record"] for line in said[1:]] == [{"id": "1"}, {"total": 2.0}]


def test_failed_messages_are_told_while_the_target_still_runs() -> None:
    conversation = target()
    lines(conversation, [ORDERS, message("x", 5)])
    events = list(conversation.take(b"working"))
    assert [type(event) for event in events] == [ErrorEvent, LogEvent]
    assert told(conversation) == []


@pytest.mark.parametrize(
    ("mode", "method"), [("append", "append-only"), ("overwrite", "overwrite"), ("dedup", "upsert")]
)
def test_the_mode_is_the_setting_of_targets_that_have_it(mode: Any, method: str) -> None:
    image = SingerImage(about=True, load_method=True)
    assert target(Load(mode), image).config() == {"load_method": method}
    assert target(Load(mode), image, load_method="own").config() == {"load_method": "own"}


def test_a_target_that_cannot_store_like_that_says_so_before_it_starts() -> None:
    for mode, image in (("overwrite", SingerImage()), ("dedup", SingerImage(about=True))):
        with pytest.raises(RequestError, match="load_method"):
            target(Load(mode), image).launch()  # type: ignore[arg-type]
    assert target(Load("dedup")).config() == {}, "a classic target replaces by key where it gets one"


@pytest.mark.parametrize(
    ("line", "state"),
    [
        (b'{"bookmarks":{"a":1}}', {"bookmarks": {"a": 1}}),
        (b' {"a":1} \r', {"a": 1}),
        (b'{"type":"STATE","value":{"a":1}}', {"a": 1}),
        (b'{"bookmarks":{},"level":"x"}', {"bookmarks": {}, "level": "x"}),
        (b'{"a":"' + b"x" * SMALL_STATE + b'"}', {"a": "x" * SMALL_STATE}),
        (b'{"target":{"bookmarks":{},"summary":{}},"tap":{"at":1}}', {"at": 1}),
    ],
)
def test_a_target_says_its_state_in_many_forms(line: bytes, state: Any) -> None:
    conversation = target()
    lines(conversation, [])
    assert [*conversation.take(b"hello"), *conversation.take(line), *told(conversation)][1:] == [StateEvent(state)]


@pytest.mark.parametrize("line", [b"done", b"{broken", b"5", b'{"level":"info","message":"x"}', b'{"type":"STATE"'])
def test_what_is_no_state_is_log(line: bytes) -> None:
    assert [type(event) for event in target().take(line)] == [LogEvent]


def test_a_short_state_after_a_long_one_is_the_last() -> None:
    conversation = target()
    lines(conversation, [])
    said = [*conversation.take(b'{"a":"' + b"x" * SMALL_STATE + b'"}'), *conversation.take(b'{"a":1}')]
    assert [*said, *told(conversation)] == [StateEvent({"a": 1})]


def test_two_messages_with_one_external_id_are_not_mixed_up() -> None:
    conversation = target()
    lines(
        conversation, [message(1, {"externalId": "a"}), message(2, {"externalId": "a"}), message(3, {"externalId": 7})]
    )
    results = [{"success": True, "externalId": "a", "id": 1}, {"success": True, "externalId": "7", "id": 9}, 5]
    state = {"bookmarks": {"Orders": results, "tap": {"at": 1}}, "summary": {"Orders": {"fail": 0}}}
    list(conversation.take(orjson.dumps(state)))
    assert told(conversation) == [ResultEvent("m3", "9")]


def test_a_table_is_known_by_its_name_in_any_letters() -> None:
    conversation = target()
    lines(conversation, [message(1, {"externalId": "a"}, "ORDERS")])
    state = {"bookmarks": {"Orders": [{"success": True, "externalId": "a"}]}, "summary": {}}
    list(conversation.take(orjson.dumps(state)))
    assert told(conversation) == [ResultEvent("m1")]


def test_failures_that_are_only_counted_are_told() -> None:
    conversation = target()
    lines(conversation, [])
    results = [{"success": False, "externalId": "a", "error": {"code": 5}}, {"externalId": "b", "error": "no"}]
    summary = {"Orders": {"success": 0, "fail": 5}, "Users": {"fail": 2}, "Others": {"fail": 0}, "odd": 1}
    list(conversation.take(orjson.dumps({"bookmarks": {"Orders": results}, "summary": summary})))
    counted = "the target counts more failed records than it names"
    assert told(conversation) == [
        RejectedEvent('Orders: {"code": 5}', "a"),
        RejectedEvent("Orders: no", "b"),
        RejectedEvent(f"Orders: {counted}", None, 3),
        RejectedEvent(f"Users: {counted}", None, 2),
    ]


def test_options_that_a_program_does_not_know_are_a_matter_of_its_manifest() -> None:
    conversation = target()
    conversation.take_log(b"t: something odd")
    assert conversation.failure_type(2) == "config"
    assert conversation.failure_type(1) == "system"
    conversation.take_log(b"ERROR Connection refused")
    assert conversation.failure_type(137) == "system", "killed from outside, whatever it logged"
