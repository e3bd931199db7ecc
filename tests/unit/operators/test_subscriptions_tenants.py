"""Each tenant's address, registered with the account that they have linked, until they unlink it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.models.connection import Connection as StoredConnection
from airflow.sdk import DAG, BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from hooks_provider import CODE, MANIFEST, Provider
from links_harness import World, world

from flowmate_airflow.auth import connections, links, unlinking
from flowmate_airflow.auth.backend import FlowMateBackend
from flowmate_airflow.auth.leaving import TOLD
from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.operators.subscriptions import SyncSubscriptionsOperator
from flowmate_airflow.steps import subscribing
from flowmate_airflow.store import endpoints, linked, renewals, tenants
from flowmate_airflow.store.subscriptions import Subscription, find, secrets_for

FLOW = """\
flowmate: 1
id: orders
tenants: linked
webhook: {options}
steps:
  - id: created
    use: shop/order_created
    with: {{server: "{server}", topic: "{{{{ tenant.id }}}}"}}
"""
URL = "https://hooks.example.com/flowmate/hooks/orders"


class Site:
    """An Airflow with one flow with tenants, and the provider that they link."""

    def __init__(self, there: World, provider: Provider, folder: Path) -> None:
        self.there = there
        self.store = there.store
        self.provider = provider
        self.folder = folder
        self.catalog = Catalog(there.folder)
        self.paused: set[str] = set()
        self.drop()

    def drop(self, options: str = "{}") -> Path:
        path = self.folder / "orders.yaml"
        path.write_text(FLOW.format(options=options, server=self.provider.url))
        return path

    def link(self, *names: str, token: str = "right-token", component: bool = False) -> None:
        for name in names:
            values = {"token": token}
            links.link(self.catalog, name, "shop", None, values, component=component, store=self.store)

    def unlink(self, name: str, **options: Any) -> Any:
        return unlinking.unlink(self.catalog, name, "shop", store=self.store, **options)

    def get_dag(self, dag_id: str) -> Any:
        return SimpleNamespace(is_paused=dag_id in self.paused, bundle_name="dags-folder")

    def get_connection(self, conn_id: str) -> Any:
        """Answer as the API server does, with its secrets backend."""
        backend = FlowMateBackend()
        backend._set_connection_class(StoredConnection)
        found = backend.get_connection(conn_id, team_name=None)
        if found is None:
            raise AirflowNotFoundException(conn_id)
        return found

    def sync(self, **conf: Any) -> dict[str, Any]:
        with DAG("flowmate_subscriptions", schedule=None):
            operator = SyncSubscriptionsOperator(task_id="sync", folder=self.folder)
        instance = SimpleNamespace(dag_id="flowmate_subscriptions", run_id="r", get_dag=self.get_dag)
        return operator.execute({"ti": instance, "dag_run": SimpleNamespace(conf=conf)})

    def url(self, tenant: str) -> str:
        return f"{URL}/{tenant}/{endpoints.token_of(self.store, 'orders', tenant)}"

    def row(self, tenant: str) -> Subscription:
        (found,) = (row for row in find(self.store) if row.tenant == tenant)
        return found

    def is_kept(self, tenant: str) -> bool:
        """Whether the Connection of a tenant's link is there."""
        return f"flowmate.shop.{tenant}" in self.there.raw()


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as started:
        yield started


@pytest.fixture
def site(tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with world(tmp_path / "home", monkeypatch) as there:
        connector = there.folder / "shop"
        connector.mkdir()
        (connector / "connector.yaml").write_text(MANIFEST.format(version="1.0.0"))
        (connector / "connector.py").write_text(CODE)
        monkeypatch.setenv("AIRFLOW__FLOWMATE__PUBLIC_URL", "https://hooks.example.com")
        (tmp_path / "dags").mkdir()
        made = Site(there, provider, tmp_path / "dags")
        monkeypatch.setattr(BaseHook, "get_connection", made.get_connection)
        yield made


def test_whoever_links_is_registered_with_an_address_and_a_secret_of_their_own(site: Site) -> None:
    assert site.sync()["subscribed"] == []
    site.link("acme", "globex")
    assert site.sync()["subscribed"] == ["orders created (tenant acme)", "orders created (tenant globex)"]
    hooks = {hook["topic"]: hook for hook in site.provider.hooks.values()}
    assert {name: hook["url"] for name, hook in hooks.items()} == {name: site.url(name) for name in ("acme", "globex")}
    known = secrets_for(site.store)
    assert {name: known["orders", name] for name in hooks} == {name: (hook["secret"],) for name, hook in hooks.items()}
    assert hooks["acme"]["secret"] != hooks["globex"]["secret"]
    assert site.sync()["unchanged"] == 2
    assert site.row("acme").current is not None
    assert site.row("acme").current.shown_url == f"{URL}/acme/…"  # type: ignore[union-attr]


def test_whoever_unlinks_is_taken_back_with_the_credentials_that_were_there(site: Site) -> None:
    site.link("acme", "globex")
    site.sync()
    done = site.unlink("acme")
    assert (done.revoked, done.problem) == (None, TOLD)
    assert linked.find(site.store, "acme", "shop") is None
    assert site.is_kept("acme")
    assert endpoints.tenants_of(site.store, "orders") == ["globex"]  # nobody gets in there any more
    assert site.sync()["ended"] == ["orders created (tenant acme)"]
    assert site.provider.urls == [site.url("globex")]
    assert not site.is_kept("acme")
    assert renewals.status(site.store, "flowmate.shop.acme") is None
    assert endpoints.tenants_of(site.store, "orders") == ["globex"]
    assert site.row("acme").current.connection is None  # type: ignore[union-attr]
    assert site.sync()["unchanged"] == 1


def test_what_cannot_be_taken_back_keeps_its_credentials_until_it_can(site: Site) -> None:
    site.link("acme")
    site.sync()
    site.unlink("acme")
    site.provider.before = lambda method: 503 if method == "DELETE" else None
    for _ in range(2):
        assert "could not be taken back" in site.sync(force=True)["failed"]["orders created (tenant acme)"]
        assert site.is_kept("acme")
    assert site.unlink("acme") is None  # it is gone already; its credentials stay all the same
    assert site.is_kept("acme")
    site.provider.before = lambda method: None
    assert site.sync(force=True)["ended"] == ["orders created (tenant acme)"]
    assert site.provider.urls == []
    assert not site.is_kept("acme")


def test_what_is_given_up_is_told_and_keeps_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.link("acme")
    site.sync()
    site.unlink("acme")
    site.provider.before = lambda method: 503
    monkeypatch.setattr(subscribing, "MAX_ENDING", 1)
    assert "remove it in the other system by hand" in site.sync()["failed"]["orders created (tenant acme)"]
    assert "given up" in str(site.row("acme").error)
    assert not site.is_kept("acme")


def test_a_connection_that_cannot_be_removed_just_now_is_asked_for_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.link("acme")
    site.sync()
    site.unlink("acme")
    with monkeypatch.context() as broken:
        broken.setattr(connections, "remove", lambda *_, **__: 1 / 0)
        assert site.sync()["ended"] == ["orders created (tenant acme)"]
        assert site.is_kept("acme")
    site.sync()
    assert not site.is_kept("acme")


def test_by_force_all_goes_at_once(site: Site) -> None:
    site.link("acme")
    site.sync()
    site.unlink("acme")
    assert site.unlink("acme", force=True) is None
    assert not site.is_kept("acme")
    assert "does not exist" in site.sync(force=True)["failed"]["orders created (tenant acme)"]


def test_another_account_is_registered_anew(site: Site) -> None:
    site.link("acme")
    site.sync()
    (first,) = site.provider.hooks
    linked.set_field_map(site.store, "acme", "shop", {"orders": ["id"]})
    assert site.sync()["unchanged"] == 1
    site.link("acme")
    assert site.sync()["subscribed"] == ["orders created (tenant acme)"]
    assert site.provider.urls == [site.url("acme")]
    assert first not in site.provider.hooks


def test_linked_again_before_it_was_taken_back_it_stays(site: Site) -> None:
    site.link("acme")
    site.sync()
    site.unlink("acme")
    site.link("acme")
    assert site.sync()["subscribed"] == ["orders created (tenant acme)"]
    assert site.provider.urls == [site.url("acme")]
    assert site.is_kept("acme")
    site.sync()
    assert site.is_kept("acme")


def test_a_flow_that_is_off_for_a_tenant_is_taken_back_for_them_alone(site: Site) -> None:
    site.link("acme", "globex")
    site.sync()
    tenants.set_flow(site.store, "acme", "orders", is_on=False)
    assert site.sync()["ended"] == ["orders created (tenant acme)"]
    assert site.is_kept("acme")
    assert endpoints.tenants_of(site.store, "orders") == ["acme", "globex"]
    tenants.set_flow(site.store, "acme", "orders", is_on=True)
    assert site.sync()["subscribed"] == ["orders created (tenant acme)"]
    assert sorted(site.provider.urls) == sorted([site.url("acme"), site.url("globex")])


@pytest.mark.parametrize("paused", ["orders", "orders__tenants"])
def test_a_flow_that_starts_no_runs_is_taken_back(site: Site, paused: str) -> None:
    site.link("acme")
    site.sync()
    site.paused.add(paused)
    assert site.sync()["ended"] == ["orders created (tenant acme)"]


def test_one_tenants_trouble_is_no_others(site: Site) -> None:
    site.link("acme", "bad", "globex")
    site.link("wrong", token="wrong-token")
    connections.remove("flowmate.shop.bad")
    report = site.sync()
    assert report["subscribed"] == ["orders created (tenant acme)", "orders created (tenant globex)"]
    assert list(report["failed"]) == ["orders created (tenant bad)", "orders created (tenant wrong)"]


def test_whoever_has_to_log_in_again_stays_registered(site: Site) -> None:
    site.link("acme")
    site.sync()
    renewals.take(site.store, "flowmate.shop.acme", "me", b"token", 60)
    renewals.need_login(site.store, "flowmate.shop.acme", "me", "invalid_grant")
    assert site.sync()["ended"] == []
    assert site.provider.urls == [site.url("acme")]


def test_a_flow_that_is_broken_just_now_keeps_those_who_are_linked(site: Site) -> None:
    site.link("acme", "globex")
    site.sync()
    path = site.folder / "orders.yaml"
    path.write_text(path.read_text().replace("steps:", "stepss:"))
    site.unlink("acme")
    assert site.sync()["ended"] == ["orders created (tenant acme)"]
    assert site.provider.urls == [site.url("globex")]


def test_the_secret_of_a_link_counts_more_than_the_one_for_all(site: Site) -> None:
    site.drop("{connection: hooks}")
    connections.write(connections.Stored("hooks", "generic", password="for-all"), expect=None)
    site.link("acme", "globex")
    extra = {"webhook_secret": ["own", "own before"]}
    connections.change("flowmate.shop.acme", lambda old: _with(old, extra))
    site.sync()
    hooks = {hook["topic"]: hook["secret"] for hook in site.provider.hooks.values()}
    assert hooks == {"acme": "own", "globex": "for-all"}
    assert secrets_for(site.store) == {("orders", "acme"): ("own",)}


def test_the_secret_of_an_application_is_told_to_nobody(site: Site) -> None:
    site.drop("{connection: flowmate.shop}")
    connections.write(connections.Stored("flowmate.shop", login="id", password="client-secret"), expect=None)
    site.link("acme")
    assert site.sync()["failed"] == {}
    (hook,) = site.provider.hooks.values()
    assert hook["secret"] is None
    assert secrets_for(site.store) == {}


def test_a_link_that_uses_anothers_credentials_is_registered_with_them(site: Site) -> None:
    site.link("acme")
    links.link(site.catalog, "sub", "shop", None, {}, symlink=("acme", "shop"), component=False, store=site.store)
    site.sync()
    assert sorted(site.provider.urls) == sorted([site.url("acme"), site.url("sub")])
    site.unlink("sub")
    assert site.sync()["ended"] == ["orders created (tenant sub)"]
    assert site.provider.urls == [site.url("acme")]
    assert site.is_kept("acme")
    assert endpoints.tenants_of(site.store, "orders") == ["acme"]


def _with(stored: connections.Stored, extra: dict[str, Any]) -> connections.Stored:
    return replace(stored, extra={**stored.extra, **extra})
