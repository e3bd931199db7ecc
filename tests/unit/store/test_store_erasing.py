"""The end of a tenant: what is kept of them goes, and nothing of anybody else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from flowmate_airflow.store import catalogs, deadletters, deliveries, erasing, links, payloads, secrets, states, tenants
from flowmate_airflow.store.catalogs import CatalogKey
from flowmate_airflow.store.deadletters import DeadLetter
from flowmate_airflow.store.deliveries import NewDelivery, Wanted
from flowmate_airflow.store.endpoints import token_of
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.links import LinkScope
from flowmate_airflow.store.payloads import spill_to
from flowmate_airflow.store.states import Place
from flowmate_airflow.store.store import Store


def fill(store: Store, tenant: str, folder: Path) -> None:
    """Keep something of each kind."""
    tenants.save_config(store, tenant, {"a": 1})
    tenants.set_flow(store, tenant, "orders", is_on=True)
    tenants.take_turn(store, tenant, "orders", "run1", lambda run: False)
    states.set_state(store, Place("orders", "read", tenant), 1)
    states.hold_state(store, Place("orders", "read", tenant), "run1", 2)
    deadletters.keep(store, [DeadLetter("orders", "save", "run1", f"m{tenant}", {}, "no", tenant=tenant)])
    catalogs.save_catalog(store, CatalogKey("shop", f"c.{tenant}", "d", tenant), [])
    links.remember(store, LinkScope("erp", "main", tenant=tenant), [("a", "b")])
    secrets.save_changed(store, f"c.{tenant}", "shop", {"a": "b"}, "d", tenant)
    token_of(store, "orders", tenant)
    for number in range(2):
        digest = hashlib.sha256(f"{tenant}{number}".encode()).digest()
        deliveries.insert(store, [NewDelivery("orders", digest, b"{}", tenant=tenant)], spill_to(str(folder)))


def rows(store: Store, tenant: str) -> dict[str, int]:
    """Return how many rows of a tenant each table has that has any."""
    found = {}
    with store.read() as connection:
        for table in store.tables.metadata.sorted_tables:
            if "tenant" in table.c:
                count = len(connection.execute(table.select().where(table.c.tenant == tenant)).all())
                found |= {table.name: count} if count else {}
    return found


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every payload is kept in a file."""
    monkeypatch.setattr(payloads, "SPILL_FROM", 1)


def test_all_of_a_tenant_goes_but_what_is_registered_elsewhere(store: Store, tmp_path: Path) -> None:
    fill(store, "acme", tmp_path)
    fill(store, "bcme", tmp_path)
    before = rows(store, "bcme")
    assert len(before) == 11
    assert erasing.erase(store, "acme") == sum(before.values()) - 1
    assert rows(store, "acme") == {"flowmate_endpoints": 1}
    assert rows(store, "bcme") == before
    assert [Path(each.href or "").exists() for each in deliveries.find(store, Wanted())] == [True, True]
    assert erasing.erase(store, "acme") == 0


def test_what_is_of_no_tenant_is_never_erased(store: Store) -> None:
    states.set_state(store, Place("orders", "read"), 1)
    with pytest.raises(StoreError, match="without a tenant nothing can be erased"):
        erasing.erase(store, "")
    assert states.read_state(store, Place("orders", "read")) == 1


def test_a_file_that_cannot_be_removed_is_told_and_the_tenant_stays_known(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, "acme", tmp_path)
    stuck = next(iter(deliveries.find(store, Wanted()))).href
    with monkeypatch.context() as patched:
        patched.setattr(erasing, "removed", lambda href: href != stuck and payloads.removed(href))
        with pytest.raises(StoreError, match="1 files with deliveries of the tenant acme cannot be removed"):
            erasing.erase(store, "acme")
    assert tenants.find_tenant(store, "acme") is not None
    erasing.erase(store, "acme")
    assert tenants.find_tenant(store, "acme") is None
