"""What is said of tenants: configs, mappings of both forms, schedules; and their end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from links_harness import World, world

from flowmate_airflow.auth import connections, links, mappings, tenants
from flowmate_airflow.auth.mappings import TableMapping, TenantError
from flowmate_airflow.auth.unlinking import Unlinked
from flowmate_airflow.store import linked
from flowmate_airflow.store import tenants as rows
from flowmate_airflow.store.linked import SymlinkError

OURS = {"Contact/customers": {"email": "Email", "name": "FullName"}}
MAPPED = [TableMapping("Contact", "customers", {"email": "Email", "name": "FullName"})]
LISTED = [{"source": "customers", "target": "Contact", "fields": {"email": "Email", "name": "FullName"}}]


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An Airflow without Connections, with a connector that has no check."""
    with world(tmp_path, monkeypatch) as made:
        made.add_connector("shop", {"key": {"type": "api_key"}})
        made.add_connector("erp", {"key": {"type": "api_key"}})
        yield made


def link(there: World, tenant: str, connector: str = "shop", symlink: tuple[str, str] | None = None) -> None:
    method, values = (None, {}) if symlink else ("key", {"key": "some-key-of-theirs"})
    links.link(there.catalog, tenant, connector, method, values, symlink=symlink, component=False, store=there.store)


def test_a_config_of_hotglue_is_taken(there: World) -> None:
    config = {
        "hotglue_metadata": {"metadata": {"plan": "large", "seats": 3}},
        "hotglue_mapping": {"mapping": {"orders": OURS, "salesforce": LISTED}, "version": "1.0"},
        "anything": [{"else": None}],
    }
    tenants.save_config("acme", config, there.store)
    found = rows.find_tenant(there.store, "acme")
    assert found is not None
    assert found.config == config
    assert mappings.metadata_of(config) == {"plan": "large", "seats": 3}
    assert mappings.mapping_of(config, "orders") == MAPPED
    assert mappings.mapping_of(config, "bills", "salesforce") == MAPPED
    assert mappings.mapping_of(config, "bills") == []
    assert mappings.metadata_of({}) == {}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ([], "a tenant's config is a JSON object, not a list"),
        ("x", "a tenant's config is a JSON object"),
        ({"hotglue_metadata": []}, "`hotglue_metadata` of the config is an object, not a list"),
        ({"hotglue_metadata": {"metadata": {"a": {}}}}, "is flat: `a` cannot be a mapping"),
        ({"hotglue_mapping": {"mapping": []}}, "`mapping` of `hotglue_mapping` is an object"),
        ({"hotglue_mapping": {"mapping": {"orders": "x"}}}, '`hotglue_mapping` of "orders" is "x"; write'),
        ({"hotglue_mapping": {"mapping": {"orders": {"Contact": {}}}}}, '"Contact" is no pair of tables'),
        ({"hotglue_mapping": {"mapping": {"orders": {"a/b": []}}}}, 'the fields of "a/b" are a list'),
        ({"hotglue_mapping": {"mapping": {"orders": [{"source": "a"}]}}}, "an object with `source`, `target`"),
        ({"hotglue_mapping": {"mapping": {"orders": {"a/b": {"": "x"}}}}}, "is no field's name"),
    ],
)
def test_a_config_that_is_none_is_refused(there: World, config: Any, told: str) -> None:
    with pytest.raises(TenantError, match=told):
        tenants.save_config("acme", config, there.store)
    assert rows.find_tenant(there.store, "acme") is None


def test_a_mapping_of_their_own_is_stronger_than_the_configs_and_the_templates(there: World) -> None:
    store = there.store
    assert mappings.mapping_for(store, "acme", "orders") == []
    tenants.set_flow("default", "orders", mapping={"a/b": {"x": "y"}}, store=store)
    assert mappings.mapping_for(store, "acme", "orders") == [TableMapping("a", "b", {"x": "y"})]
    tenants.save_config("acme", {"hotglue_mapping": {"mapping": {"orders": OURS}}}, store)
    assert mappings.mapping_for(store, "acme", "orders") == MAPPED
    tenants.set_flow("acme", "orders", mapping={"c/d": {"x": "y"}}, store=store)
    assert mappings.mapping_for(store, "acme", "orders") == [TableMapping("c", "d", {"x": "y"})]
    tenants.set_flow("acme", "orders", mapping={}, store=store)
    assert mappings.mapping_for(store, "acme", "orders") == MAPPED
    with pytest.raises(TenantError):
        tenants.set_flow("acme", "orders", mapping={"c": {}}, store=store)


def test_schedules_of_their_own(there: World) -> None:
    store = there.store
    made = tenants.set_flow("acme", "orders", schedule="*/5 * * * *", is_on=False, store=store)
    assert (made.schedule, made.is_on) == ("*/5 * * * *", False)
    assert tenants.set_flow("acme", "orders", schedule="none", store=store).schedule == "none"
    assert tenants.set_flow("acme", "orders", schedule="inherit", store=store).schedule is None
    assert rows.find_tenant(store, "acme") is not None


@pytest.mark.parametrize("schedule", ["often", "@once", "@continuous", "61 * * * *", "0 0 30 2 *", "x" * 300, ""])
def test_a_schedule_that_is_none_is_refused(there: World, schedule: str) -> None:
    with pytest.raises(TenantError):
        tenants.set_flow("acme", "orders", schedule=schedule, store=there.store)
    assert rows.list_tenants(there.store) == []


@pytest.mark.parametrize("tenant", ["a/b", 'a"b', "x" * 300, ""])
def test_a_tenants_id_that_is_none_is_refused_everywhere(there: World, tenant: str) -> None:
    for call in (
        lambda: tenants.save_config(tenant, {}, there.store),
        lambda: tenants.set_flow(tenant, "orders", is_on=True, store=there.store),
        lambda: list(tenants.delete(there.catalog, tenant, store=there.store)),
    ):
        with pytest.raises(links.LinkError, match="cannot be a tenant's id"):
            call()
    assert rows.list_tenants(there.store) == []


def test_a_tenant_is_deleted_with_all_links(there: World) -> None:
    link(there, "acme")
    link(there, "acme", "erp", ("acme", "shop"))
    link(there, "bcme")
    tenants.save_config("acme", {"a": 1}, there.store)
    done = list(tenants.delete(there.catalog, "acme", store=there.store))
    assert [each.linked.connector for each in done if isinstance(each, Unlinked)] == ["erp", "shop"]
    assert done[-1] == 1
    assert list(there.raw()) == ["flowmate.shop.bcme"]
    assert [each.tenant for each in linked.find_all(there.store)] == ["bcme"]
    assert [each.tenant for each in rows.list_tenants(there.store)] == ["bcme"]
    assert list(tenants.delete(there.catalog, "acme", store=there.store)) == [0]


def test_a_tenant_whose_credentials_others_use_is_deleted_by_force_only(there: World) -> None:
    link(there, "acme")
    link(there, "acme", "erp")
    link(there, "bcme", "erp", ("acme", "erp"))
    with pytest.raises(SymlinkError, match="credentials of the tenant acme are used by bcme/erp"):
        list(tenants.delete(there.catalog, "acme", store=there.store))
    assert len(linked.of_tenant(there.store, "acme")) == 2
    list(tenants.delete(there.catalog, "acme", force=True, store=there.store))
    assert linked.find_all(there.store) == []


def test_a_deletion_that_fails_halfway_goes_on_from_there(there: World, monkeypatch: pytest.MonkeyPatch) -> None:
    link(there, "acme")
    link(there, "acme", "erp")
    with monkeypatch.context() as patched:

        def fails(conn_id: str, **_: object) -> bool:
            raise connections.StoreError("Airflow's database failed: it is down")

        patched.setattr("flowmate_airflow.auth.unlinking.connections.remove", fails)
        with pytest.raises(connections.StoreError, match="it is down"):
            list(tenants.delete(there.catalog, "acme", store=there.store))
    assert rows.find_tenant(there.store, "acme") is not None
    list(tenants.delete(there.catalog, "acme", store=there.store))
    assert there.raw() == {}
