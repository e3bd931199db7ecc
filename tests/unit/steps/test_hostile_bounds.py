"""What a component says without an end, or to do harm with what is kept of it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from played import Behaviour, Played, manifest, message
from test_session import World, data_of, given, saving, store, world  # noqa: F401

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.batches.batch import BatchWriter, read_batch
from flowmate_airflow.batches.storage import Storage
from flowmate_airflow.runtimes.base import OutputLimitExceeded
from flowmate_airflow.steps import bounds
from flowmate_airflow.steps.errors import ConfigFailure, TransientFailure
from flowmate_airflow.steps.filelines import lines_of
from flowmate_airflow.steps.inputs import Input
from flowmate_airflow.store import deadletters, results, secrets, states
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.store import open_store

FOREIGN = manifest(node={}, actions={"put": {"title": "Put"}})


def says(*lines: Any) -> Behaviour:
    def play(fed: Iterator[dict[str, Any]]) -> Iterator[Any]:
        list(fed)
        yield from lines

    return play


def stream(name: str, **parts: Any) -> dict[str, Any]:
    return {"type": "STREAM", "stream": {"name": name, **parts}}


@pytest.mark.parametrize("name", ["__type", "__var", "__classname__", "__data__", "a\0b", "x" * 9000])
def test_a_stream_may_be_called_anything_and_its_count_reaches_no_xcom(tmp_path: Path, name: str) -> None:
    writer = BatchWriter(Storage(str(tmp_path), ("f",), 1), 65536)
    for number in range(10):
        writer.write({"id": str(number), "data": 1, "metadata": {"stream": name * (number + 1)}})
        writer.count_stream(name * (number + 1))
    writer.received_counts = dict(writer.counts)
    value = writer.finish()
    assert "counts" not in value
    assert "received_counts" not in value
    assert len(list(read_batch(value))) == 10


@pytest.mark.parametrize(
    ("flood", "told"),
    [
        (lambda n: stream(f"s{n}"), "more than 20 streams"),
        (lambda n: message(1, metadata={"stream": f"s{n}"}), "more than 20 streams"),
        (lambda n: message(1, metadata={"stream": "x" * 20_000}), "the name of a stream"),
        (lambda n: stream(f"s{n % 10}", schema={"x": "y" * 5000 * n}), "bytes to describe"),
    ],
)
def test_streams_without_an_end_are_ended(
    world: World,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    flood: Callable[[int], Any],
    told: str,
) -> None:
    monkeypatch.setattr(bounds, "MAX_STREAMS", 20)
    monkeypatch.setattr(bounds, "MAX_SCHEMAS", 500_000)
    with pytest.raises(ConfigFailure, match=told):
        world.run(Played(says(*map(flood, range(200)))), given(1))


@pytest.mark.parametrize(
    ("line", "levels"),
    [
        (b'{"type":"LOG","message":%b}', 1010),
        (b'{"type":"ERROR","message":%b}', 1010),
        (b'{"type":"CREDENTIALS","credentials":{"a":%b}}', 900),
        (b'{"type":"CREDENTIALS","credentials":{"a":%b}}', 300),
        (b'{"type":"STATE","state":%b}', 300),
    ],
)
def test_what_is_nested_deep_fails_at_once_and_for_good(world: World, line: bytes, levels: int) -> None:  # noqa: F811
    account = Account("c", password="a-secret")
    deep = line % (b"[" * levels + b"]" * levels)
    with pytest.raises(ConfigFailure, match="nested too deep"):
        world.run(Played(says(deep)), use="acme/get", account=account)


def test_credentials_without_an_end_are_ended(world: World) -> None:  # noqa: F811
    account = Account("c", password="a-secret")
    flood = [{"type": "CREDENTIALS", "credentials": {f"k{n}": "v" * 10_000}} for n in range(100)]
    with pytest.raises(ConfigFailure, match="changes its credentials"):
        world.run(Played(says(*flood)), use="acme/put", manifest=FOREIGN, account=account)


def test_the_names_of_changed_credentials_cannot_steer_the_log(world: World) -> None:  # noqa: F811
    account = Account("c", password="a-secret")
    event = {"type": "CREDENTIALS", "credentials": {"a\n::group::\x1b[31m": "v", "b" * 5000: "v"}}
    world.run(Played(says(event)), use="acme/get", account=account)
    (line,) = [each for each in world.log if "new values are kept" in each]
    assert "\n" not in line
    assert "\x1b" not in line
    assert len(line) < 1000


def test_credentials_that_are_what_they_were_are_not_stored_again(
    world: World,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored: list[Any] = []
    save = secrets.save_changed
    monkeypatch.setattr(secrets, "save_changed", lambda *given: (stored.append(given), save(*given))[1])
    event = {"type": "CREDENTIALS", "credentials": {"token": "new-token"}}
    world.run(Played(says(*[event] * 5000)), use="acme/get", account=Account("c", password="a-secret"))
    assert len(stored) == 1


def test_a_remote_id_has_a_size(world: World) -> None:  # noqa: F811
    result = {"type": "RESULT", "id": "1", "remote_id": "x" * 20_000}
    with pytest.raises(ConfigFailure, match="remote_id"):
        world.run(Played(says(result)), given(1), external_id="id")


def test_no_more_is_done_than_was_fed(world: World) -> None:  # noqa: F811
    flood = [{"type": "RESULT", "ids": [f"no-{n}" for n in range(1000)]}, 1]
    with pytest.raises(TransientFailure):
        world.run(Played(says(*flood)), given(1, 2, 3))
    assert len(results.done_ids(open_store(), results.TaskKey("f", "r1", "s"))) == 3


def test_a_message_that_failed_is_sent_again_though_it_is_said_to_be_done(world: World) -> None:  # noqa: F811
    both = ({"type": "RESULT", "id": "1"}, {"type": "RESULT", "id": "2"}, {"type": "ERROR", "id": "2"}, 1)
    with pytest.raises(TransientFailure):
        world.run(Played(says(*both)), given("a", "b"))
    world.attempt = 2
    acme = Played(saving())
    world.run(acme, given("a", "b"))
    assert [each["data"] for each in acme.messages] == ["b"]


def test_reasons_of_failures_take_no_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(bounds, "MAX_FAILED_SIZE", 100_000)
    errors = [{"type": "ERROR", "id": str(n), "message": "x" * 100_000} for n in range(1, 100)]
    value = world.run(Played(says(*errors)), given(*range(99)), on_error="dead_letter")
    assert value["errors"] == 99
    sizes = [len(letter.error) for letter in deadletters.find(open_store(), "f")]
    assert len(sizes) == 99
    assert sum(sizes) < 100_000

    flood = [{"type": "ERROR", "id": "x" * 1000 + str(n)} for n in range(200)]
    with pytest.raises(ConfigFailure, match="messages failed"):
        world.run(Played(says(*flood)), given(1), on_error="dead_letter")


def test_a_dead_letter_holds_no_secret(world: World) -> None:  # noqa: F811
    account = Account("c", password="s3cret/pass word", extra={"token": "tok-12345"})
    error = {"type": "ERROR", "id": "1", "message": "GET /?p=s3cret%2Fpass%20word&t=tok-12345 said no"}
    world.run(Played(says(error)), given(1), on_error="dead_letter", account=account)
    (letter,) = deadletters.find(open_store(), "f")
    assert letter.error == "GET /?p=***&t=*** said no"


def test_a_batch_of_an_earlier_try_that_is_gone_is_made_again(world: World) -> None:  # noqa: F811
    data = ["a" * 50_000, "b" * 50_000, "c"]
    with pytest.raises(TransientFailure):
        world.run(Played(saving(fails=["c"])), given(*data))
    for file in world.folder.glob("batches/**/*.gz"):
        file.unlink()
    world.attempt = 2
    acme = Played(saving())
    assert data_of(world.run(acme, given(*data))) == [f"saved {each}" for each in data]
    assert any("are sent" in line and "is gone" in line for line in world.log)


def test_a_store_that_fails_while_it_notes_what_is_done_loses_nothing(
    world: World,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = ["a", "b", "c", "d"]
    with pytest.raises(TransientFailure):
        world.run(Played(saving(fails=["b"])), given(*data))
    world.attempt = 2
    keep = results.keep_partial

    def fails(store: Any, key: Any, value: Any) -> None:  # noqa: F811
        if value:
            raise StoreError("the disk is full", transient=True)
        keep(store, key, value)

    monkeypatch.setattr(results, "keep_partial", fails)
    with pytest.raises(TransientFailure):
        world.run(Played(saving(fails=["d"])), given(*data))
    monkeypatch.setattr(results, "keep_partial", keep)
    world.attempt = 3
    assert data_of(world.run(Played(saving()), given(*data))) == [f"saved {each}" for each in data]


def test_a_state_of_a_try_before_is_not_the_one_of_this(world: World) -> None:  # noqa: F811
    world.run(Played(says({"type": "STATE", "state": 1})), use="acme/get")
    world.attempt = 2  # its task was cleared, and reads anew
    world.run(Played(says(message(1))), use="acme/get")
    assert not states.commit_state(open_store(), states.Place("f", "s"), "r1")


@pytest.mark.parametrize("metadata", ["text", [1, 2], [["a", 1]], 7])
def test_metadata_that_are_no_object_are_no_trouble_for_ids(world: World, metadata: Any) -> None:  # noqa: F811
    lines = [orjson.dumps({"id": "1", "data": "a", "metadata": metadata})]
    source = Input(lambda: iter(lines))

    def saves(fed: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(fed)
        for line in fed:
            yield {"type": "RESULT", "id": line["message"]["id"], "remote_id": "R1"}

    world.run(Played(saves), source, external_id="data")
    acme = Played(saves)
    world.run(acme, source, external_id="data")
    assert acme.messages[0]["metadata"]["remote_id"] == "R1"


def test_ids_that_were_given_are_kept_though_the_step_fails(world: World) -> None:  # noqa: F811
    """Also of an input that nobody may count on, such as a replay's: what was made there is there."""
    source = Input(lambda: iter([b'{"id":"1","data":"a"}']))
    with pytest.raises(TransientFailure):
        world.run(Played(says({"type": "RESULT", "id": "1", "remote_id": "R1"}, 1)), source, external_id="data")
    acme = Played(saving())
    world.run(acme, source, external_id="data")
    assert acme.messages[0]["metadata"]["remote_id"] == "R1"


def test_large_messages_are_not_gathered_for_their_ids(world: World) -> None:  # noqa: F811
    read = 0

    def lines() -> Iterator[bytes]:
        nonlocal read
        for number in range(100):
            read += 1
            yield orjson.dumps({"id": str(number), "data": "x" * 500_000})

    most = 0

    def play(fed: Iterator[dict[str, Any]]) -> Iterator[Any]:
        nonlocal most
        next(fed)
        for taken, _ in enumerate(fed):
            most = max(most, read - taken)
        yield from ()

    world.run(Played(play), Input(lines), external_id="id")
    assert most < 6


def test_empty_lines_of_a_file_count_too(tmp_path: Path) -> None:
    spent = 0

    def spend(size: int) -> None:
        nonlocal spent
        spent += size
        if spent > 1_000_000:
            raise OutputLimitExceeded("enough")

    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(b"\n" * 5_000_000))
    with path.open("rb") as raw, pytest.raises(OutputLimitExceeded):
        list(lines_of(raw, gzipped=True, limit=100, name="bomb", spend=spend))


def test_a_file_of_records_cannot_name_itself(world: World) -> None:  # noqa: F811
    tap = manifest(
        protocol="singer",
        auth={},
        triggers={"read": {"title": "Read"}},
        actions={},
        singer={"discover": False, "catalog": "none"},
    )
    batch = {"type": "BATCH", "stream": "t", "encoding": {"format": "jsonl"}, "manifest": ["file:///tmp/a"]}
    played = Played(says({"type": "SCHEMA", "stream": "t", "schema": {}, "key_properties": []}, batch))
    played.files = {"/tmp/a": b'{"x":1},' + json.dumps(batch).encode()[1:-1]}
    with pytest.raises(ConfigFailure, match="names other files"):
        world.run(played, use="acme/read", manifest=tap)


def test_a_batch_that_is_forgotten_leaves_no_file(tmp_path: Path) -> None:
    from flowmate_airflow.protocols.streams import Stream

    writer = BatchWriter(Storage(str(tmp_path), ("f",), 1), 100)
    writer.declare(Stream("s", {"x": "y" * 1000}))
    writer.write({"id": "1", "data": 1})
    assert "streams_href" in writer.finish()
    writer.abort()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
