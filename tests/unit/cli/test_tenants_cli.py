"""`flowmate tenants`: configs and what differs in a flow, set and shown; and the end of a tenant."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_harness import Flowmate, WriteFlow
from links_harness import World, world

from flowmate_airflow.auth import links
from flowmate_airflow.store import linked, states, tenants
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.states import Place


@pytest.fixture
def there(home: Path, monkeypatch: pytest.MonkeyPatch, write_flow: WriteFlow) -> Iterator[World]:
    """Airflow in the home of the command, with the flow `orders` for tenants, and `alone`."""
    step = "- {id: items, use: shop/items}"
    write_flow(step, "airflow/dags/orders.yaml", "tenants: linked")
    write_flow(step, "airflow/dags/alone.yaml")
    with world(home / "airflow", monkeypatch) as made:
        yield made


def link(there: World, tenant: str, symlink: tuple[str, str] | None = None) -> None:
    method, values = (None, {}) if symlink else ("key", {"key": "some-key-of-theirs"})
    links.link(there.catalog, tenant, "shop", method, values, symlink=symlink, component=False, store=there.store)


def write(name: str, value: object) -> str:
    Path(name).write_text(json.dumps(value))
    return name


def test_tenants_come_to_be_with_a_link_or_when_something_is_set(flowmate: Flowmate, there: World) -> None:
    assert flowmate("tenants", "list").out == "there are no tenants; one comes to be with the first link\n"
    assert flowmate("tenants", "list", "--format", "json").out == "[]\n"
    link(there, "acme")
    assert flowmate("tenants", "set", "bcme", "--config", write("c.json", {"plan": "large"})).code == 0
    lines = flowmate("tenants", "list").out.splitlines()
    assert [line.partition(",")[0] for line in lines] == ["acme: 1 link", "bcme: 0 links"]
    shown = json.loads(flowmate("tenants", "show", "bcme", "--format", "json").out)
    assert shown == {"tenant": "bcme", "config": {"plan": "large"}, "links": [], "flows": []}


def test_what_differs_in_a_flow(flowmate: Flowmate, there: World) -> None:
    link(there, "acme")
    mapping = {"Contact/customers": {"email": "Email"}}
    result = flowmate(
        *("tenants", "set", "acme", "--flow", "orders", "--off", "--schedule", "0 6 * * *"),
        *("--mapping", write("m.json", mapping), "--config", write("c.json", {"a": "b\x1b[31m"})),
    )
    assert result.out.splitlines() == [
        "Set for the tenant acme: the flow orders is off, its own schedule 0 6 * * *, its own mapping",
        "Set the config of the tenant acme",
    ]
    shown = json.loads(flowmate("tenants", "show", "acme", "--format", "json").out)
    (flow,) = shown["flows"]
    assert (flow["flow"], flow["on"], flow["schedule"], flow["mapping"]) == ("orders", False, "0 6 * * *", mapping)
    text = flowmate("tenants", "show", "acme").out
    assert "acme shop: linked (key)" in text
    assert "the flow orders is off, its own schedule 0 6 * * *, its own mapping" in text
    assert "\x1b" not in text
    assert flowmate("tenants", "set", "acme", "--flow", "orders", "--on", "--schedule", "inherit").code == 0
    row = tenants.find_flow(there.store, "acme", "orders")
    assert (row.is_on, row.schedule, row.mapping) == (True, None, mapping)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["set", "acme"], "nothing to set"),
        (["set", "acme", "--on"], "are about a flow; name it with --flow"),
        (["set", "acme", "--flow", "orders"], "nothing is said of the flow"),
        (["set", "acme", "--flow", "orders", "--on", "--off"], "--on and --off do not go together"),
        (["set", "acme", "--flow", "ordrs", "--on"], 'there is no flow "ordrs" below'),
        (["set", "acme", "--flow", "alone", "--on"], "the flow `alone` runs for no tenants"),
        (["set", "acme", "--flow", "orders", "--schedule", "often"], '"often" is neither cron'),
        (["set", "acme", "--flow", "orders", "--schedule", "@once"], "a tenant's schedule cannot be @once"),
        (["set", "acme", "--flow", "orders", "--on", "--mapping", "list.json"], "--mapping: the mapping: each of the"),
        (["set", "acme", "--config", "list.json"], "a tenant's config is a JSON object, not a list"),
        (["set", "acme", "--config", "nothing.json"], "--config: nothing.json cannot be read"),
        (["set", "acme", "--config", "large.json"], "--config: large.json is too large"),
        (["set", "acme", "--config", "-", "--flow", "orders", "--mapping", "-"], "only one of --config and --mapping"),
        (["set", "a/b", "--config", "good.json"], "cannot be a tenant's id"),
        (["set", "x" * 300, "--flow", "orders", "--on"], "cannot be a tenant's id"),
        (["show", "acne"], 'there is no tenant "acne"; did you mean `acme`?'),
        (["delete", "acne", "--yes"], 'there is no tenant "acne"; did you mean `acme`?'),
        (["delete", "acme"], "Add --yes: there is nobody to ask"),
    ],
)
def test_what_cannot_be_is_told_and_changes_nothing(
    flowmate: Flowmate, there: World, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    link(there, "acme")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    write("list.json", ["x"])
    write("good.json", {})
    write("large.json", "x" * 3_000_000)
    result = flowmate("tenants", *arguments)
    assert (result.code, result.out) == (2, "")
    assert told in result.err
    assert [each.tenant for each in tenants.list_tenants(there.store)] == ["acme"]
    assert tenants.flows_of(there.store, "acme") == []
    assert len(linked.find_all(there.store)) == 1


def test_a_config_that_is_a_little_too_large_is_refused_by_the_store(flowmate: Flowmate, there: World) -> None:
    result = flowmate("tenants", "set", "acme", "--config", write("c.json", {"a": "x" * 1_100_000}))
    assert result.code == 1
    assert "the config of the tenant acme is too large" in result.err


def test_a_flow_that_is_elsewhere_can_be_set_by_force(flowmate: Flowmate, there: World) -> None:
    assert flowmate("tenants", "set", "acme", "--flow", "far", "--off", "--force").code == 0
    assert not tenants.find_flow(there.store, "acme", "far").is_on


def test_a_tenant_is_deleted(flowmate: Flowmate, there: World) -> None:
    link(there, "acme")
    link(there, "bcme", ("acme", "shop"))
    states.set_state(there.store, Place("orders", "items", "acme"), 1)
    result = flowmate("tenants", "delete", "acme", "--yes")
    assert result.code == 1
    assert "credentials of the tenant acme are used by bcme/shop; unlink these first" in result.err
    assert len(linked.find_all(there.store)) == 2
    result = flowmate("tenants", "delete", "acme", "--yes", "--force")
    assert result.out == (
        "Removed the link of the tenant acme to shop\nRemoved the tenant acme with 2 rows of the store\n"
    )
    assert linked.find_all(there.store) == []
    assert there.raw() == {}
    assert states.read_state(there.store, Place("orders", "items", "acme")) is None


def test_a_deletion_that_fails_halfway_says_so_and_goes_on(
    flowmate: Flowmate, there: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    link(there, "acme")
    with monkeypatch.context() as patched:

        def fails(store: object, tenant: str) -> int:
            raise StoreError("the store failed: it is down", transient=True)

        patched.setattr("flowmate_airflow.auth.tenants.erase", fails)
        result = flowmate("tenants", "delete", "acme", "--yes")
    assert result.code == 1
    assert result.out == "Removed the link of the tenant acme to shop\n"
    assert result.err == "the store failed: it is down\n"
    assert flowmate("tenants", "delete", "acme", "--yes").out == "Removed the tenant acme with 1 row of the store\n"
    assert flowmate("tenants", "list").out.startswith("there are no tenants")
