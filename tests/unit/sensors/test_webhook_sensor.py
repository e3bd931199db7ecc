"""The sensor as Airflow calls it, on a store of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, TaskDeferred
from airflow.sdk.serde import deserialize, serialize

from flowmate_airflow.batches.batch import BatchWriter, StorageFailure, read_batch
from flowmate_airflow.operators.reply import ReplyOperator, answer_caller
from flowmate_airflow.sensors.webhook import WebhookSensor
from flowmate_airflow.store.claims import Owner, settle
from flowmate_airflow.store.deliveries import NewDelivery, get, insert
from flowmate_airflow.store.replies import get_replies
from flowmate_airflow.store.store import close_stores, open_store
from flowmate_airflow.store.waiting import waiting
from flowmate_airflow.triggers.matching import find_match
from flowmate_airflow.triggers.webhook import WebhookTrigger
from flowmate_airflow.webhooks.endpoints import Endpoint

ENDPOINT = Endpoint("orders", scheme="github", connection="hooks")


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__BATCH_URL", str(tmp_path / "batches"))
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", f"sqlite:///{tmp_path}/store.db")
    yield
    close_stores()


def deliver(*data: Any, endpoint: str = "orders", tenant: str = "") -> list[int]:
    """Put deliveries into the store, as the receiver does."""
    new = []
    for each in data:
        event = {"specversion": "1.0", "id": "e", "type": "github.push", "source": "/webhooks/github/orders"}
        payload = {"event": {**event, "data": each}, "http": {"method": "POST", "headers": {"x-a": "b"}, "query": {}}}
        raw = json.dumps(payload).encode()
        digest = f"{endpoint}{tenant}{each}".encode()
        new.append(NewDelivery(endpoint, digest, raw, tenant, delivery_id="d", event="push"))
    return [stored.id for stored in insert(open_store(), new)]


def context(
    task: str = "webhook", run: str = "r1", values: dict[str, Any] | None = None, conf: Any = None
) -> dict[str, Any]:
    facts = {"dag_id": "orders", "run_id": run, "task_id": task, "map_index": -1, "try_number": 1}
    known = values or {}
    task_instance = SimpleNamespace(**facts, xcom_pull=lambda task_ids: known.get(task_ids))
    return {"ti": task_instance, "dag_run": SimpleNamespace(conf=conf), "run_id": run, "params": {}}


def sensor(**options: Any) -> WebhookSensor:
    return WebhookSensor(task_id="webhook", webhook=ENDPOINT, **{"starts_run": True, **options})


def data_of(value: Any) -> list[Any]:
    return [message["data"] for message in read_batch(value)]


def test_it_hands_on_what_waits_in_order_with_what_is_known_of_it():
    numbers = deliver({"n": 1}, {"n": 2})
    value = sensor().execute(context())
    assert data_of(value) == [{"n": 1}, {"n": 2}]
    first = next(read_batch(value))
    assert first["id"] == f"webhook-{numbers[0]}"
    told = first["metadata"]["webhook"]
    assert (told["endpoint"], told["delivery"], told["delivery_id"], told["event"], told["type"], told["method"]) == (
        *("orders", numbers[0], "d", "push", "github.push", "POST"),
    )
    assert waiting(open_store()) == []


def test_a_repeated_try_gets_the_same_and_another_run_gets_the_rest():
    deliver({"n": 1}, {"n": 2}, {"n": 3})
    first = data_of(sensor(batch=2).execute(context()))
    deliver({"n": 4})
    assert data_of(sensor(batch=2).execute(context())) == first == [{"n": 1}, {"n": 2}]
    assert data_of(sensor(batch=2).execute(context(run="r2"))) == [{"n": 3}, {"n": 4}]


def test_a_run_without_events_has_nothing_to_do():
    with pytest.raises(AirflowSkipException, match="no events wait"):
        sensor().execute(context())


def test_a_replay_of_dead_letters_takes_no_events():
    deliver({"n": 1})
    value = sensor().execute(context(conf={"flowmate_replay": {"step": "saved", "letters": None}}))
    assert value["count"] == 0
    assert waiting(open_store())[0].count == 1


def test_in_the_middle_of_a_dag_it_waits_for_an_event_and_settles_it():
    own = sensor(starts_run=False)
    with pytest.raises(TaskDeferred) as deferred:
        own.execute(context())
    (number,) = deliver({"n": 1})
    value = own.resume(context(), **deferred.value.kwargs, event={"last": number})
    assert data_of(value) == [{"n": 1}]
    delivery = get(open_store(), number)
    assert delivery is not None
    assert delivery.status == "delivered"


def test_with_match_it_waits_for_the_event_of_each_message():
    batch = {"count": 2, "errors": 0, "bytes": 1, "messages": [{"id": "a", "data": 1}, {"id": "b", "data": 2}]}
    run = context("paid", values={"made": batch})
    own = WebhookSensor(task_id="paid", webhook=ENDPOINT, inputs=["made"], match="event.data.n = message.data")
    with pytest.raises(TaskDeferred) as deferred:
        own.execute(run)
    trigger = deferred.value.trigger
    assert isinstance(trigger, WebhookTrigger)
    assert [message["id"] for message in trigger.messages or ()] == ["a", "b"]
    deliver({"n": 9}, {"n": 2})
    with pytest.raises(TaskDeferred) as again:
        own.resume(run, **deferred.value.kwargs, event={"last": 2})
    second = again.value.trigger
    assert isinstance(second, WebhookTrigger)
    assert ([message["id"] for message in second.messages or ()], second.after) == (["a"], 2)
    deliver({"n": 1})
    value = own.resume(run, **again.value.kwargs, event={"last": 3})
    assert [(message["id"], message["data"]) for message in read_batch(value)] == [("a", {"n": 1}), ("b", {"n": 2})]
    assert [each.count for each in waiting(open_store())] == [1]  # the one that nobody waits for


HOSTILE = (
    {"__classname__": "airflow.sdk.definitions.asset.Asset", "__version__": 1, "__data__": {"uri": "x"}},
    {"__type": "set", "__var": [1]},
    {"__type": "dict", "__var": {"a": 1}},
    {"a": "\0"},
)


def waiting_run(*data: Any) -> tuple[WebhookSensor, dict[str, Any]]:
    messages = [{"id": str(number), "data": each} for number, each in enumerate(data)]
    run = context("paid", values={"made": {"count": len(data), "errors": 0, "bytes": 1, "messages": messages}})
    match = "event.data.n = message.data.n or $number(event.data.n) = 0"
    return WebhookSensor(task_id="paid", webhook=ENDPOINT, inputs=["made"], match=match), run


@pytest.mark.parametrize("data", HOSTILE)
def test_airflow_keeps_what_the_trigger_compares_as_it_is(data: Any):
    own, run = waiting_run(data)
    with pytest.raises(TaskDeferred) as deferred:
        own.execute(run)
    path, kwargs = deferred.value.trigger.serialize()
    again = WebhookTrigger(**deserialize(json.loads(json.dumps(serialize(kwargs)))))
    assert again.messages == [{"id": "0", "data": data}]
    assert again.serialize() == (path, kwargs)


@pytest.mark.parametrize("data", HOSTILE)
def test_what_a_sender_writes_goes_through_xcom_as_it_is(data: Any):
    deliver(data)
    value = sensor().execute(context())
    assert data_of(deserialize(json.loads(json.dumps(serialize(value))))) == [data]


def test_an_odd_event_keeps_no_step_from_its_own():
    own, run = waiting_run({"n": 1})
    deliver({"n": "odd"}, {"n": 2})
    with pytest.raises(TaskDeferred) as deferred:
        own.execute(run)
    assert find_match("orders", "", 0, own.match, deferred.value.trigger.messages) == (False, 2)
    (number,) = deliver({"n": 1})
    assert find_match("orders", "", 2, own.match, deferred.value.trigger.messages) == (True, number)
    assert data_of(own.resume(run, **deferred.value.kwargs, event={"last": number})) == [{"n": 1}]


def test_an_expression_that_fails_is_told_when_the_time_is_over():
    own, run = waiting_run({"n": 1})
    deliver({"n": "odd"})
    with pytest.raises(AirflowFailException, match=r"no event came for 1 messages .* in time; `match` failed"):
        own.resume(run, until=datetime.now(timezone.utc).isoformat(), event={"last": 0, "late": True})


def test_an_event_whose_file_is_gone_keeps_no_step_from_its_own(tmp_path: Path):
    own, run = waiting_run({"n": 1})
    gone, number = deliver({"n": 5}, {"n": 1})
    table = open_store().tables.deliveries
    with open_store().write() as connection:
        connection.execute(table.update().where(table.c.id == gone).values(href=str(tmp_path / "gone")))
    assert find_match("orders", "", 0, own.match, [{"id": "0", "data": {"n": 1}}]) == (True, number)
    assert data_of(own.execute(run)) == [{"n": 1}]


def test_a_step_that_has_waited_in_vain_lets_go_of_what_it_had():
    own, run = waiting_run({"n": 1}, {"n": 2})
    (number,) = deliver({"n": 1})
    with pytest.raises(TaskDeferred) as deferred:
        own.execute(run)
    assert [each.status for each in [get(open_store(), number)] if each] == ["claimed"]
    late = {**deferred.value.kwargs, "until": datetime.now(timezone.utc).isoformat()}
    with pytest.raises(AirflowFailException, match="no event came for 1 messages"):
        own.resume(run, **late, event={"last": number, "late": True})
    assert [each.status for each in [get(open_store(), number)] if each] == ["received"]
    deliver({"n": 2})
    assert data_of(own.execute(run)) == [{"n": 1}, {"n": 2}]  # it was cleared


def test_events_are_not_done_before_they_are_handed_on(monkeypatch: pytest.MonkeyPatch):
    (number,) = deliver({"n": 1})

    def fail(_: object) -> None:
        raise StorageFailure("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(BatchWriter, "finish", fail)
        with pytest.raises(AirflowException, match="the disk is full"):
            sensor(starts_run=False).execute(context())
    assert [each.status for each in [get(open_store(), number)] if each] == ["claimed"]
    assert data_of(sensor(starts_run=False).execute(context())) == [{"n": 1}]


def test_it_fails_when_the_time_is_over():
    own = sensor(starts_run=False)
    until = datetime.now(timezone.utc).isoformat()
    with pytest.raises(AirflowFailException, match="no event came at the endpoint orders in time"):
        own.resume(context(), until=until, event={"last": 0, "late": True})


@pytest.mark.parametrize("options", [{"match": "true"}, {"inputs": ["before"]}])
def test_match_and_inputs_go_together(options: dict[str, Any]):
    with pytest.raises(ValueError, match="give both, or none"):
        sensor(**options)


def test_the_caller_gets_what_a_step_made():
    (number,) = deliver({"n": 1})
    event = sensor().execute(context())
    made = {"count": 1, "errors": 0, "bytes": 1, "messages": [{"id": "x", "data": {"sum": 3}}]}
    run = context("sum.reply", values={"webhook": event, "sum": made})
    ReplyOperator(task_id="sum.reply", webhook="webhook", inputs=["sum"]).execute(run)
    reply = get_replies(open_store(), [number])[number]
    assert (reply.status, reply.content_type, reply.body) == (200, "application/json", b'{"sum":3}')


def test_a_component_answers_the_one_caller_of_its_run():
    (number,) = deliver({"n": 1})
    event = sensor().execute(context())
    reply = {"statusCode": 201, "headers": {"Content-Type": "text/csv"}, "body": "a,b"}
    assert answer_caller(context("step", values={"webhook": event}), reply)
    kept = get_replies(open_store(), [number])[number]
    assert (kept.status, kept.content_type, kept.body) == (201, "text/csv", b"a,b")
    assert not answer_caller(context("step", run="by hand"), reply)


def test_what_is_released_goes_to_the_next_run():
    deliver({"n": 1})
    sensor().execute(context())
    settle(open_store(), Owner("orders", "r1", "webhook"), ok=False, error="it failed", max_attempts=1)
    with pytest.raises(AirflowSkipException):
        sensor().execute(context(run="r2"))
    delivery = get(open_store(), 1)
    assert delivery is not None
    assert (delivery.status, delivery.error) == ("failed", "it failed")


def of_tenants(**options: Any) -> WebhookSensor:
    return WebhookSensor(task_id="webhook", webhook=replace(ENDPOINT, tenants=True), **{"starts_run": True, **options})


def test_a_run_takes_the_events_of_its_tenant_only():
    deliver({"n": 0})
    deliver({"n": 1}, {"n": 2}, tenant="acme")
    deliver({"n": 1}, tenant="other")
    value = of_tenants().execute(context(conf={"tenant": "acme"}))
    assert data_of(value) == [{"n": 1}, {"n": 2}]
    assert {message["metadata"]["webhook"]["tenant"] for message in read_batch(value)} == {"acme"}
    with pytest.raises(AirflowSkipException):
        of_tenants().execute(context(run="r2", conf={"tenant": "third"}))
    assert [(each.tenant, each.count) for each in waiting(open_store())] == [("", 1), ("other", 1)]


@pytest.mark.parametrize("conf", [None, {}, {"tenant": ""}, {"tenant": ["acme"]}, {"tenant": 1}])
def test_a_run_of_no_tenant_takes_no_events_where_each_has_an_address(conf: Any):
    deliver({"n": 0})
    deliver({"n": 1}, tenant="acme")
    for own in (of_tenants(), of_tenants(starts_run=False)):
        with pytest.raises(AirflowFailException, match="the run's conf must say for whom it is"):
            own.execute(context(conf=conf))
    assert sum(each.count for each in waiting(open_store())) == 2


def test_where_there_are_no_tenants_the_conf_of_a_run_says_nothing_about_events():
    deliver({"n": 1})
    assert data_of(sensor().execute(context(conf={"tenant": "acme"}))) == [{"n": 1}]


def test_a_step_that_waits_takes_the_call_to_its_tenants_address():
    messages = [{"id": "0", "data": {"n": 1}}]
    run = context("paid", values={"made": {"count": 1, "errors": 0, "bytes": 1, "messages": messages}})
    run["dag_run"] = SimpleNamespace(conf={"tenant": "acme"})
    own = of_tenants(starts_run=False, inputs=["made"], match="event.data.n = message.data.n")
    deliver({"n": 1}, tenant="other")
    deliver({"n": 1})
    with pytest.raises(TaskDeferred) as deferred:
        own.execute(run)
    trigger = deferred.value.trigger
    assert isinstance(trigger, WebhookTrigger)
    assert (trigger.endpoint, trigger.tenant) == ("orders", "acme")
    assert find_match("orders", "acme", 0, own.match, trigger.messages)[0] is False
    (number,) = deliver({"n": 1}, tenant="acme")
    assert find_match("orders", "acme", 0, own.match, trigger.messages) == (True, number)
    assert data_of(own.resume(run, **deferred.value.kwargs, event={"last": number})) == [{"n": 1}]
    assert [each.tenant for each in waiting(open_store())] == ["", "other"]
