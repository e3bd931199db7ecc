"""What a webhook makes of a flow's DAG."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization
from played import manifest

from flowmate_airflow.build.dag import build_dag
from flowmate_airflow.build.graph import FlowGraph, build_graph
from flowmate_airflow.build.tenants import dispatcher_dag
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.flows.load import read_flow
from flowmate_airflow.operators.reply import ReplyOperator
from flowmate_airflow.sensors.webhook import WebhookSensor
from flowmate_airflow.triggers.webhook import WebhookEventTrigger
from flowmate_airflow.webhooks.endpoints import EXTRA, Endpoint

WEBHOOK = """
flowmate: 1
id: orders
webhook: {scheme: github, connection: hooks, order_by: data.id, debounce: 5s, attempts: 7, max_body: 2m%s}
steps:
  - {id: first, map: data}
  - {id: saved, use: acme/put}
  - {id: aside, use: acme/put, needs: [webhook]}
"""

WAIT = """
flowmate: 1
id: orders
defaults: {timeout: 1h}
steps:
  - {id: read, use: acme/get}
  - {id: paid, wait: {webhook: {scheme: stripe, connection: hooks}, match: event.id = message.id, timeout: 3d}}
"""


class _Catalog:
    def get(self, name: str) -> Manifest:
        return manifest(name=name, auth={})


class _LinkedCatalog:
    def get(self, name: str) -> Manifest:
        return manifest(name=name)


def graph_of(text: str, catalog: Any) -> FlowGraph:
    loaded = read_flow(text.encode(), Path("x.yaml"), catalog)
    assert loaded is not None
    return build_graph(loaded, catalog)


def dag_of(text: str) -> DAG:
    return build_dag(graph_of(text, _Catalog()))


def test_the_first_task_takes_the_events_and_the_first_steps_get_them():
    dag = dag_of(WEBHOOK % "")
    sensor = dag.get_task("webhook")
    assert isinstance(sensor, WebhookSensor)
    assert (sensor.starts_run, sensor.ordered, sensor.batch) == (True, True, 1000)
    assert sensor.downstream_task_ids == {"first", "aside"}
    assert dag.get_task("first").inputs == ["webhook"]


def test_the_dag_runs_by_an_asset_that_tells_the_receiver_all_but_the_secret():
    dag = dag_of(WEBHOOK % "")
    (asset,) = dag.schedule
    assert (asset.name, asset.uri) == ("webhook orders", "flowmate://webhooks/orders")
    told = Endpoint.from_json("orders", asset.extra[EXTRA])
    assert told == Endpoint(
        "orders", scheme="github", connection="hooks", order_by="data.id", max_body=2 * 1024 * 1024, debounce=5
    )
    trigger = asset.watchers[0].trigger
    assert isinstance(trigger, WebhookEventTrigger)
    assert trigger.serialize()[1] == {"endpoint": "orders", "debounce": 5.0, "attempts": 7}


def test_the_dag_is_the_same_at_every_parse():
    made = [DagSerialization.to_dict(dag_of(WEBHOOK % "")) for _ in range(2)]
    assert made[0] == made[1]


def test_an_answer_is_made_by_a_task_of_its_own_and_of_one_event():
    dag = dag_of(WEBHOOK % ", reply: {step: first, within: 5s}")
    reply = dag.get_task("first.reply")
    assert isinstance(reply, ReplyOperator)
    assert (reply.inputs, reply.webhook, reply.upstream_task_ids) == (["first"], "webhook", {"first"})
    assert dag.get_task("webhook").batch == 1


def test_a_step_that_waits_is_a_sensor_with_an_endpoint_of_its_own():
    task = dag_of(WAIT).get_task("paid")
    assert isinstance(task, WebhookSensor)
    assert (task.starts_run, task.webhook, task.inputs) == (False, "orders~paid", ["read"])
    assert task.timeout == timedelta(days=3).total_seconds()
    assert task.execution_timeout is None
    assert [asset.uri for asset in task.inlets] == ["flowmate://webhooks/orders~paid"]
    assert task.inlets[0].watchers == []


def test_with_tenants_the_asset_starts_the_dag_that_starts_their_runs():
    text = (WEBHOOK % "").replace("webhook:", "tenants: linked\nwebhook:")
    graph = graph_of(text, _LinkedCatalog())
    dag, dispatcher = build_dag(graph), dispatcher_dag(graph)
    assert dispatcher is not None
    assert dag.schedule is None
    (asset,) = dispatcher.schedule
    told = Endpoint.from_json("orders", asset.extra[EXTRA])
    assert (told.tenants, told.connector, told.connection) == (True, None, "hooks")  # no trigger takes the events
    trigger = asset.watchers[0].trigger.serialize()[1]
    assert trigger == {"endpoint": "orders", "debounce": 5.0, "attempts": 7, "tenants": True}
    (starts,) = dispatcher.tasks
    assert (starts.webhook, starts.debounce) == ("orders", 5.0)
    sensor = dag.get_task("webhook")
    assert isinstance(sensor, WebhookSensor)
    assert (sensor.tenants, sensor.upstream_task_ids) == (True, {"tenant"})
    assert sensor.downstream_task_ids == {"first", "aside"}
    for each in (dag, dispatcher):
        assert DagSerialization.to_dict(each) == DagSerialization.to_dict(each)


def test_a_step_that_waits_is_tried_again_whatever_the_flow_says():
    """Airflow may let a task fail that is woken soon after it was deferred."""
    none = dag_of(WAIT.replace("timeout: 1h", "retries: 0, retry_delay: 1m")).get_task("paid")
    more = dag_of(WAIT.replace("timeout: 1h", "retries: 5, retry_delay: 2s")).get_task("paid")
    assert (none.retries, none.retry_delay) == (3, timedelta(seconds=10))
    assert (more.retries, more.retry_delay) == (5, timedelta(seconds=2))
    assert dag_of(WAIT.replace("timeout: 1h", "retries: 0")).get_task("read").retries == 0


def test_with_tenants_a_step_that_waits_has_an_endpoint_for_each():
    task = build_dag(graph_of(WAIT.replace("defaults:", "tenants: linked\ndefaults:"), _LinkedCatalog())).get_task(
        "paid"
    )
    assert isinstance(task, WebhookSensor)
    assert task.tenants
    told = Endpoint.from_json("orders~paid", task.inlets[0].extra[EXTRA])
    assert (told.tenants, told.connector) == (True, None)
