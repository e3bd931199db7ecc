"""The operator of subscriptions as Airflow calls it, with flows in a folder and a provider on the loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.models import crypto
from airflow.models.crypto import _RealFernet
from airflow.sdk import DAG, BaseHook, Connection
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException, AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse
from cryptography.fernet import Fernet, MultiFernet
from hooks_provider import CODE, MANIFEST, Provider

from flowmate_airflow.operators.subscriptions import SyncSubscriptionsOperator
from flowmate_airflow.store.store import close_stores, open_store
from flowmate_airflow.store.subscriptions import find

FLOW = """\
flowmate: 1
id: {flow}
webhook: {{}}
params: {{topic: {{type: string, default: paid}}}}
steps:
  - id: created
    use: shop/order_created
    connection: shop
    with: {{server: "{server}", topic: "{topic}"}}
"""
URL = "https://hooks.example.com/flowmate/hooks/orders"


class Airflow:
    """What the operator asks Airflow for.

    :ivar dags: the flows that it knows, and whether they are paused
    """

    def __init__(self, folder: Path, provider: Provider) -> None:
        self.folder = folder
        self.provider = provider
        self.dags: dict[str, bool] = {"flowmate_subscriptions": False}
        self.bundles: dict[str, str] = {}
        self.status = 404
        self.connections = {"shop": Connection(conn_id="shop", conn_type="generic", password="right-token")}

    def drop(self, flow: str, topic: str = "{{ params.topic }}", *, paused: bool = False) -> Path:
        path = self.folder / f"{flow}.yaml"
        path.write_text(FLOW.format(flow=flow, server=self.provider.url, topic=topic))
        self.dags[flow] = paused
        return path

    def get_dag(self, dag_id: str) -> Any:
        if dag_id not in self.dags:
            detail = {"status_code": self.status, "message": "no"}
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))
        return SimpleNamespace(is_paused=self.dags[dag_id], bundle_name=self.bundles.get(dag_id, "dags-folder"))

    def get_connection(self, conn_id: str) -> Connection:
        if conn_id not in self.connections:
            raise AirflowNotFoundException(conn_id)
        return self.connections[conn_id]

    def run(self, **conf: Any) -> dict[str, Any]:
        with DAG("flowmate_subscriptions", schedule=None):
            operator = SyncSubscriptionsOperator(task_id="sync", folder=self.folder)
        instance = SimpleNamespace(dag_id="flowmate_subscriptions", run_id="r", get_dag=self.get_dag)
        return operator.execute({"ti": instance, "dag_run": SimpleNamespace(conf=conf)})


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as started:
        yield started


@pytest.fixture
def world(tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Airflow]:
    connector = tmp_path / "connectors" / "shop"
    connector.mkdir(parents=True)
    (connector / "connector.yaml").write_text(MANIFEST.format(version="1.0.0"))
    (connector / "connector.py").write_text(CODE)
    settings = {
        "CONNECTORS_FOLDER": str(connector.parent),
        "PUBLIC_URL": "https://hooks.example.com",
        "RUNTIME": "process",
        "STORE_URL": f"sqlite:///{tmp_path}/store.db",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"AIRFLOW__FLOWMATE__{name}", value)
    made = _RealFernet(MultiFernet([Fernet(Fernet.generate_key())]))
    monkeypatch.setattr(crypto, "get_fernet", lambda: made)
    (tmp_path / "dags").mkdir()
    airflow = Airflow(tmp_path / "dags", provider)
    monkeypatch.setattr(BaseHook, "get_connection", airflow.get_connection)
    yield airflow
    close_stores()


def test_flows_that_are_on_are_registered(world: Airflow, provider: Provider) -> None:
    world.drop("orders")
    world.drop("paused", paused=True)
    world.drop("unknown")
    del world.dags["unknown"]
    report = world.run()
    assert (report["subscribed"], report["failed"]) == (["orders created"], {})
    (hook,) = provider.hooks.values()
    assert (hook["url"], hook["topic"]) == (URL, "paid")
    assert hook["secret"].startswith("whsec_")
    assert world.run()["unchanged"] == 1


@pytest.mark.parametrize("how", ["paused", "removed", "no trigger any more"])
def test_flows_that_are_off_are_taken_back(world: Airflow, provider: Provider, how: str) -> None:
    path = world.drop("orders")
    world.run()
    if how == "paused":
        world.dags["orders"] = True
    elif how == "removed":
        path.unlink()
    else:
        path.write_text("flowmate: 1\nid: orders\nsteps:\n  - {id: a, use: http/get, with: {url: https://a.example}}\n")
    assert world.run()["ended"] == ["orders created"]
    assert provider.urls == []


def test_a_flow_that_is_broken_just_now_stays(world: Airflow, provider: Provider) -> None:
    path = world.drop("orders")
    world.run()
    path.write_text(path.read_text().replace("steps:", "stepss:"))
    assert world.run()["ended"] == []
    assert provider.urls == [URL]


def test_a_flow_of_another_bundle_stays(world: Airflow, provider: Provider) -> None:
    path = world.drop("orders")
    world.run()
    path.unlink()
    world.bundles["orders"] = "of-another-team"
    assert world.run()["ended"] == []
    assert provider.urls == [URL]


def test_nothing_is_taken_back_when_airflow_does_not_answer(world: Airflow, provider: Provider) -> None:
    world.drop("orders")
    world.run()
    world.status = 503
    del world.dags["orders"]
    with pytest.raises(AirflowRuntimeError):
        world.run()
    assert provider.urls == [URL]


def test_one_flow_may_be_asked_for_at_once(world: Airflow, provider: Provider) -> None:
    world.drop("orders")
    world.drop("bills")
    provider.before = lambda method: 500
    world.run()
    provider.before = lambda method: None
    assert world.run(flow="orders")["unchanged"] == 1
    assert world.run(flow="orders", force=True)["subscribed"] == ["orders created"]
    assert provider.urls == [URL]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda world: world.drop("orders", "{{ ds }}"), "'ds' is undefined"),
        (lambda world: world.connections.clear(), "`shop`, which does not exist"),
    ],
)
def test_what_cannot_be_registered_is_told(world: Airflow, change: Callable[[Airflow], object], told: str) -> None:
    world.drop("orders")
    change(world)
    assert told in world.run()["failed"]["orders created"]
    (row,) = find(open_store())
    assert told in str(row.error)


@pytest.mark.parametrize(
    ("connection", "told"),
    [
        (None, "the webhook's Connection `hooks` does not exist"),
        (Connection(conn_id="hooks", conn_type="generic"), "has no password, which is the secret"),
        (Connection(conn_id="hooks", conn_type="generic", extra='{"secrets": [5, "second"]}'), None),
        (Connection(conn_id="hooks", conn_type="generic", password="first"), None),
    ],
)
def test_the_webhooks_own_secret_is_told(
    world: Airflow, provider: Provider, connection: Connection | None, told: str | None
) -> None:
    path = world.drop("orders")
    path.write_text(path.read_text().replace("webhook: {}", "webhook: {connection: hooks}"))
    if connection is not None:
        world.connections["hooks"] = connection
    failed = world.run()["failed"]
    if told is None:
        (hook,) = provider.hooks.values()
        assert hook["secret"] in ("first", "second")
    else:
        assert told in failed["orders created"]


def test_a_store_that_does_not_answer_fails_the_task(world: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", "postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(AirflowException, match="the store"):
        world.run()


def test_a_kill_ends_the_component_and_the_task(world: Airflow, provider: Provider) -> None:
    with DAG("flowmate_subscriptions", schedule=None):
        operator = SyncSubscriptionsOperator(task_id="sync", folder=world.folder)
    world.drop("first")
    world.drop("second")

    def kill(method: str) -> None:
        operator.on_kill()

    provider.before = kill
    instance = SimpleNamespace(dag_id="flowmate_subscriptions", run_id="r", get_dag=world.get_dag)
    with pytest.raises(AirflowException, match="the task was ended"):
        operator.execute({"ti": instance, "dag_run": SimpleNamespace(conf={})})
    first, second = find(open_store())
    assert "it was stopped" in str(first.error)
    assert second.status == "pending"
    assert len(provider.calls) == 1
