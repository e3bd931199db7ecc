"""Runs as people and other systems start them: with params and a conf that fit no step, or the wrong one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from played import Played, manifest, message
from test_replays_and_batches import _settings, context, fails, letters, play, put, waiting  # noqa: F401

from flowmate_airflow.batches.batch import read_batch
from flowmate_airflow.operators.connector import ConnectorOperator
from flowmate_airflow.operators.map import MapOperator
from flowmate_airflow.operators.pair import PairOperator
from flowmate_airflow.operators.split import SplitOperator
from flowmate_airflow.store.deadletters import DeadLetter, find, keep
from flowmate_airflow.store.store import open_store

Play = Callable[[Played], Played]


def batch(*data: Any) -> dict[str, Any]:
    messages = [{"id": str(number), "data": each} for number, each in enumerate(data)]
    return {"count": len(data), "errors": 0, "bytes": 9, "messages": messages}


def conf(ids: Any = None, step: str = "saved", **more: Any) -> dict[str, Any]:
    return {"flowmate_replay": {"step": step, "letters": ids}, **more}


def test_a_window_is_for_the_steps_that_read_by_it(play: Play) -> None:  # noqa: F811
    acme = play(Played(fails(set())))
    given = context("saved", values={"before": batch("a")})
    given["params"] = {"start_date": "2026-01-01", "end_date": None, "full_sync": False}
    put().execute(given)
    assert [each["data"] for each in acme.messages] == ["a"]


def test_a_replay_takes_no_letters_of_another_step_or_flow(play: Play) -> None:  # noqa: F811
    letters("a")
    letters("b", step="other")
    keep(open_store(), [DeadLetter("g", "saved", "old", "c", {"id": "c", "data": "c"}, "bad")])
    acme = play(Played(fails(set())))
    put(on_error="dead_letter").execute(context("saved", conf([1, 2, 3])))
    assert [each["data"] for each in acme.messages] == ["a"]
    assert [(each.message["data"], each.status) for each in find(open_store())] == [("b", "waiting"), ("c", "waiting")]
    with pytest.raises(AirflowSkipException):
        put().execute(context("saved", conf([2, 3])))


@pytest.mark.parametrize("ids", [None, [1, 2]])
def test_a_replay_for_a_tenant_takes_its_own_letters_only(play: Play, ids: Any) -> None:  # noqa: F811
    for tenant in ("", "t1"):
        keep(open_store(), [DeadLetter("f", "saved", "old", "a", {"id": "a", "data": tenant}, "bad", tenant=tenant)])
    acme = play(Played(fails(set())))
    put(on_error="dead_letter").execute(context("saved", conf(ids, tenant="t1")))
    assert [each["data"] for each in acme.messages] == ["t1"]
    assert [each.tenant for each in find(open_store())] == [""]


@pytest.mark.parametrize("ids", [[2**63], [-(2**70)], [0], [True], ["1"]])
def test_ids_that_are_none_fail_for_good(play: Play, ids: Any) -> None:  # noqa: F811
    play(Played(fails(set())))
    with pytest.raises(AirflowFailException, match="flowmate_replay"):
        put().execute(context("saved", conf(ids)))


def test_letters_that_fail_again_stay_though_the_step_skips_now(play: Play) -> None:  # noqa: F811
    letters("a", "b")
    play(Played(fails({"b"})))
    put(on_error="skip").execute(context("saved", conf()))
    assert waiting() == [("b", "still bad", "waiting")]


def test_the_second_letter_of_one_id_stays_when_it_fails_again(play: Play) -> None:  # noqa: F811
    keep(open_store(), [DeadLetter("f", "saved", "old", "a#2", {"id": "a", "data": "wrong"}, "bad")])
    play(Played(fails({"wrong"})))
    put(on_error="dead_letter").execute(context("saved", conf()))
    assert waiting() == [("wrong", "still bad", "waiting")]


def test_a_failure_that_names_no_letter_leaves_them_all(play: Play) -> None:  # noqa: F811
    """Better twice than never: nobody knows which of them it was."""
    letters("a", "b")

    def behave(lines: Any) -> Any:
        list(lines)
        yield {"type": "ERROR", "id": "who knows", "message": "one is bad"}

    play(Played(behave))
    put(on_error="dead_letter").execute(context("saved", conf()))
    assert waiting() == [("a", "one is bad", "waiting"), ("b", "one is bad", "waiting")]


def test_a_replay_at_a_step_that_is_not_there_fails_for_good(play: Play) -> None:  # noqa: F811
    play(Played(fails(set())))
    with DAG("f", schedule=None):
        first = ConnectorOperator(task_id="first", use="acme/get", manifest=manifest(auth={}))
        made = MapOperator(task_id="made", expression="data", inputs=["first"])
        hidden = ConnectorOperator(task_id="hidden", use="acme/get", manifest=manifest(auth={}), dag=None)
        PairOperator(first=hidden, task_id="pair", use="acme/put", manifest=manifest(auth={}))
    for task in (first, made):
        given = {**context(task.task_id, conf(step="nowhere"), {"first": batch()}), "task": task}
        with pytest.raises(AirflowFailException, match="no step `nowhere`"):
            task.execute(given)
        for known in ("made", "pair", "hidden"):
            if known != task.task_id:
                given = {**context(task.task_id, conf(step=known), {"first": batch()}), "task": task}
                assert task.execute(given)["count"] == 0


def test_many_batches_make_no_large_value() -> None:
    with DAG("f", schedule=None):
        split = SplitOperator(task_id="saved.batches", inputs=["before"], size=3)
    messages = [{"id": str(n), "data": "x" * 1000} for n in range(1500)]
    value = {"count": 1500, "errors": 0, "bytes": 1, "messages": messages}
    values = split.execute(context("saved.batches", values={"before": value}))
    assert len(values) == 500
    assert len(orjson.dumps(values)) < 65536 + 500 * 400
    assert [each["id"] for value in values for each in read_batch(value)] == [each["id"] for each in messages]


@pytest.mark.parametrize(
    "value",
    [
        {"messages": [], "streams": 5},
        {"messages": [{"id": "1", "data": 1}], "counts": "x"},
        {"messages": [{"id": "1", "data": 1}], "count": {1, 2}},
        {"messages": [1]},
        {"messages": [{"data": 1}]},
        {"messages": [{"id": 1}]},
    ],
)
def test_a_value_that_another_task_made_wrong_is_told(play: Play, value: Any) -> None:  # noqa: F811
    play(Played(fails(set())))
    with pytest.raises(AirflowFailException, match="not a batch"):
        put().execute(context("saved", values={"before": value}))


def test_what_is_written_is_a_message(play: Play) -> None:  # noqa: F811
    play(Played(lambda lines: iter([message(len(list(lines)) - 1)])))
    assert [each["data"] for each in read_batch(put().execute(context("saved", values={"before": batch(1, 2)})))] == [2]
