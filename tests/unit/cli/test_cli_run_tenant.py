"""`flowmate run --tenant`: with the Connections that a tenant has linked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_harness import Flowmate, WriteFlow

from flowmate_airflow.store import linked, tenants
from flowmate_airflow.store.store import Store, close_stores, open_store

SECRET = "s3cr3t-key-of-acme"
STEPS = """
- {id: items, use: shop/items, with: {limit: 1, label: "{{ tenant.id }} {{ tenant.config.colour }}"}}
- {id: mapped, map: "{ 'label': data.label, 'url': data.url, 'to': $tenant.mapping[0].fields.to }"}
"""


@pytest.fixture
def store(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", f"sqlite:///{home}/store.db")
    monkeypatch.setenv("AIRFLOW_CONN_FLOWMATE.SHOP.ACME", json.dumps({"host": "acme.example.com", "password": SECRET}))
    yield open_store()
    close_stores()


def test_a_flow_runs_with_the_links_of_a_tenant(flowmate: Flowmate, write_flow: WriteFlow, store: Store) -> None:
    linked.save(store, linked.Linked("acme", "shop", "flowmate.shop.acme", "key"))
    tenants.save_config(store, "acme", {"colour": "red"})
    tenants.set_flow(store, "acme", "orders", mapping={"Contact/customers": {"to": "mail"}})
    result = flowmate("run", write_flow(STEPS, head="tenants: linked"), "--tenant", "acme")
    assert result.code == 0, result.err
    expected = {"label": "acme red", "url": "https://acme.example.com", "to": "mail"}
    assert json.loads(result.out)["data"] == expected
    assert SECRET not in result.out + result.err
    assert "the key is ***" in result.err


@pytest.mark.parametrize(
    ("head", "arguments", "code", "told"),
    [
        ("tenants: linked", (), 2, "the flow runs for tenants, with their links to shop: say for whom with --tenant"),
        ("tenants: linked", ("--tenant", "a/b"), 2, "--tenant: "),
        ("tenants: linked", ("--tenant", "globex"), 1, "the tenant `globex` has not linked `shop`"),
        ("", ("--tenant", "acme"), 2, "--tenant: the flow has no `tenants`"),
    ],
)
def test_a_run_for_nobody_is_refused(
    flowmate: Flowmate,
    write_flow: WriteFlow,
    store: Store,
    head: str,
    arguments: tuple[str, ...],
    code: int,
    told: str,
) -> None:
    result = flowmate("run", write_flow("- {id: items, use: shop/items}", head=head), *arguments)
    assert (result.code, result.out) == (code, "")
    assert told in result.err


def test_a_step_that_links_nothing_runs_for_nobody(flowmate: Flowmate, write_flow: WriteFlow, home: Path) -> None:
    flow = write_flow("- {id: items, use: shop/items}\n- {id: m, map: data}", head="tenants: linked")
    (home / "in.jsonl").write_text('{"number": 1}\n')
    assert flowmate("run", flow, "--step", "m", "--input", "in.jsonl").code == 0
