"""A flow's address is registered with a provider when the flow is switched on, and taken back when it is off."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT, Client, LocalAirflow, build_image, wait_until
from senders import GithubSender, KeyedService, hook_url

sys.path.append(str(ROOT / "tests" / "unit"))

from hooks_provider import CODE, Provider

pytestmark = pytest.mark.usefixtures("no_container_left")

SYNC = "flowmate_subscriptions"
DOCKERFILE = """
ARG BASE_IMAGE=python:3.12-slim
FROM ${BASE_IMAGE}
COPY . /app
ENV PYTHONPATH=/app
ENTRYPOINT ["python3", "-m", "connector"]
"""
FLOW = """
flowmate: 1
webhook: {{}}
params: {{topic: {{type: string, default: {topic}}}}}
defaults: {{retries: 0}}
steps:
  - id: created
    use: hub/order_created
    connection: hub
    with: {{server: "{provider}", topic: "{{{{ params.topic }}}}"}}
  - id: saved
    use: http/post
    with: {{url: "{service}/records"}}
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as started:
        yield started


@pytest.fixture(scope="module")
def service() -> Iterator[KeyedService]:
    with KeyedService() as started:
        yield started


@pytest.fixture(scope="module", autouse=True)
def hub(airflow: Client, tmp_path_factory: pytest.TempPathFactory) -> None:
    context = tmp_path_factory.mktemp("hub")
    sdk = ROOT / "connectors" / "sdk" / "flowmate_connector"
    shutil.copytree(sdk, context / sdk.name, ignore=shutil.ignore_patterns("__pycache__"))
    (context / "connector.py").write_text(CODE)
    (context / "Dockerfile").write_text(DOCKERFILE)
    build_image(context, "flowmate-test/hub:1.0.0")
    airflow.add_connection("hub", password="right-token")


def switch_on(airflow: Client, dag_id: str, on: bool = True) -> None:
    airflow.send("PATCH", f"dags/{dag_id}", {"is_paused": not on})


def command(local: LocalAirflow, *arguments: str) -> str:
    """Run `flowmate webhooks` and return what it printed."""
    program = Path(sys.executable).with_name("flowmate")
    done = subprocess.run(
        [program, "webhooks", *arguments], env=local.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def sync(airflow: Client, flow: str) -> dict[str, Any]:
    """Let it be done now, and return what the run says that it did."""
    run_id = airflow.trigger(SYNC, {"flow": flow, "force": True})
    return done_by(airflow, run_id)


def done_by(airflow: Client, run_id: str) -> dict[str, Any]:
    assert airflow.wait_for_run(SYNC, run_id) == "success"
    return airflow.xcom(SYNC, run_id, "sync")


def told(airflow: Client, what: str) -> list[str]:
    """Return what all runs have told so far, the oldest first: one that runs by itself may be quicker than a test's."""
    runs = airflow.get(f"dags/{SYNC}/dagRuns", order_by="run_after", limit=1000)["dag_runs"]
    values = [airflow.xcom(SYNC, run["dag_run_id"], "sync") for run in runs]
    return [name for value in values if value is not None for name in value[what]]


def test_a_flow_is_registered_fed_changed_and_taken_back(
    airflow: Client, local_airflow: LocalAirflow, flow: Any, provider: Provider, service: KeyedService
) -> None:
    def text(topic: str) -> str:
        return FLOW.format(provider=provider.url, service=service.url, topic=topic)

    flow.add("subscribing", text("orders"))
    airflow.wait_for_dag(SYNC)
    switch_on(airflow, "subscribing", on=False)
    sync(airflow, "subscribing")
    assert provider.urls == []

    switch_on(airflow, "subscribing")
    run_id = command(local_airflow, "sync", "subscribing").split()[2]
    done_by(airflow, run_id)
    assert told(airflow, "subscribed") == ["subscribing created"]
    (hook,) = provider.hooks.values()
    assert (hook["url"], hook["topic"]) == (hook_url(airflow, "subscribing"), "orders")

    sender = GithubSender(hook["url"], hook["secret"])  # the provider was told the secret, nobody else
    wait_until("the receiver", lambda: sender.send({"key": "first"}, delivery="d-1").ok or None)
    wait_until("the record", lambda: "first" in service.records or None)
    assert GithubSender(hook["url"], "another").send({"key": "forged"}).status_code == 401

    path = flow.drop("subscribing.yaml", text("returns"))

    def topics() -> list[str]:
        sync(airflow, "subscribing")
        return [hook["topic"] for hook in provider.hooks.values()]

    wait_until("the change", lambda: topics() == ["returns"] or None)
    assert list(provider.hooks) == [2]

    earlier = len(told(airflow, "ended"))
    switch_on(airflow, "subscribing", on=False)
    sync(airflow, "subscribing")
    assert told(airflow, "ended")[earlier:] == ["subscribing created"]
    assert provider.urls == []

    switch_on(airflow, "subscribing")
    sync(airflow, "subscribing")
    assert len(provider.urls) == 1
    path.unlink()
    wait_until("the end", lambda: topics() == [] or None)


def test_what_cannot_be_registered_is_shown_with_the_reason(
    airflow: Client, local_airflow: LocalAirflow, flow: Any, provider: Provider, service: KeyedService
) -> None:
    provider.before = lambda method: 422 if method == "POST" else None
    try:
        flow.add("refused", FLOW.format(provider=provider.url, service=service.url, topic="wrong"))
        switch_on(airflow, "refused")
        airflow.wait_for_dag(SYNC)
        assert "the shop answers 422" in sync(airflow, "refused")["failed"]["refused created"]  # it is tried each time
    finally:
        provider.before = lambda method: None
    shown = command(local_airflow, "subscriptions", "refused")
    assert "refused created: failed, hub/order_created with the Connection `hub`" in shown
    assert "failed: hub could not subscribe: the shop answers 422" in shown
    assert "right-token" not in shown
