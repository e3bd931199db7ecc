"""Replays, batches and kept states, as Airflow calls their operators: a played component, a store of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from played import Played, manifest, message

from flowmate_airflow.batches.batch import read_batch
from flowmate_airflow.operators import connector as connector_module
from flowmate_airflow.operators.connector import ConnectorOperator
from flowmate_airflow.operators.map import MapOperator
from flowmate_airflow.operators.pair import PairOperator
from flowmate_airflow.operators.split import SplitOperator
from flowmate_airflow.operators.state import CommitStateOperator
from flowmate_airflow.store.deadletters import DeadLetter, find, keep
from flowmate_airflow.store.replays import claim
from flowmate_airflow.store.states import Place, hold_state, read_state
from flowmate_airflow.store.store import close_stores, open_store


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__RUNTIME", "process")
    monkeypatch.setenv("AIRFLOW__FLOWMATE__BATCH_URL", str(tmp_path / "batches"))
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", f"sqlite:///{tmp_path}/store.db")
    yield
    close_stores()


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[Played], Played]:
    def use(played: Played) -> Played:
        monkeypatch.setattr(connector_module, "process_runtime", lambda log: played)
        return played

    return use


def context(task: str, conf: Any = None, values: dict[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    instance = {"dag_id": "f", "run_id": "r", "task_id": task, "map_index": -1, "try_number": 1, "dag_version_id": "v"}
    known = values or {}
    task_instance = SimpleNamespace(**{**instance, **facts}, xcom_pull=lambda task_ids: known.get(task_ids))
    return {"ti": task_instance, "dag_run": SimpleNamespace(conf=conf), "run_id": "r", "params": {}}


def put(**options: Any) -> ConnectorOperator:
    with DAG("f", schedule=None):
        return ConnectorOperator(
            task_id="saved", use="acme/put", manifest=manifest(auth={}), inputs=["before"], **options
        )


def fails(wrong: set[Any]) -> Any:
    def behave(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        for line in lines:
            own = line["message"]
            if own["data"] in wrong:
                yield {"type": "ERROR", "id": own["id"], "message": "still bad"}
            else:
                yield message(own["data"], id=own["id"])

    return behave


def letters(*data: Any, step: str = "saved") -> None:
    keep(
        open_store(),
        [DeadLetter("f", step, "old", str(each), {"id": str(each), "data": each}, "bad") for each in data],
    )


def waiting() -> list[Any]:
    return [(letter.message["data"], letter.error, letter.status) for letter in find(open_store(), "f")]


REPLAY = {"flowmate_replay": {"step": "saved", "letters": None}}


def test_a_replay_gives_a_step_its_dead_letters_and_removes_what_succeeds(play: Callable[[Played], Played]) -> None:
    letters("a", "b", "c")
    play(Played(fails({"b"})))
    value = put(on_error="dead_letter").execute(context("saved", REPLAY))
    assert [each["data"] for each in read_batch(value)] == ["a", "c"]
    assert waiting() == [("b", "still bad", "waiting")]


def test_a_replay_that_fails_leaves_all_letters(play: Callable[[Played], Played]) -> None:
    letters("a", "b")
    play(Played(fails({"b"})))
    with pytest.raises(AirflowException, match="still bad"):
        put().execute(context("saved", REPLAY))
    assert waiting() == [("a", "bad", "waiting"), ("b", "bad", "waiting")]


def test_a_replay_of_some_letters_leaves_the_others(play: Callable[[Played], Played]) -> None:
    letters("a", "b", "c")
    ids = [letter.id for letter in find(open_store(), "f")]
    play(Played(fails(set())))
    conf = {"flowmate_replay": {"step": "saved", "letters": ids[1:2]}}
    put(on_error="dead_letter").execute(context("saved", conf))
    assert [data for data, *_ in waiting()] == ["a", "c"]


def test_steps_before_a_replay_give_nothing_and_those_after_it_go_on(play: Callable[[Played], Played]) -> None:
    acme = play(Played(fails(set())))
    with DAG("f", schedule=None):
        trigger = ConnectorOperator(task_id="first", use="acme/get", manifest=manifest(auth={}))
        before = MapOperator(task_id="before", expression="data", inputs=["first"])
        after = MapOperator(task_id="after", expression="data & '!'", inputs=["saved"])
    empty = trigger.execute(context("first", REPLAY))
    assert empty["count"] == 0
    assert before.execute(context("before", REPLAY, {"first": empty}))["count"] == 0
    assert not acme.jobs
    letters("a")
    saved = put(on_error="dead_letter").execute(context("saved", REPLAY, {"before": empty}))
    assert [each["data"] for each in read_batch(after.execute(context("after", REPLAY, {"saved": saved})))] == ["a!"]


def test_a_replay_without_letters_is_skipped(play: Callable[[Played], Played]) -> None:
    play(Played(fails(set())))
    with pytest.raises(AirflowSkipException, match="no dead letters of `saved`"):
        put().execute(context("saved", REPLAY))


def test_a_replay_is_for_one_tenant(play: Callable[[Played], Played]) -> None:
    letters("a")
    keep(open_store(), [DeadLetter("f", "saved", "old", "b", {"id": "b", "data": "b"}, "bad", tenant="acme")])
    (other,) = [letter.id for letter in find(open_store(), "f", tenant="")]
    acme = play(Played(fails(set())))
    put().execute(context("saved", {**REPLAY, "tenant": "acme"}))
    assert [each["data"] for each in acme.messages] == ["b"]
    with pytest.raises(AirflowSkipException):
        put().execute(context("saved", {"flowmate_replay": {"step": "saved", "letters": [other]}, "tenant": "acme"}))
    assert waiting() == [("a", "bad", "waiting")]


@pytest.mark.parametrize("asked", [{"step": 1}, "saved", {"step": "saved", "letters": ["1"]}, {"letters": [1]}, [1]])
def test_a_replay_that_makes_no_sense_fails_for_good(asked: Any) -> None:
    with pytest.raises(AirflowFailException, match="flowmate_replay"):
        put().execute(context("saved", {"flowmate_replay": asked}))


def split(size: int) -> SplitOperator:
    with DAG("f", schedule=None):
        return SplitOperator(task_id="saved.batches", inputs=["before"], size=size)


def batch_of(count: int) -> dict[str, Any]:
    return {
        "count": count,
        "errors": 0,
        "bytes": 1,
        "messages": [{"id": str(n), "data": n, "metadata": {"stream": "t"}} for n in range(count)],
        "counts": {"t": count},
        "streams": {"t": {"schema": {"type": "object"}, "primary_key": ["id"]}},
    }


def test_an_input_is_cut_into_batches_that_know_their_streams() -> None:
    values = split(4).execute(context("saved.batches", None, {"before": batch_of(10)}))
    assert [[each["data"] for each in read_batch(value)] for value in values] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]
    assert [value["counts"] for value in values] == [{"t": 4}, {"t": 4}, {"t": 2}]
    assert all(value["streams"]["t"]["primary_key"] == ["id"] for value in values)


def test_there_are_no_more_batches_than_airflow_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "3")
    values = split(1).execute(context("saved.batches", None, {"before": batch_of(10)}))
    assert [value["count"] for value in values] == [4, 4, 2]


def test_nothing_to_cut_is_no_work() -> None:
    with pytest.raises(AirflowSkipException):
        split(1).execute(context("saved.batches", None, {"before": batch_of(0)}))


def test_a_mapped_task_gets_its_part_and_settles_its_own_letters(play: Callable[[Played], Played]) -> None:
    letters("a", "b", "c")
    parts = split(2).execute(context("saved.batches", REPLAY))
    assert [[each["data"] for each in read_batch(part)] for part in parts] == [["a", "b"], ["c"]]
    play(Played(fails(set())))
    put(on_error="dead_letter", part=parts[0]).execute(context("saved", REPLAY, map_index=0))
    assert [data for data, *_ in waiting()] == ["c"]


def test_a_mapped_task_after_a_replay_gets_its_part(play: Callable[[Played], Played]) -> None:
    play(Played(fails(set())))
    earlier = {"flowmate_replay": {"step": "before", "letters": None}}
    (part,) = split(4).execute(context("saved.batches", earlier, {"before": batch_of(2)}))
    mapped = put(part=part)
    mapped.inputs = []
    assert mapped.execute(context("saved", earlier, map_index=0))["count"] == 2
    (empty,) = split(4).execute(context("saved.batches", earlier, {"before": batch_of(0)}))
    nothing = put(part=empty)
    nothing.inputs = []
    assert nothing.execute(context("saved", earlier, map_index=0))["count"] == 0


def test_a_mapped_task_that_fails_leaves_its_own_letters_and_its_retry_has_them_again(
    play: Callable[[Played], Played],
) -> None:
    letters("a", "b", "c")
    parts = split(2).execute(context("saved.batches", REPLAY))
    play(Played(lambda lines: iter([75])))
    with pytest.raises(AirflowException):
        put(on_error="dead_letter", part=parts[0]).execute(context("saved", REPLAY, map_index=0))
    assert [(data, status) for data, _, status in waiting()] == [
        ("a", "waiting"),
        ("b", "waiting"),
        ("c", "replaying"),
    ]
    ids = {letter.message["data"]: letter.id for letter in find(open_store(), "f")}
    claim(open_store(), [ids["b"]], "another run")
    acme = play(Played(fails(set())))
    put(on_error="dead_letter", part=parts[0]).execute(context("saved", REPLAY, map_index=0, try_number=2))
    assert [each["data"] for each in acme.messages] == ["a"]
    put(on_error="dead_letter", part=parts[1]).execute(context("saved", REPLAY, map_index=1))
    assert [data for data, *_ in waiting()] == ["b"]


def test_dead_letters_of_the_first_step_of_a_pair_go_through_both(play: Callable[[Played], Played]) -> None:
    letters("a", "b", step="first")
    with DAG("f", schedule=None):
        pair = PairOperator(
            first=ConnectorOperator(
                task_id="first", use="acme/put", manifest=manifest(auth={}), inputs=["x"], on_error="dead_letter"
            ),
            **{"task_id": "saved", "use": "acme/put", "manifest": manifest(auth={}), "inputs": ["x"]},
        )
    wrong = {"b"}
    play(Played(fails(wrong)))
    conf = {"flowmate_replay": {"step": "first", "letters": None}}
    value = pair.execute(context("saved", conf))
    assert [each["data"] for each in read_batch(value)] == ["a"]
    assert waiting() == [("b", "still bad", "waiting")]


def test_letters_that_go_on_to_other_steps_are_done_when_these_succeeded(play: Callable[[Played], Played]) -> None:
    letters("a", "b", "c")
    play(Played(fails({"b"})))
    put(on_error="dead_letter", settles_letters=False).execute(context("saved", REPLAY))
    assert waiting() == [("a", "bad", "replaying"), ("b", "still bad", "waiting"), ("c", "bad", "replaying")]
    with DAG("f", schedule=None):
        commit = CommitStateOperator(task_id="saved.letters", letters=["saved"])
        other = CommitStateOperator(task_id="other.letters", letters=["other"])
    other.execute(context("other.letters", REPLAY))
    commit.execute(context("saved.letters"))
    assert len(waiting()) == 3
    commit.execute(context("saved.letters", REPLAY))
    assert waiting() == [("b", "still bad", "waiting")]


def test_a_replay_takes_no_letters_of_other_steps(play: Callable[[Played], Played]) -> None:
    letters("a", step="other")
    (letter,) = find(open_store(), "f")
    play(Played(fails(set())))
    with pytest.raises(AirflowSkipException):
        put().execute(context("saved", {"flowmate_replay": {"step": "saved", "letters": [letter.id]}}))
    assert waiting() == [("a", "bad", "waiting")]


def test_the_held_state_becomes_the_state() -> None:
    store, place = open_store(), Place("f", "orders", "acme")
    hold_state(store, place, "r", {"n": 1})
    with DAG("f", schedule=None):
        commit = CommitStateOperator(task_id="orders.state", step="orders")
    commit.execute(context("orders.state"))
    assert read_state(store, place) is None  # another tenant's
    commit.execute(context("orders.state", {"tenant": "acme"}))
    assert read_state(store, place) == {"n": 1}


def test_a_store_that_cannot_be_reached_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    close_stores()
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", "postgresql+psycopg2://me:geheim@127.0.0.1:1/none")
    with DAG("f", schedule=None):
        commit = CommitStateOperator(task_id="orders.state", step="orders")
    with pytest.raises(AirflowException) as caught:
        commit.execute(context("orders.state"))
    assert "127.0.0.1" in str(caught.value)
    assert "geheim" not in str(caught.value)
