"""The commands of webhooks where each tenant has an address of their own."""

from __future__ import annotations

import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_harness import Flowmate, WriteFlow

from flowmate_airflow.store import endpoints
from flowmate_airflow.store.claims import Owner, claim, settle
from flowmate_airflow.store.deliveries import NewDelivery, Wanted, find, insert
from flowmate_airflow.store.store import Store, close_stores, open_store
from flowmate_airflow.webhooks.directory import Directory
from flowmate_airflow.webhooks.endpoints import Endpoint
from flowmate_airflow.webhooks.requests import HookRequest
from flowmate_airflow.webhooks.schemes import SCHEMES, verify

BASE = "https://hooks.example.com/flowmate/hooks"


@pytest.fixture
def store(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store in Airflow's home, without Airflow's key: its import would let other tests' output have its log."""
    monkeypatch.setattr(endpoints, "encrypt", lambda data, what: (data, False))
    monkeypatch.setenv("AIRFLOW__FLOWMATE__PUBLIC_URL", "https://hooks.example.com")
    yield open_store()
    close_stores()


@pytest.fixture(autouse=True)
def links(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], tuple[str, ...]]:
    """What the links of tenants hold, in an Airflow that knows two webhooks with tenants and one without."""
    held: dict[tuple[str, str], tuple[str, ...]] = {}
    known = {
        "orders": Endpoint("orders", scheme="github", tenants=True, connector="shop"),
        "others": Endpoint("others", scheme="github", tenants=True),
        "bills": Endpoint("bills", scheme="token"),
    }
    monkeypatch.setattr(Directory, "endpoints", lambda self: known)
    monkeypatch.setattr(Directory, "paused", lambda self, flows: frozenset(flows) & {"orders__tenants"})
    monkeypatch.setattr(Directory, "link_secrets", lambda self, *link: held.get(link, ()))
    return held


def test_each_tenant_has_an_address_with_a_token(flowmate: Flowmate, store: Store) -> None:
    for tenant in ("acme", "ops@example.com"):
        result = flowmate("webhooks", "url", "orders", "--tenant", tenant)
        assert result.out == f"{BASE}/orders/{tenant}/{endpoints.token_of(store, 'orders', tenant)}\n"
        assert "none yet" in result.err
    before, other = (endpoints.token_of(store, "orders", tenant) for tenant in ("acme", "ops@example.com"))
    result = flowmate("webhooks", "url", "orders", "--tenant", "acme", "--rotate")
    assert before not in result.out
    valid = endpoints.tokens(store)
    assert valid["orders", "acme"][1] == before
    assert valid["orders", "ops@example.com"] == (other,)


def test_it_is_told_where_a_tenants_secret_is(
    flowmate: Flowmate, store: Store, links: dict[tuple[str, str], tuple[str, ...]]
) -> None:
    links["shop", "acme"] = ("s3cret",)
    assert "secret      in the tenant's link to shop" in flowmate("webhooks", "url", "orders", "--tenant", "acme").err
    result = flowmate("webhooks", "url", "orders", "--tenant", "other")
    assert "secret      none yet" in result.err
    assert "s3cret" not in result.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["url", "orders"], "each tenant has an address of their own at orders: name one with --tenant"),
        (["send", "orders"], "each tenant has an address of their own at orders: name one with --tenant"),
        (["url", "bills", "--tenant", "acme"], "--tenant: bills has one address for all"),
        (["send", "bills", "--tenant", "acme"], "--tenant: bills has one address for all"),
        (["url", "orders", "--tenant", "a/b"], "--tenant: "),
        (["url", "orders", "--tenant", ""], "--tenant: "),
        (["send", "https://a.example", "--scheme", "github", "--tenant", "acme"], "--tenant goes with an endpoint"),
        (["list", "--tenant", "acne"], "there are no deliveries of the tenant `acne`; did you mean `acme`?"),
        (["list", "bills", "--tenant", "acme"], "there are no deliveries of the tenant `acme` to `bills`"),
        (["replay", "orders", "--tenant", "nobody", "--yes"], "there are no deliveries of the tenant `nobody`"),
        (["replay", "orders", "--to", "bills", "--yes"], "--to: bills knows no tenants, whose 2 deliveries would stay"),
        (["replay", "bills", "--to", "others", "--yes"], "--to: at others each tenant has their own, and 1 delivery"),
    ],
)
def test_what_does_not_go_together_is_told(flowmate: Flowmate, store: Store, arguments: list[str], told: str) -> None:
    keep(store, "acme", "other")
    keep(store, "", endpoint="bills")
    result = flowmate("webhooks", *arguments)
    assert (result.code, result.out) == (2, "")
    assert told in result.err


def keep(store: Store, *tenants: str, endpoint: str = "orders") -> None:
    """Keep a delivery for each tenant, with which a run has failed."""
    for tenant in tenants:
        digest = hashlib.sha256(f"{endpoint} {tenant}".encode()).digest()
        insert(store, [NewDelivery(endpoint, digest, b'{"event": {}, "http": {}}', tenant)])
        owner = Owner(endpoint, f"run of {tenant}")
        claim(store, owner, endpoint, tenant, limit=1)
        settle(store, owner, ok=False, max_attempts=1)


def test_deliveries_of_one_tenant_are_listed_and_replayed(flowmate: Flowmate, store: Store) -> None:
    keep(store, "acme", "other")
    result = flowmate("webhooks", "list", "--tenant", "acme")
    assert "other" not in result.out
    assert result.out.splitlines()[-1] == "orders (tenant acme): 1 failed"
    assert flowmate("webhooks", "replay", "--tenant", "acme", "--failed", "--yes").code == 0
    assert {each.tenant: each.status for each in find(store, Wanted())} == {"acme": "received", "other": "failed"}
    assert "switched off in Airflow: orders__tenants" in flowmate("webhooks", "list", "orders").out
    result = flowmate("webhooks", "replay", "orders", "--tenant", "other", "--to", "others", "--yes")
    assert result.code == 0
    assert [(each.endpoint, each.tenant) for each in find(store, Wanted(tenant="other"))] == [("others", "other")]


def test_an_event_is_sent_to_a_tenants_address_with_their_secret(
    flowmate: Flowmate, store: Store, links: dict[tuple[str, str], tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    links["shop", "acme"] = ("s3cret",)
    seen: list[HookRequest] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = tuple((name.lower(), text) for name, text in self.headers.items())
            seen.append(HookRequest("POST", self.path, headers, body))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        result = flowmate("webhooks", "send", "orders", "--tenant", "acme", "--url", url)
        server.shutdown()
    assert result.code == 0
    (request,) = seen
    token = endpoints.token_of(store, "orders", "acme")
    assert request.url == f"/flowmate/hooks/orders/acme/{token}"
    verify(SCHEMES["github"], request, ["s3cret"], time.time())
    assert token not in result.err


def test_the_file_of_a_flow_tells_that_it_has_tenants(flowmate: Flowmate, store: Store, write_flow: WriteFlow) -> None:
    steps = "- {id: mapped, map: data}\n- {id: items, use: shop/items, needs: []}"
    name = write_flow(steps, "orders.yaml", "tenants: linked\nwebhook: {connection: hook, scheme: github}")
    assert "name one with --tenant" in flowmate("webhooks", "url", name).err
    assert flowmate("webhooks", "url", name, "--tenant", "acme").out.startswith(f"{BASE}/orders/acme/")
