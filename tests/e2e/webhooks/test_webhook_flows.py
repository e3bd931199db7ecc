"""What others post becomes runs: signed, stored, claimed by one run each, delivered in containers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
import requests
from harness import PATIENCE, Client, wait_until
from senders import SECRET, GithubSender, KeyedService, hook_url, wait_for_endpoint
from standardwebhooks.webhooks import Webhook

pytestmark = pytest.mark.usefixtures("no_container_left")

STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

EVENTS = """
flowmate: 1
webhook: {{scheme: github, connection: hub_hooks{more}}}
defaults: {{retries: 0, retry_delay: 1s}}
steps:
  - id: records
    map: '{{"key": data.key, "n": data.n}}'
  - id: saved
    use: http/post
    with: {{url: "{url}/records"}}
"""


@pytest.fixture(scope="module")
def service() -> Iterator[KeyedService]:
    with KeyedService() as service:
        yield service


@pytest.fixture(scope="module", autouse=True)
def secrets(airflow: Client) -> None:
    airflow.add_connection("hub_hooks", password=SECRET)
    airflow.add_connection("standard_hooks", password=STANDARD_SECRET)


@pytest.fixture
def hook(airflow: Client, flow: Any) -> Any:
    """A way to drop a flow that a webhook starts; returns a sender for its endpoint."""

    def add(dag_id: str, text: str) -> GithubSender:
        flow.add(dag_id, text)
        switch_on(airflow, dag_id)
        sender = GithubSender(hook_url(airflow, dag_id))
        wait_for_endpoint(sender.url)
        return sender

    return add


def switch_on(airflow: Client, dag_id: str, on: bool = True) -> None:
    airflow.send("PATCH", f"dags/{dag_id}", {"is_paused": not on})


def runs_of(airflow: Client, dag_id: str) -> list[dict[str, Any]]:
    return airflow.get(f"dags/{dag_id}/dagRuns", limit=1000)["dag_runs"]


def wait_until_idle(airflow: Client, dag_id: str) -> list[dict[str, Any]]:
    """Return all runs of a flow, of which there is one at least, once none is active."""

    def look() -> list[dict[str, Any]] | None:
        runs = runs_of(airflow, dag_id)
        return runs if runs and all(run["state"] in ("success", "failed") for run in runs) else None

    return wait_until(f"the end of the runs of {dag_id}", look)


def test_signed_events_start_a_run_and_forged_ones_do_not(airflow: Client, hook, service: KeyedService):
    sender = hook("hooked", EVENTS.format(url=service.url, more=""))
    assert sender.send({"key": "forged", "n": 0}, signature="sha256=" + "0" * 64).status_code == 401
    first = sender.send({"key": "hooked-1", "n": 1}, delivery="d-1")
    again = sender.send({"key": "hooked-1", "n": 1}, delivery="d-1")
    assert (first.status_code, again.status_code) == (202, 202)
    wait_until("the record", lambda: "hooked-1" in service.records or None)
    assert wait_until_idle(airflow, "hooked")[-1]["run_type"] == "asset_triggered"
    assert "forged" not in service.records
    assert service.times["hooked-1"] == 1
    unknown = requests.post(hook_url(airflow, "nobody"), b"{}", timeout=30)
    forged = sender.send({}, signature="sha256=" + "0" * 64)
    assert (unknown.status_code, unknown.content) == (forged.status_code, forged.content) == (401, b"")


def test_a_burst_becomes_a_few_runs(airflow: Client, hook, service: KeyedService):
    sender = hook("burst", EVENTS.format(url=service.url, more=""))
    for number in range(400):
        assert sender.send({"key": f"burst-{number}", "n": number}).status_code == 202
    wait_until(
        "all of the burst",
        lambda: sum(key.startswith("burst-") for key in list(service.records)) == 400 or None,
    )
    assert len(wait_until_idle(airflow, "burst")) <= 8
    assert all(service.times[f"burst-{number}"] == 1 for number in range(400))


def test_events_wait_while_the_flow_is_off(airflow: Client, hook, service: KeyedService):
    sender = hook("resting", EVENTS.format(url=service.url, more=""))
    wait_until_idle(airflow, "resting")
    switch_on(airflow, "resting", on=False)
    before = len(runs_of(airflow, "resting"))
    assert sender.send({"key": "resting-1", "n": 1}).status_code == 202
    assert sender.send({"key": "resting-2", "n": 2}).status_code == 202
    assert len(runs_of(airflow, "resting")) == before
    switch_on(airflow, "resting")
    wait_until("what waited", lambda: {"resting-1", "resting-2"} <= service.records.keys() or None)
    wait_until_idle(airflow, "resting")


def test_a_failed_run_lets_its_events_go_to_another_one(airflow: Client, hook):
    broken = True
    with KeyedService(lambda record: broken and record["key"] == "poison") as service:
        sender = hook("healing", EVENTS.format(url=service.url, more=""))
        wait_until_idle(airflow, "healing")
        sender.send({"key": "poison", "n": 1})
        wait_until("a failed run", lambda: any(run["state"] == "failed" for run in runs_of(airflow, "healing")) or None)
        broken = False
        wait_until("the released event", lambda: "poison" in service.records or None)
        assert wait_until_idle(airflow, "healing")[-1]["state"] == "success"


def test_a_standard_webhook_and_the_answer_to_its_caller(airflow: Client, flow):
    flow.add(
        "answering",
        """
flowmate: 1
webhook: {connection: standard_hooks, reply: {step: sum, within: 5m}}
defaults: {retries: 0}
steps:
  - id: sum
    map: '{"sum": data.a + data.b}'
""",
    )
    switch_on(airflow, "answering")
    url = hook_url(airflow, "answering")

    def post(number: int, data: dict[str, Any]) -> requests.Response:
        body, moment = json.dumps(data), datetime.now(timezone.utc)
        headers = {
            "content-type": "application/json",
            "webhook-id": f"msg_{number}",
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": Webhook(STANDARD_SECRET).sign(f"msg_{number}", moment, body),
        }
        return requests.post(url, body, headers=headers, timeout=PATIENCE + 60)

    wait_until("the endpoint", lambda: post(0, {"a": 1, "b": 1}).ok or None)
    answer = post(1, {"a": 20, "b": 22})
    assert (answer.status_code, answer.json()) == (200, {"sum": 42})


PAYMENTS = """
flowmate: 1
defaults: {retries: 0}
steps:
  - id: made
    use: probe/emit
    with: {count: 2, size: 0}
  - id: paid
    wait:
      webhook: {scheme: github, connection: hub_hooks}
      match: event.data.number = message.data.number
      timeout: 5m
  - id: passed
    use: probe/pass@1
"""


def waiting(airflow: Client, flow, name: str) -> tuple[GithubSender, str]:
    """Start a flow whose step `paid` waits for calls; return who calls it, and the run, once it waits."""
    flow.add(name, PAYMENTS)
    sender = GithubSender(hook_url(airflow, f"{name}~paid"))
    wait_for_endpoint(sender.url)
    run = airflow.trigger(name)
    airflow.wait_for_task(name, run, "paid", {"deferred"})
    return sender, run


def test_a_step_waits_for_the_call_that_belongs_to_its_message(airflow: Client, flow):
    sender, run = waiting(airflow, flow, "payments")
    sender.send({"number": 7, "status": "nobody waits for it"})
    sender.send({"number": 1, "status": "late"})
    sender.send({"number": 0, "status": "early"})
    assert airflow.wait_for_run("payments", run) == "success"
    messages = airflow.xcom("payments", run, "paid")["messages"]
    assert [message["data"]["status"] for message in messages] == ["early", "late"]
    assert [message["passthrough"]["made"]["data"]["number"] for message in messages] == [0, 1]


def test_what_a_waiting_run_that_is_ended_has_taken_goes_to_another(airflow: Client, flow):
    sender, first = waiting(airflow, flow, "refunds")
    sender.send({"number": 0, "status": "early"})

    def has_taken() -> bool | None:
        tries = range(1, airflow.task_instances("refunds", first)["paid"]["try_number"] + 1)
        text = "1 of 2 messages have their event"
        return any(text in airflow.raw_logs("refunds", first, "paid", each) for each in tries) or None

    wait_until("the first event to be taken", has_taken)
    airflow.wait_for_task("refunds", first, "paid", {"deferred"})
    airflow.set_run_state("refunds", first, "failed")
    second = airflow.trigger("refunds")
    sender.send({"number": 1, "status": "late"})
    assert airflow.wait_for_run("refunds", second) == "success"
    messages = airflow.xcom("refunds", second, "paid")["messages"]
    assert [message["data"]["status"] for message in messages] == ["early", "late"]


def test_a_step_that_nobody_calls_fails_in_time(airflow: Client, flow):
    flow.add(
        "forsaken",
        """
flowmate: 1
defaults: {retries: 3}
steps:
  - id: made
    use: probe/emit
    with: {count: 1, size: 0}
  - id: paid
    wait:
      webhook: {scheme: github, connection: hub_hooks}
      match: event.data.number = message.data.number
      timeout: 15s
""",
    )
    run, state = airflow.run("forsaken")
    assert state == "failed"
    assert airflow.task_instances("forsaken", run)["paid"]["try_number"] == 1
    assert "no event came for 1 messages at the endpoint forsaken~paid in time" in airflow.logs("forsaken", run, "paid")


def test_the_sensor_in_a_dag_of_python(airflow: Client, flow):
    flow.drop(
        "by_hand.py",
        """
from airflow.sdk import DAG, task

from flowmate_airflow.sensors.webhook import WebhookSensor
from flowmate_airflow.triggers.webhook import webhook_asset
from flowmate_airflow.webhooks.endpoints import Endpoint

endpoint = Endpoint("by_hand_events", scheme="github", connection="hub_hooks")

with DAG("by_hand", schedule=[webhook_asset(endpoint)]):
    events = WebhookSensor(task_id="events", webhook=endpoint, starts_run=True)

    @task
    def numbers(batch):
        return [message["data"].get("n") for message in batch["messages"]]

    numbers(events.output)
""",
    )
    airflow.wait_for_dag("by_hand")
    switch_on(airflow, "by_hand")
    sender = GithubSender(hook_url(airflow, "by_hand_events"))
    wait_for_endpoint(sender.url)

    def look() -> Any:
        for run in runs_of(airflow, "by_hand"):
            # Another run may have taken the event: what finds none is skipped, has no value, and is a success.
            if run["state"] == "success" and 42 in (airflow.xcom("by_hand", run["dag_run_id"], "numbers") or ()):
                return True
        return None

    sender.send({"n": 42})
    wait_until("the run of the DAG by hand", look)
    wait_until_idle(airflow, "by_hand")
