"""Singer programs, started for real: what they are given, what they say, and what is kept of it."""

from __future__ import annotations

import logging
from pathlib import Path

import orjson
import pytest
from singer_driver import Ended, message, run_program

from flowmate_airflow.catalog.manifest import SingerImage
from flowmate_airflow.protocols.base import Request
from flowmate_airflow.protocols.events import (
    CatalogEvent,
    CheckEvent,
    CredentialsEvent,
    DescribeEvent,
    ErrorEvent,
    LogEvent,
    RejectedEvent,
    ResultEvent,
    StateEvent,
    StreamEvent,
)
from flowmate_airflow.protocols.singer_tap import SingerTap
from flowmate_airflow.protocols.singer_target import SingerTarget
from flowmate_airflow.protocols.streams import SelectedStream, Stream

SDK = SingerImage(about=True)
TOKEN = {"token": "one"}


def orders() -> Stream:
    found = run_program("fake_tap.py", SingerTap(Request("discover", credentials=TOKEN), SDK)).of(CatalogEvent)
    return found[0].streams[0]


def read(selected: SelectedStream, **request: object) -> Ended:
    return run_program("fake_tap.py", SingerTap(Request(credentials=TOKEN, selected=[selected], **request), SDK))


def test_a_tap_lists_its_streams_between_lines_of_chatter() -> None:
    stream = orders()
    assert (stream.name, stream.primary_key, stream.cursor, stream.incremental) == ("orders", ("id",), "updated", True)
    assert stream.automatic == {"id", "updated"}
    assert "blob" not in stream.schema["properties"], "what is unsupported cannot be selected"


def test_a_tap_reads_only_selected_fields_with_keys_and_cursor() -> None:
    ended = read(SelectedStream(orders(), frozenset({"buyer.email"})))
    assert ended.data[0] == {"id": 1, "buyer": {"email": "a@b"}, "updated": "2024-01"}
    assert ended.of(StreamEvent)[0].stream.primary_key == ("id",)
    assert len(ended.data) == 5


def test_a_tap_reads_all_fields_but_unsupported_ones() -> None:
    ended = read(SelectedStream(orders()))
    assert ended.data[4].keys() == {"id", "total", "buyer", "updated"}
    assert isinstance(ended.events[0], StateEvent), "a state may come before any schema"
    assert LogEvent(logging.INFO, "reading orders: 5 of 5") in ended.events


def test_a_tap_goes_on_where_its_state_ended() -> None:
    selected = SelectedStream(orders(), mode="incremental")
    first = read(selected)
    state = first.of(StateEvent)[-1].state
    assert [each["id"] for each in read(selected, state=state).data] == [5]


@pytest.mark.parametrize("fail", [False, True])
def test_a_rotated_token_is_kept_even_when_the_tap_fails(fail: bool) -> None:
    tap = SingerTap(Request(config={"fail": fail}, credentials=TOKEN, selected=[SelectedStream(orders())]), SDK)
    ended = run_program("fake_tap.py", tap)
    assert [event.changed for event in ended.of(CredentialsEvent)] == [{"token": "one-next"}]
    assert (ended.code == 1) is fail
    assert not fail or tap.failure_type(ended.code) == "transient"


@pytest.mark.parametrize("image", [SDK, SingerImage()])
def test_a_check_tells_good_credentials_from_bad_ones(image: SingerImage) -> None:
    good = run_program("fake_tap.py", SingerTap(Request("check", credentials=TOKEN), image))
    assert good.of(CheckEvent) == [CheckEvent(ok=True)]
    bad = run_program("fake_tap.py", SingerTap(Request("check", credentials={"token": "wrong"}), image))
    assert bad.of(CheckEvent) == [CheckEvent(ok=False, text="401 Client Error: Unauthorized for url")]


def test_a_program_describes_itself_by_about_or_by_help() -> None:
    about = run_program("fake_tap.py", SingerTap(Request("describe"), SDK)).of(DescribeEvent)
    assert about[0].description["name"] == "fake-tap"
    told = run_program("fake_tap.py", SingerTap(Request("describe"), SingerImage())).of(DescribeEvent)
    assert "--catalog" in told[0].description["help"]


def test_a_classic_tap_gets_its_selection_in_the_schemas() -> None:
    stream = Stream("orders", {"properties": {"id": {}, "name": {}, "secret": {}}}, primary_key=("id",))
    request = Request(selected=[SelectedStream(stream, frozenset({"name"}))])
    ended = run_program("classic_tap.py", SingerTap(request, SingerImage(catalog="properties")))
    assert ended.data == [{"id": 1, "name": 1}]


def test_a_classic_tap_that_got_the_wrong_option_is_told_apart_from_one_with_nothing_new() -> None:
    request = Request(selected=[SelectedStream(Stream("orders", {"properties": {"id": {}}}))])
    ended = run_program("classic_tap.py", SingerTap(request, SingerImage()))
    assert ended.code == 0
    (warning,) = ended.events
    assert isinstance(warning, LogEvent)
    assert warning.level == logging.WARNING
    assert "singer: {catalog: properties}" in warning.text


def test_a_target_gets_schema_records_and_state_in_order(tmp_path: Path) -> None:
    out = tmp_path / "out"
    target = SingerTarget(Request(config={"out": str(out)}), SingerImage())
    stream = Stream("orders", {"properties": {"id": {"type": "integer"}}}, primary_key=("id",), cursor="id")
    ended = run_program("fake_target.py", target, [stream, message(1, {"id": 1}), StateEvent({"at": 1})])
    lines = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert [line["type"] for line in lines] == ["SCHEMA", "RECORD", "STATE"]
    assert lines[0]["key_properties"] == ["id"]
    assert lines[0]["bookmark_properties"] == ["id"]
    assert lines[1]["record"] == {"id": 1}
    assert ended.of(StateEvent) == [StateEvent({"at": 1})]
    assert ended.of(CredentialsEvent)[0].changed == {"token": "new"}


def test_a_target_that_leaves_early_and_says_all_is_well_is_not_believed(tmp_path: Path) -> None:
    request = Request(config={"out": str(tmp_path / "out"), "leave_after": 2})
    many = [message(number, {"id": number, "text": "x" * 1000}) for number in range(5000)]
    ended = run_program("fake_target.py", SingerTarget(request, SingerImage()), many)
    assert ended.code == 0
    assert "had not read all" in ended.of(ErrorEvent)[0].text


def test_a_target_that_dies_is_a_matter_of_its_exit_code_and_log(tmp_path: Path) -> None:
    target = SingerTarget(Request(config={"out": str(tmp_path / "out"), "die_after": 2}), SingerImage())
    many = [message(number, {"id": number}) for number in range(5)]
    ended = run_program("fake_target.py", target, many)
    assert ended.code == 1
    assert not ended.of(ErrorEvent)
    assert target.failure_type(1) == "transient"


@pytest.mark.parametrize("padding", [0, 40_000])
def test_results_of_single_records_find_their_messages(tmp_path: Path, padding: int) -> None:
    config = {"out": str(tmp_path / "out"), "hotglue": True, "padding": padding}
    data = [{"externalId": "a"}, {"externalId": "b", "bad": True}, {"bad": True}, {"bad": True}]
    many = [message(number, each) for number, each in enumerate(data, start=1)]
    ended = run_program("fake_target.py", SingerTarget(Request(config=config), SingerImage()), many)
    assert ended.of(ResultEvent) == [ResultEvent("m1", "r1")]
    assert ended.of(ErrorEvent) == [ErrorEvent("400: no email", "system", "m2")]
    assert ended.of(RejectedEvent) == [RejectedEvent("Orders: 400: no email", None, 2)]
    assert not ended.of(StateEvent), "results are no state of a source"


def test_a_target_is_checked_by_its_configuration() -> None:
    ended = run_program("fake_target.py", SingerTarget(Request("check"), SingerImage()))
    assert ended.of(CheckEvent) == [CheckEvent(ok=False, text="KeyError: 'out'")]
