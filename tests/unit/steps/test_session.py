"""A connector step with its memory: what it keeps, repeats, links and replays, on a store of its own."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.fernet import Fernet
from played import Behaviour, Played, manifest, message

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.batches.batch import BatchValue, BatchWriter, read_batch
from flowmate_airflow.batches.storage import Storage
from flowmate_airflow.steps.calls import StepCall, StepRun, Window
from flowmate_airflow.steps.errors import ConfigFailure, TransientFailure
from flowmate_airflow.steps.inputs import NOTHING, Input
from flowmate_airflow.steps.letters import letters_of
from flowmate_airflow.steps.memory import StoreMemory
from flowmate_airflow.steps.outcome import Failure
from flowmate_airflow.steps.pairs import Pair
from flowmate_airflow.steps.reading import Reading
from flowmate_airflow.steps.session import Place, Session
from flowmate_airflow.store import deadletters, states
from flowmate_airflow.store.store import close_stores, open_store


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", f"sqlite:///{tmp_path}/store.db")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", Fernet.generate_key().decode())
    yield
    close_stores()


class World:
    """One step of one flow, run after run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log: list[str] = []
        self.run_id = "r1"
        self.attempt = 1

    def session(self, runtime: Played, use: str = "acme/put", step: str = "s", **options: Any) -> Session:
        named = {name: options.pop(name) for name in ("reading", "external_id") if name in options}
        run = StepRun("f", self.run_id, step, self.attempt)
        call = StepCall(options.pop("manifest", manifest()), use, run, options.pop("config", {}), **options)
        memory = StoreMemory(run, -1)
        return Session(call, Place(runtime, "process"), memory, lambda level, text: self.log.append(text), **named)

    def writer(self) -> BatchWriter:
        return BatchWriter(Storage(str(self.folder / "batches"), ("f", self.run_id, "s"), self.attempt), 65536)

    def run(self, runtime: Played, source: Input = NOTHING, **options: Any) -> BatchValue:
        return self.session(runtime, **options).run(source, self.writer())

    def next_run(self) -> None:
        self.run_id, self.attempt = f"{self.run_id}+", 1


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def given(*data: Any) -> Input:
    lines = [orjson.dumps({"id": str(n), "data": each}) for n, each in enumerate(data, start=1)]
    return Input(lambda: iter(lines), fingerprint=repr(data))


def saving(fails: Any = None, failure_type: str = "transient") -> Behaviour:
    """Return a component that saves each message, but those in `fails`, and reports results."""

    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        skip = next(lines)["context"]["on_error"] != "fail"
        for line in lines:
            own = line["message"]
            if own["data"] in (fails or ()):
                yield message(f"half of {own['data']}")
                yield {"type": "ERROR", "id": own["id"], "message": "no room", "failure_type": failure_type}
                if not skip:
                    yield 75
                    return
            else:
                yield message(f"saved {own['data']}", id=own["id"])
                yield {"type": "RESULT", "id": own["id"]}

    return play


def data_of(value: BatchValue) -> list[Any]:
    return [each["data"] for each in read_batch(value)]


def test_a_retry_sends_only_what_was_not_done(world: World) -> None:
    acme = Played(saving(fails=["c"]))
    with pytest.raises(TransientFailure, match="message 3: no room"):
        world.run(acme, given("a", "b", "c", "d"))
    world.attempt = 2
    acme.behaviour = saving()
    value = world.run(acme, given("a", "b", "c", "d"))
    assert [each["data"] for each in acme.messages] == ["a", "b", "c", "c", "d"]
    assert data_of(value) == ["saved a", "saved b", "saved c", "saved d"]
    assert any("2 messages were done by an earlier try" in line for line in world.log)


def test_a_third_try_knows_what_both_before_it_did(world: World) -> None:
    acme = Played(saving(fails=["b"]))
    for fails in (["b"], ["c"]):
        acme.behaviour = saving(fails=fails)
        with pytest.raises(TransientFailure):
            world.run(acme, given("a", "b", "c"))
        world.attempt += 1
    acme.behaviour = saving()
    assert data_of(world.run(acme, given("a", "b", "c"))) == ["saved a", "saved b", "saved c"]
    assert [each["data"] for each in acme.messages] == ["a", "b", "b", "c", "c"]


def test_what_was_done_of_another_input_does_not_count(world: World) -> None:
    """Somebody cleared the step before as well: its messages have the same ids, and other data."""
    acme = Played(saving(fails=["c"]))
    with pytest.raises(TransientFailure):
        world.run(acme, given("a", "b", "c"))
    world.attempt, acme.behaviour = 2, saving(fails=["z"])
    with pytest.raises(TransientFailure):
        world.run(acme, given("x", "y", "z"))
    world.attempt, acme.behaviour = 3, saving()
    assert data_of(world.run(acme, given("x", "y", "z"))) == ["saved x", "saved y", "saved z"]
    assert [each["data"] for each in acme.messages] == ["a", "b", "c", "x", "y", "z", "z"]


def test_messages_of_one_id_are_all_sent_again(world: World) -> None:
    lines = [orjson.dumps({"id": each, "data": f"{each}{n}"}) for n, each in enumerate(["1", "2", "1", "3"])]
    source = Input(lambda: iter(lines), fingerprint="same")
    acme = Played(saving(fails=["12"]))
    with pytest.raises(TransientFailure):
        world.run(acme, source)
    world.attempt, acme.behaviour = 2, saving()
    world.run(acme, source)
    assert [each["data"] for each in acme.messages] == ["10", "21", "12", "10", "12", "33"]


def test_a_store_that_is_away_is_no_reason_to_fail_a_step_that_needs_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    close_stores()
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", "postgresql+psycopg2://me:geheim@127.0.0.1:1/none")
    world.attempt = 2
    assert data_of(world.run(Played(saving()), given("a"))) == ["saved a"]
    assert any("all messages are sent" in line for line in world.log)


def test_a_component_that_reports_nothing_gets_everything_again(world: World) -> None:
    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        for line in lines:
            yield message(line["message"]["data"])
        yield code

    acme, code = Played(play), 75
    with pytest.raises(TransientFailure):
        world.run(acme, given("a", "b"))
    world.attempt, code = 2, 0
    assert data_of(world.run(acme, given("a", "b"))) == ["a", "b"]
    assert len(acme.messages) == 4


def test_failed_messages_become_dead_letters_and_the_others_go_on(world: World) -> None:
    value = world.run(Played(saving(fails=["b"])), given("a", "b", "c"), on_error="dead_letter")
    assert (value["count"], value["errors"]) == (3, 1)
    (letter,) = deadletters.find(open_store(), "f")
    assert (letter.step, letter.run_id, letter.message_id, letter.error) == ("s", "r1", "2", "no room")
    assert letter.message == {"id": "2", "data": "b"}


def test_records_that_are_named_by_their_own_id_are_found_again(world: World) -> None:
    failures = [Failure("bad mail", "system", None, "x2"), Failure("nobody knows", "system", None)]
    source = given({"externalId": "x1"}, {"externalId": "x2"})
    letters = list(letters_of(failures, source, StepRun("f", "r", "s"), lambda each: each["data"]["externalId"]))
    assert [(letter.message_id, letter.message["data"], letter.error) for letter in letters] == [
        ("2", {"externalId": "x2"}, "bad mail"),
        ("unknown-0", None, "nobody knows"),
    ]


def test_failed_messages_of_one_id_are_all_kept() -> None:
    lines = [orjson.dumps({"id": each, "data": n}) for n, each in enumerate(["1", "2", "1"])]
    failures = [Failure("no", "system", "1"), Failure("gone", "system", "9")]
    letters = letters_of(failures, Input(lambda: iter(lines)), StepRun("f", "r", "s"), lambda each: None)
    assert [(each.message_id, each.message["data"]) for each in letters] == [("1", 0), ("1#2", 2), ("9", None)]


def counting(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
    """A source of numbers that goes on where it stopped."""
    config = next(lines)
    start = (config["state"] or {"n": 0})["n"]
    for number in range(start, start + 3):
        yield message(number)
    yield {"type": "STATE", "state": {"n": start + 3}}


def test_a_state_counts_only_when_it_is_committed(world: World) -> None:
    acme, place = Played(counting), states.Place("f", "s")
    assert data_of(world.run(acme, use="acme/get")) == [0, 1, 2]
    world.next_run()
    assert data_of(world.run(acme, use="acme/get")) == [0, 1, 2]
    states.commit_state(open_store(), place, world.run_id)
    world.next_run()
    assert data_of(world.run(acme, use="acme/get")) == [3, 4, 5]


def test_a_full_sync_begins_anew_and_a_window_leaves_the_state_alone(world: World) -> None:
    acme, store, place = Played(counting), open_store(), states.Place("f", "s")
    world.run(acme, use="acme/get")
    states.commit_state(store, place, world.run_id)
    world.next_run()
    assert data_of(world.run(acme, use="acme/get", window=Window(start="2026-01-01"))) == [0, 1, 2]
    assert acme.fed[-1]["config"] == {"start_date": "2026-01-01"}
    assert not states.commit_state(store, place, world.run_id)
    world.next_run()
    states.set_state(store, place, {"n": 9})
    assert data_of(world.run(acme, use="acme/get", window=Window(full=True))) == [0, 1, 2]
    assert states.commit_state(store, place, world.run_id)
    assert states.read_state(store, place) == {"n": 3}


def test_a_window_that_the_connector_cannot_be_told_is_an_error(world: World) -> None:
    with pytest.raises(ConfigFailure, match="has no field `end_date`"):
        world.run(Played(counting), use="acme/get", window=Window(end="2026-01-01"))


def test_a_window_is_told_to_those_that_read_only(world: World) -> None:
    acme = Played(saving())
    assert data_of(world.run(acme, given("a"), window=Window(start="2026-01-01"))) == ["saved a"]
    assert acme.fed[0]["config"] == {}


def test_a_reset_while_the_run_goes_on_stays(world: World) -> None:
    store, place = open_store(), states.Place("f", "s")

    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        states.reset_state(store, place)
        yield {"type": "STATE", "state": {"n": 3}}

    world.run(Played(play), use="acme/get")
    states.commit_state(store, place, world.run_id)
    assert states.read_state(store, place) is None


def test_a_state_that_nobody_declared_is_told(world: World) -> None:
    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        list(lines)
        yield {"type": "STATE", "state": 1}

    world.run(Played(play), given("a"))
    assert any("`state: true`" in line for line in world.log)


def test_an_id_of_the_other_system_comes_back_with_the_record(world: World) -> None:
    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        for line in lines:
            own = line["message"]
            remote = (own.get("metadata") or {}).get("remote_id")
            seen = remote or f"R{own['data'].get('n')}"
            yield message("updated" if remote else "created", metadata={"remote_id": seen})
            yield {"type": "RESULT", "id": own["id"]}

    acme = Played(play)
    records = [{"n": 7}, {"n": 8}, {}]
    assert data_of(world.run(acme, given(*records), external_id="data.n")) == ["created", "created", "created"]
    world.next_run()
    acme.fed.clear()
    assert data_of(world.run(acme, given(*records), external_id="data.n")) == ["updated", "updated", "created"]
    assert [each.get("metadata", {}).get("recordUid") for each in acme.messages] == ["R7", "R8", None]


def test_an_id_that_another_system_gave_is_not_taken_for_this_ones(world: World) -> None:
    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        for line in lines:
            yield message("created", id=line["message"]["id"], metadata={"remote_id": "R1"})
            yield {"type": "RESULT", "id": line["message"]["id"]}

    acme = Played(play)
    metadata = {"remote_id": "of-the-shop", "recordUid": "of-the-shop", "stream": "orders"}
    source = Input(lambda: iter([orjson.dumps({"id": "1", "data": {"n": 1}, "metadata": metadata})]))
    world.run(acme, source, external_id="data.n")
    assert acme.messages[0]["metadata"] == {"stream": "orders"}
    world.next_run()
    world.run(acme, source, external_id="data.n")
    assert acme.messages[1]["metadata"] == {"stream": "orders", "remote_id": "R1", "recordUid": "R1"}


def test_a_rotated_token_is_kept_even_when_the_step_fails(world: World) -> None:
    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        list(lines)
        yield {"type": "CREDENTIALS", "credentials": {"key": "new-secret"}}
        yield 75

    account, node = Account("acme_main", password="old-secret"), manifest(node={})
    acme = Played(play)
    with pytest.raises(TransientFailure):
        world.run(acme, given("a"), account=account, manifest=node)
    acme.behaviour = saving()
    world.attempt = 2
    world.run(acme, given("a"), account=account, manifest=node)
    keys = [line["credentials"]["key"] for line in acme.fed if line["type"] == "CONFIG"]
    assert keys == ["old-secret", "new-secret"]
    world.run(acme, given("a"), account=Account("acme_main", password="changed-by-hand"), manifest=node)
    assert acme.fed[-2]["credentials"]["key"] == "changed-by-hand"
    assert not any("secret" in line for line in world.log)


def test_a_token_in_what_a_killed_worker_left_is_taken_over(world: World) -> None:
    tap = manifest(
        protocol="singer",
        triggers={"read": {"title": "Read"}},
        actions={},
        singer={"discover": False, "catalog": "none"},
    )
    account = Account("acme_main", password="old-secret")

    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        yield {"type": "RECORD", "stream": "t", "record": {}}

    acme = Played(play)
    acme.left = [{"config.json": b'{"key": "new-secret"}'}]
    world.attempt = 2
    world.run(acme, use="acme/read", account=account, manifest=tap)
    assert orjson.loads(acme.jobs[0].files["config.json"]) == {"key": "new-secret"}
    world.next_run()
    world.run(acme, use="acme/read", account=account, manifest=tap)
    assert orjson.loads(acme.jobs[1].files["config.json"]) == {"key": "new-secret"}


def test_select_cuts_what_a_component_sends_beyond_it(world: World) -> None:
    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        asked = next(lines)["select"]
        assert asked == {"orders": ["buyer.name", "id"]}
        yield message({"id": 1, "buyer": {"name": "A", "card": "4711"}, "note": "x"}, metadata={"stream": "orders"})
        yield message({"id": 2}, metadata={"stream": "carts"})
        yield message({"id": 3})

    reading = Reading({"orders": ["id", "buyer.name"]})
    value = world.run(Played(play), use="acme/get", reading=reading)
    assert data_of(value) == [{"id": 1, "buyer": {"name": "A"}}, {"id": 3}]
    assert value["counts"] == {"orders": 1}


def test_what_comes_raw_is_what_was_sent(world: World, tmp_path: Path) -> None:
    odd = [
        b'{"type":"MESSAGE","message":{"data":{"big":123456789012345678901234567890,"f":1.10}}}',
        b'{"type":"MESSAGE","message":{"id":"x","data":"\\u00fc","metadata":{}}}',
        b'{"type":"MESSAGE","message":{"data":1,"evil":true,"id":7}}',
        b'{"type":"MESSAGE","extra":1,"message":{"data":2}}',
        b'{"type": "MESSAGE", "message": {"data": "' + b"y" * 70_000 + b'"}}',
    ]

    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        list(lines)
        yield from [odd[4], *odd * 3]

    value = world.run(Played(play), use="acme/get")
    messages = list(read_batch(value))
    assert value["count"] == len(messages) == 16
    assert len({each["id"] for each in messages}) == 3 * 3 + 1 + 2
    assert [each["data"] for each in messages[11:15]] == [{"big": 1.2345678901234568e29, "f": 1.1}, "ü", 1, 2]
    assert all(each.keys() == {"id", "data"} for each in messages)


def pair(world: World, first: Played, second: Played, **options: Any) -> Pair:
    when = options.pop("when", None)
    left = world.session(first, use="acme/get", step="first")
    right = world.session(second, **options)
    return Pair(left, right, when=when, keep_input=options.get("on_error") == "dead_letter")


def test_a_pair_passes_everything_on_and_keeps_the_state_of_the_first(world: World) -> None:
    def source(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        for number in range(5000):
            yield message({"n": number, "fill": "x" * 1000})
        yield {"type": "STATE", "state": 5000}

    second = Played(saving())
    value = pair(world, Played(source), second, when="data.n % 2 = 0").run(world.writer())
    assert [each["data"]["n"] for each in second.messages] == list(range(0, 5000, 2))
    assert value["count"] == 2500
    assert states.commit_state(open_store(), states.Place("f", "first"), "r1")


def test_a_pair_waits_for_the_slower_one(world: World) -> None:
    """No more than a few megabytes are on their way, however much the first could send."""
    sent = taken = most = 0

    def source(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        nonlocal sent
        next(lines)
        for _ in range(300):
            sent += 1
            yield message("x" * 100_000)

    def slow(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        nonlocal taken, most
        next(lines)
        for _ in lines:
            taken += 1
            most = max(most, sent - taken)
        yield from ()

    pair(world, Played(source), Played(slow)).run(world.writer())
    assert taken == 300
    assert most < 40


@pytest.mark.parametrize("failing", ["first", "second", "second, early"])
def test_a_pair_fails_as_one(world: World, failing: str) -> None:
    def source(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        for number in range(100_000):
            yield message(number)
            if failing == "first" and number == 1000:
                yield {"type": "ERROR", "message": "the shop is closed", "failure_type": "config"}
                yield 78
                return
        yield {"type": "STATE", "state": 1}

    def early(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        next(lines)
        if failing == "second":
            yield 1

    second = Played(early if failing != "first" else saving())
    expected = {"first": "the shop is closed", "second": "exit code 1", "second, early": "had not read all"}[failing]
    kind = ConfigFailure if failing == "first" else TransientFailure
    with pytest.raises(kind, match=expected):
        pair(world, Played(source), second).run(world.writer())
    assert not states.commit_state(open_store(), states.Place("f", "first"), "r1")


def test_a_pair_keeps_dead_letters(world: World) -> None:
    def source(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        for number in range(10):
            yield message(number)

    value = pair(world, Played(source), Played(saving(fails=[4])), on_error="dead_letter").run(world.writer())
    assert value["errors"] == 1
    (letter,) = deadletters.find(open_store(), "f", "s")
    assert letter.message["data"] == 4


def test_memory_stays_flat_however_many_messages_are_done(world: World) -> None:
    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        for line in lines:
            yield b'{"type":"MESSAGE","message":{"data":1}}'
            yield b'{"type":"RESULT","id":"%b"}' % line["message"]["id"].encode()

    def most(count: int) -> int:
        lines = Input(lambda: (b'{"id":"%d","data":%d}' % (n, n) for n in range(count)))
        tracemalloc.start()
        try:
            world.run(runtime, lines)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    runtime = Played(play)
    runtime.fed = Forgetful()
    most(1000)  # what is made once is made
    assert most(20_000) < most(5000) + 3_000_000


class Forgetful(list[Any]):
    def append(self, value: Any) -> None:
        """Keep nothing."""


def test_the_log_ends_with_the_counts_by_stream(world: World) -> None:
    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        list(lines)
        yield message({}, metadata={"stream": "a"})
        yield message({}, metadata={"stream": "b"})
        yield message({}, metadata={"stream": "a"})

    value = world.run(Played(play), use="acme/get")
    assert value["counts"] == {"a": 2, "b": 1}
    assert world.log[-1] == "0 messages in, 3 out (a 2, b 1)"
