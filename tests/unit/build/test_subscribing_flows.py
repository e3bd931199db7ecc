"""Which flows have their address registered, what is asked for them, and when FlowMate's own DAG is there to do it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import airflow.sdk
import pytest
from airflow.models import crypto
from airflow.models.crypto import _RealFernet
from cryptography.fernet import Fernet, MultiFernet

from flowmate_airflow.build.loader import check_files, load_flows
from flowmate_airflow.build.subscribing import Asked, Subscriber, checked_public_url, subscriber_of, wanted_of
from flowmate_airflow.build.system import SUBSCRIPTIONS
from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.flows.load import read_flow
from flowmate_airflow.settings import SettingError
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.linked import Linked
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import close_stores, open_store
from flowmate_airflow.store.subscriptions import ENDED, FAILED, KEEP_WATCHING, Subscription, save

CONNECTORS = Path(__file__).resolve().parents[2] / "flows" / "connectors"
FLOW = """\
flowmate: 1
id: orders
webhook: {connection: hooks}
params: {topic: {type: string, default: orders/paid}}
steps:
  - {id: changed, use: shop/changed@1.4, with: {topic: "{{ params.topic }}"}}
"""
PLAIN = "flowmate: 1\nsteps:\n  - {id: a, use: shop/ping}\n"
ASKED = Asked(
    render=lambda step, params, names: {"rendered": [step.with_, params, dict(names)]},
    secrets=lambda conn_id: [f"secret of {conn_id}", f"user:secret of {conn_id}"],
    token=lambda endpoint, tenant: f"token-of-{endpoint}{tenant}",
)


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__CONNECTORS_FOLDER", str(CONNECTORS))
    monkeypatch.setenv("AIRFLOW__FLOWMATE__PUBLIC_URL", "https://hooks.example.com")
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", f"sqlite:///{tmp_path}/store.db")
    made = _RealFernet(MultiFernet([Fernet(Fernet.generate_key())]))
    monkeypatch.setattr(crypto, "get_fernet", lambda: made)
    yield
    close_stores()


def subscriber(text: str = FLOW, connectors: Path = CONNECTORS) -> Subscriber | None:
    catalog = Catalog(connectors)
    loaded = read_flow(text.encode(), Path("orders.yaml"), catalog)
    assert loaded is not None
    return subscriber_of(loaded, catalog)


def test_a_flow_asks_for_its_trigger() -> None:
    found = subscriber()
    assert found is not None
    wanted = wanted_of(found, ASKED)
    assert (wanted.key, wanted.endpoint, wanted.use, wanted.connection) == (
        ("orders", "changed", ""),
        *("orders", "shop/changed", None),
    )
    assert wanted.url == "https://hooks.example.com/flowmate/hooks/orders"
    assert wanted.config == {"rendered": [{"topic": "{{ params.topic }}"}, {"topic": "orders/paid"}, {}]}
    assert wanted.events == {"scheme": "shopify", "options": {}}
    assert (wanted.secret, wanted.problem) == ("secret of hooks", None)
    assert wanted.registration().secret is None


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        FLOW.replace("webhook: {connection: hooks}\n", ""),
        FLOW.replace("shop/changed@1.4", "shop/save").replace("topic: ", "table: "),
        FLOW.replace("id: changed,", "id: changed, needs: [],"),
    ],
)
def test_other_flows_ask_for_nothing(text: str, tmp_path: Path) -> None:
    catalog = Catalog(CONNECTORS)
    (tmp_path / "flow.yaml").write_text(text)
    flows, _errors = check_files([tmp_path / "flow.yaml"], catalog)
    assert [subscriber_of(loaded, catalog) for loaded in flows] in ([None], [])


def test_without_a_connection_a_secret_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    found = subscriber(FLOW.replace("{connection: hooks}", "{}"))
    assert found is not None
    registration = wanted_of(found, ASKED).registration()
    assert registration.secret is not None
    assert registration.secret.startswith("whsec_")
    assert registration.secret != wanted_of(found, ASKED).registration().secret


def test_basic_authentication_has_a_user() -> None:
    for options, expected in (("scheme: basic, connection: hooks", "user:secret of hooks"), ("scheme: basic", None)):
        found = subscriber(FLOW.replace("connection: hooks", options))
        assert found is not None
        wanted = wanted_of(found, ASKED)
        assert wanted.secret == expected
        assert (wanted.registration().secret or "flowmate:").startswith("flowmate:")


def test_the_token_is_told_where_it_is_the_proof() -> None:
    found = subscriber(FLOW.replace("{connection: hooks}", "{scheme: token}"))
    assert found is not None
    wanted = wanted_of(found, ASKED)
    assert wanted.url == "https://hooks.example.com/flowmate/hooks/orders/token-of-orders"
    assert wanted.registration().shown_url == "https://hooks.example.com/flowmate/hooks/orders/…"


def _raise(error: Exception) -> Any:
    raise error


def test_what_cannot_be_asked_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    found = subscriber()
    assert found is not None
    for asked in (
        replace(ASKED, secrets=lambda conn_id: _raise(ConfigFailure("no Connection"))),
        replace(ASKED, render=lambda step, params, names: _raise(ConfigFailure("no Connection"))),
    ):
        assert wanted_of(found, asked).problem == "no Connection"
    with pytest.raises(StoreError):
        wanted_of(found, replace(ASKED, secrets=lambda conn_id: _raise(StoreError("down", transient=True))))
    monkeypatch.setenv("AIRFLOW__FLOWMATE__PUBLIC_URL", "http://airflow.internal")
    assert "which is not encrypted; set [flowmate] public_url" in str(wanted_of(found, ASKED).problem)


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://hooks.example.com", True),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("http://localhost:8080/airflow", True),
        ("http://localhost.example.com", False),
        ("http://10.0.0.1", False),
        ("http://127.0.0.1.example.com", False),
    ],
)
def test_an_address_that_others_are_told(url: str, good: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__PUBLIC_URL", url)
    if good:
        assert checked_public_url() == url
    else:
        with pytest.raises(SettingError, match="which is not encrypted"):
            checked_public_url()


@pytest.fixture
def dags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "plain.yaml").write_text(PLAIN)
    monkeypatch.setattr(airflow.sdk, "get_parsing_context", lambda: SimpleNamespace(dag_id=None))
    return folder


def load(folder: Path) -> list[str]:
    return sorted(load_flows(str(folder / "flowmate.py")))


def test_the_dag_is_there_when_a_flow_subscribes(dags: Path) -> None:
    assert load(dags) == ["plain"]
    (dags / "orders.yaml").write_text(FLOW)
    assert load(dags) == [SUBSCRIPTIONS, "orders", "plain"]


def test_it_stays_until_all_was_taken_back(dags: Path) -> None:
    store = open_store()
    save(store, Subscription("gone", "changed", status=FAILED))
    assert load(dags) == [SUBSCRIPTIONS, "plain"]
    save(store, Subscription("gone", "changed", status=ENDED))
    assert load(dags) == [SUBSCRIPTIONS, "plain"]  # its run may not be through
    table = store.tables.subscriptions
    with store.write() as connection:
        connection.execute(table.update().values(updated_at=now() - KEEP_WATCHING))
    assert load(dags) == ["plain"]


def test_no_store_is_made_for_it(dags: Path, tmp_path: Path) -> None:
    load(dags)
    assert not (tmp_path / "store.db").exists()


def test_its_task_reads_no_flow_before_it_runs(dags: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow.sdk, "get_parsing_context", lambda: SimpleNamespace(dag_id=SUBSCRIPTIONS))
    monkeypatch.setattr("flowmate_airflow.build.loader.load_flow", lambda *_: pytest.fail("a flow was read"))
    found = load_flows(str(dags / "flowmate.py"))
    (task,) = found[SUBSCRIPTIONS].tasks
    assert list(found) == [SUBSCRIPTIONS]
    assert task.folder == dags  # type: ignore[attr-defined]
    assert (found[SUBSCRIPTIONS].max_active_runs, found[SUBSCRIPTIONS].catchup) == (1, False)


def test_no_flow_may_take_its_id(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"{PLAIN}id: {SUBSCRIPTIONS}\n")
    flows, errors = check_files([tmp_path / "mine.yaml"], Catalog(CONNECTORS), tmp_path)
    assert flows == []
    assert "mine.yaml:4:1: the flow id `flowmate_subscriptions` is that of a DAG of FlowMate's own" in str(
        errors["mine.yaml"]
    )


TENANTS = """\
flowmate: 1
id: orders
tenants: linked
webhook: {connection: hooks}
steps:
  - {id: changed, use: shop/changed@1.4, with: {topic: "{{ tenant.id }}"}}
"""


@pytest.fixture
def with_auth(tmp_path: Path) -> Path:
    """Connectors of which `shop` needs credentials."""
    manifest = (CONNECTORS / "shop" / "connector.yaml").read_text()
    (tmp_path / "linked" / "shop").mkdir(parents=True)
    (tmp_path / "linked" / "shop" / "connector.yaml").write_text(f"{manifest}\nauth: {{key: {{type: bearer}}}}\n")
    return tmp_path / "linked"


def linked_as(conn_id: str, **more: Any) -> Linked:
    return Linked("acme", "shop", conn_id, "key", linked_at=now(), **more)


def test_a_tenants_address_is_asked_for_with_their_link(with_auth: Path) -> None:
    found = subscriber(TENANTS, with_auth)
    assert found is not None
    assert (found.is_linked, found.endpoint.tenants, found.endpoint.connector) == (True, True, "shop")
    links = {("acme", "shop"): linked_as("c.acme", symlink=("main", "shop")), ("main", "shop"): linked_as("c.main")}
    asked = replace(ASKED, link=lambda *key: links.get(key), link_secret=lambda conn_id: f"own of {conn_id}")
    wanted = wanted_of(found, asked, "acme")
    assert (wanted.key, wanted.connection) == (("orders", "changed", "acme"), "c.main")
    assert wanted.url == "https://hooks.example.com/flowmate/hooks/orders/acme/token-of-ordersacme"
    assert wanted.config["rendered"][2]["tenant"]["id"] == "acme"
    registration = wanted.registration()
    assert (registration.secret, wanted.told(registration)) == ("own of c.main", "own of c.main")
    assert wanted.told(replace(wanted, own_secret=lambda: None).registration()) == "secret of hooks"
    before = wanted.digest
    links["main", "shop"] = linked_as("c.main")
    assert wanted_of(found, asked, "acme").digest != before  # linked again
    assert wanted_of(found, asked, "acme").digest == wanted_of(found, asked, "acme").digest


def test_what_only_one_tenant_lacks_is_their_problem(with_auth: Path) -> None:
    found = subscriber(TENANTS, with_auth)
    assert found is not None
    wanted = wanted_of(found, ASKED, "acme")
    assert (wanted.key, wanted.problem) == (("orders", "changed", "acme"), "the tenant `acme` has not linked `shop`")
