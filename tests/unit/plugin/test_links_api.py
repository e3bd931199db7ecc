"""The API: for an application that embeds FlowMate, and for users of Airflow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from airflow.exceptions import DagNotFound, DagRunAlreadyExists, ParamValidationError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from nasty import Nasty
from pages_harness import HOME, TENANT, Site, consented, onward, path_of

from flowmate_airflow.auth import connections, embedding, links, probing
from flowmate_airflow.plugin.links import jobs, pages
from flowmate_airflow.protocols.streams import Stream
from flowmate_airflow.steps.catalogs import catalog_digest, streams_to_json
from flowmate_airflow.store import linked
from flowmate_airflow.store.catalogs import CatalogKey, save_catalog

API = "/flowmate/api/v1"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def embedded(site: Site, shop: Nasty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., httpx.Response]:
    """Calls the API as the application that embeds FlowMate."""
    path = tmp_path / "embedding.pem"
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    path.write_bytes(KEY.public_key().public_bytes(serialization.Encoding.PEM, form))
    monkeypatch.setenv("AIRFLOW__FLOWMATE__EMBEDDING_KEYS", str(path))
    monkeypatch.setattr(embedding, "_read", None)
    client = site.browser(None).client

    def call(method: str, address: str, body: Any = None, tenant: str = TENANT, **headers: str) -> httpx.Response:
        token = jwt.encode({"sub": tenant, "exp": int(time.time()) + 600}, KEY, algorithm="RS256")
        given = {"Authorization": f"Bearer {token}", **headers}
        return client.request(method, f"{API}{address}", json=body, headers=given)

    return call


@pytest.fixture
def admin(site: Site, shop: Nasty) -> Callable[..., httpx.Response]:
    """Calls the API as a page of this server does, for a user of Airflow."""

    def call(method: str, address: str, body: Any = None, user: str | None = "ann", **headers: str) -> httpx.Response:
        client = site.browser(user).client
        given = {"Origin": HOME, "Sec-Fetch-Site": "same-origin", **headers}
        return client.request(method, f"{API}{address}", json=body, headers=given)

    return call


def link_body(shop: Nasty, **more: Any) -> dict[str, Any]:
    return {"connector": "shop", "method": "key", "fields": {"key": shop.api_key}, **more}


def test_an_application_shows_links_and_unlinks(
    site: Site, embedded: Callable[..., httpx.Response], shop: Nasty
) -> None:
    (found,) = [each for each in embedded("GET", "/connectors").json() if each["name"] == "shop"]
    assert (found["status"], found["link"]) == ("available", None)
    key, consent = sorted(found["methods"], key=lambda method: method["consent"])
    assert (key["name"], key["consent"], key["fields"][0]["name"]) == ("key", False, "key")
    assert key["fields"][0]["secret"] is True
    assert key["fields"][0]["required"] is True
    assert (consent["consent"], consent["hosts"]) == (True, ["api.shop.example"])
    assert consent["scopes"] == {"read": "To read your records.", "write": "To change them."}

    made = embedded("POST", "/links", link_body(shop))
    assert made.status_code == 201
    assert made.json()["status"] == "linked"
    assert shop.api_key not in made.text
    assert site.after == [(TENANT, "shop")]
    assert [each["connector"] for each in embedded("GET", "/links").json()] == ["shop"]
    assert embedded("GET", "/links", tenant="globex").json() == []
    assert embedded("GET", "/links/shop", tenant="globex").status_code == 404
    assert embedded("POST", "/links/shop/check").json()["problem"] is None
    shop.next(lambda exchange: exchange.reply(401, {"error": "over"}))
    checked = embedded("POST", "/links/shop/check").json()
    assert "not right" in checked["problem"]
    assert checked["link"]["status"] == "needs_attention"
    assert embedded("DELETE", "/links/shop").json() == {"revoked": None, "problem": None}
    assert embedded("DELETE", "/links/shop").status_code == 404


def test_who_links_while_too_many_connectors_are_started_is_told_when_to_try_again(
    site: Site, embedded: Callable[..., httpx.Response], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add_connector("desk", {"key": {"type": "api_key"}})
    full = threading.BoundedSemaphore(1)
    assert full.acquire()
    monkeypatch.setattr(probing, "_starting", full)
    body = {"connector": "desk", "method": "key", "fields": {"key": "right-key"}}
    refused = embedded("POST", "/links", body)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "11")
    assert "too many connectors are asked just now" in refused.json()["error"]
    assert connections.read(f"flowmate.desk.{TENANT}") is None
    assert (embedded("GET", "/links").json(), site.after) == ([], [])
    assert embedded("POST", "/links/desk/check").status_code == 404
    full.release()
    assert embedded("POST", "/links", body).status_code == 201
    assert site.after == [(TENANT, "desk")]


def test_a_consent_begins_at_an_address_that_is_good_once(
    site: Site, embedded: Callable[..., httpx.Response], shop: Nasty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__RETURN_URLS", "https://app.example.com/")
    made = embedded("POST", "/links/shop/login", {"return_to": "https://app.example.com/x"})
    assert made.status_code == 201
    assert made.json()["url"].startswith(f"{HOME}/flowmate/connect/")
    customer = site.browser(None)
    form = customer.submit(path_of(made.json()["url"])).headers["location"]
    back = customer.get(consented(shop, onward(customer.submit(f"{form}?method=consent"))))
    assert back.headers["location"] == "https://app.example.com/x?link=shop&status=linked"
    assert embedded("GET", "/links/shop").json()["method"] == "consent"
    assert embedded("DELETE", "/links/shop").json()["revoked"] is True
    assert site.browser(None).get(path_of(made.json()["url"])).status_code == 403


@pytest.mark.parametrize(
    ("method", "address", "body", "status", "field"),
    [
        ("POST", "/links", {"connector": "shop", "method": "key", "fields": {}}, 422, "key"),
        ("POST", "/links", {"connector": "shop", "method": "key", "fields": {"key": "k", "no": 1}}, 422, "no"),
        ("POST", "/links", {"connector": "shop", "method": "key", "fields": {"key": "canary-key"}}, 422, None),
        ("POST", "/links", {"connector": "shop", "method": "consent"}, 400, None),
        ("POST", "/links", {"connector": "shop"}, 400, None),
        ("POST", "/links", {"connector": "shopp", "method": "key"}, 400, None),
        ("POST", "/links", {"connector": "../shop", "method": "key"}, 400, None),
        ("POST", "/links", {"connector": "shop", "more": 1}, 400, "more"),
        ("POST", "/links", {"connector": 7}, 400, "connector"),
        ("POST", "/links", [], 400, None),
        ("POST", "/links", None, 400, None),
        ("POST", "/links/shop/login", {"return_to": "https://evil.example/"}, 400, None),
        ("POST", "/links/nothing/login", {}, 400, None),
        ("POST", "/links/shop/check", None, 404, None),
        ("PUT", "/links/shop/field-map", {"field_map": {"a": "*"}}, 404, None),
        ("PUT", "/config", [], 400, None),
        ("PUT", "/config", {"hotglue_metadata": 1}, 400, None),
        ("PUT", "/flows/orders/mapping", {"mapping": {"x": 1}}, 400, None),
        ("PUT", f"/flows/{'f' * 300}/mapping", {"mapping": {}}, 404, None),
        ("GET", "/nothing", None, 404, None),
        ("PATCH", "/links", {}, 405, None),
    ],
)
def test_bad_input_is_told_in_a_sentence(
    embedded: Callable[..., httpx.Response], method: str, address: str, body: Any, status: int, field: str | None
) -> None:
    answer = embedded(method, address, body)
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert isinstance(told["error"], str)
    assert told["error"]
    assert "canary" not in answer.text
    if field is not None:
        assert told["field"] == field


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b'{"a": NaN}', 400),
        (b'{"a": "\\ud800"}', 400),
        (b"\xff", 400),
        (b'{"a": "' + b"x" * 2_500_000 + b'"}', 413),
        (b'{"a": "' + b"x" * 1_500_000 + b'"}', 400),
    ],
)
def test_a_body_that_is_no_json_or_too_large_is_refused(
    site: Site, embedded: Callable[..., httpx.Response], content: bytes, status: int
) -> None:
    token = jwt.encode({"sub": TENANT, "exp": int(time.time()) + 600}, KEY, algorithm="RS256")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    client = site.browser(None).client
    answer = client.put(f"{API}/config", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.json()["error"]
    plain = client.put(f"{API}/config", content=b"{}", headers={**headers, "Content-Type": "text/plain"})
    assert plain.status_code == 400


def test_a_config_and_a_mapping_are_kept(embedded: Callable[..., httpx.Response]) -> None:
    assert embedded("GET", "/config").json() == {}
    config = {"hotglue_metadata": {"metadata": {"plan": "gold"}}, "any": [1, None, {"deep": True}]}
    assert embedded("PUT", "/config", config).status_code == 204
    assert embedded("GET", "/config").json() == config
    assert embedded("GET", "/config", tenant="globex").json() == {}
    mapping = {"orders/Invoices": {"Total": "total"}}
    assert embedded("PUT", "/flows/orders/mapping", {"mapping": mapping}).json() == {"mapping": mapping}
    assert embedded("GET", "/flows/orders/mapping").json() == {"mapping": mapping}


def test_tables_are_shown_and_a_field_map_names_no_others(
    site: Site, embedded: Callable[..., httpx.Response], shop: Nasty
) -> None:
    embedded("POST", "/links", link_body(shop))
    assert embedded("GET", "/links/shop/tables").json() == {"tables": None, "discovered_at": None}
    free = {"anything": ["id"]}
    assert embedded("PUT", "/links/shop/field-map", {"field_map": free}).json() == {"field_map": free}
    manifest = pages.manifest_for("shop")
    schema = {
        "type": "object",
        "properties": {"id": {}, "lines": {"type": "array", "items": {"properties": {"n": {}}}}},
    }
    stream = Stream("orders", schema, primary_key=("id",))
    key = CatalogKey("shop", "flowmate.shop.acme", catalog_digest(manifest, {}), TENANT)
    save_catalog(site.world.store, key, streams_to_json([stream]))
    shown = embedded("GET", "/links/shop/tables").json()
    assert shown["tables"] == [{"name": "orders", "fields": ["id", "lines", "lines.n"], "key": ["id"]}]
    assert shown["discovered_at"]
    for wrong in ({"order": "*"}, {"orders": ["idd"]}, {"orders": 7}, {}):
        answer = embedded("PUT", "/links/shop/field-map", {"field_map": wrong})
        assert answer.status_code == 422, wrong
    assert "did you mean `orders`" in embedded("PUT", "/links/shop/field-map", {"field_map": {"order": "*"}}).text
    right = {"orders": {"name": "orders", "selected": ["lines.n"]}}
    assert embedded("PUT", "/links/shop/field-map", {"field_map": right}).json() == {"field_map": right}
    assert embedded("GET", "/links/shop/field-map").json() == {"field_map": right}
    assert embedded("PUT", "/links/shop/field-map", {"field_map": None}).json() == {"field_map": None}


def test_pages_of_other_origins_call_only_where_they_may(
    site: Site, shop: Nasty, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET"}
    answer = site.browser(None).client.options(f"{API}/links", headers=asked)
    assert "access-control-allow-origin" not in answer.headers
    monkeypatch.setenv("AIRFLOW__FLOWMATE__EMBEDDING_ORIGINS", "https://app.example.com, *, https://other.example/")
    from pages_harness import serving_pages

    with serving_pages(tmp_path / "more", monkeypatch) as other:
        client = other.browser(None).client
        answer = client.options(f"{API}/links", headers=asked)
        assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
        assert "access-control-allow-credentials" not in answer.headers
        for origin in ("https://evil.example", "null", "https://other.example"):
            refused = client.options(f"{API}/links", headers={**asked, "Origin": origin})
            assert "access-control-allow-origin" not in refused.headers


# --- users of Airflow


def test_a_user_does_the_same_for_any_tenant(site: Site, admin: Callable[..., httpx.Response], shop: Nasty) -> None:
    base = f"/tenants/{TENANT}"
    assert admin("POST", f"{base}/links", link_body(shop)).status_code == 201
    assert admin("GET", f"{base}/links").json()[0]["connector"] == "shop"
    assert admin("GET", "/tenants/globex/links").json() == []
    assert admin("DELETE", f"{base}/links/shop").status_code == 200
    assert ("ann", "POST", "flowmate.shop.acme") in site.manager.asked
    assert ("ann", "DELETE", "flowmate.shop.acme") in site.manager.asked
    assert admin("GET", "/tenants/a%2Fb/links").status_code in (400, 404)
    assert admin("GET", "/tenants/x%22y/links").status_code == 400


def test_a_user_sets_the_field_map_that_is_the_template(admin: Callable[..., httpx.Response]) -> None:
    address = "/tenants/default/links/shop/field-map"
    assert admin("GET", address).json() == {"field_map": None}
    chosen = {"field_map": {"orders": ["id"]}}
    assert admin("PUT", address, chosen).json() == chosen
    assert admin("GET", address).json() == chosen
    assert admin("PUT", "/tenants/default/links/nothing/field-map", chosen).status_code == 400
    assert admin("PUT", f"/tenants/{TENANT}/links/shop/field-map", chosen).status_code == 404
    assert admin("GET", "/tenants/default/links").json() == []


@pytest.mark.parametrize("user", [None, "signed-out"])
def test_nobody_else_is_let_in(admin: Callable[..., httpx.Response], user: str | None) -> None:
    for method, address in (
        *(("GET", f"/tenants/{TENANT}/{name}") for name in ("connectors", "links", "links/shop", "config")),
        ("POST", f"/tenants/{TENANT}/links"),
        ("POST", "/magic-links"),
        ("POST", f"/tenants/{TENANT}/flows/orders/jobs"),
    ):
        answer = admin(method, address, {} if method == "POST" else None, user=user)
        assert answer.status_code == 401, address
        assert answer.json()["error"]


def test_an_applications_token_is_no_users(
    embedded: Callable[..., httpx.Response], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.core_api import security
    from fastapi import HTTPException

    async def refuse(token: str | None) -> None:
        raise HTTPException(403, "Invalid JWT token")

    monkeypatch.setattr(security, "resolve_user_from_token", refuse)
    assert embedded("GET", f"/tenants/{TENANT}/links").status_code == 403


def test_a_user_needs_the_right_to_it(site: Site, admin: Callable[..., httpx.Response], shop: Nasty) -> None:
    site.manager.denied = {("ann", method) for method in ("GET", "POST", "PUT", "DELETE", "POST RUN")}
    base = f"/tenants/{TENANT}"
    for method, address, body in (
        ("GET", f"{base}/links", None),
        ("POST", f"{base}/links", link_body(shop)),
        ("DELETE", f"{base}/links/shop", None),
        ("PUT", f"{base}/config", {}),
        ("POST", "/magic-links", {"tenant": TENANT}),
        ("POST", f"{base}/flows/orders/jobs", {}),
    ):
        assert admin(method, address, body).status_code == 403, address
    assert linked.find_all(site.world.store) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Origin": HOME, "Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_site_cannot_use_a_users_cookie(
    site: Site, admin: Callable[..., httpx.Response], shop: Nasty, headers: dict[str, str]
) -> None:
    base = f"/tenants/{TENANT}"
    assert admin("POST", f"{base}/links", link_body(shop), **headers).status_code == 403
    assert admin("POST", "/magic-links", {"tenant": TENANT}, **headers).status_code == 403
    assert admin("POST", f"{base}/flows/orders/jobs", {}, **headers).status_code == 403
    with_token = {"Authorization": "Bearer ann", **headers}
    assert admin("POST", f"{base}/links", link_body(shop), user=None, **with_token).status_code == 201


def test_a_user_makes_a_magic_link(site: Site, admin: Callable[..., httpx.Response]) -> None:
    body = {"tenant": TENANT, "connectors": ["shop"], "expires_in": 3600}
    made = admin("POST", "/magic-links", body)
    assert made.status_code == 201
    customer = site.browser(None)
    assert customer.submit(path_of(made.json()["url"])).headers["location"].endswith("/new/shop")
    for wrong in ({"tenant": "a/b"}, {**body, "connectors": ["nothing"]}, {**body, "expires_in": 1}, {}):
        assert admin("POST", "/magic-links", wrong).status_code == 400


# --- runs


@dataclass
class Run:
    run_id: str
    conf: dict[str, Any]
    state: str = "queued"
    dag_id: str = "orders"
    logical_date: None = None


@dataclass
class Airflow:
    """Starts runs of the flow `orders`."""

    runs: dict[str, Run] = field(default_factory=dict)
    by: list[str] = field(default_factory=list)
    error: Exception | None = None

    def trigger(
        self, flow: str, *, conf: dict[str, Any], run_id: str | None, triggering_user_name: str, **_: Any
    ) -> Run:
        if self.error is not None:
            raise self.error
        if flow != "orders":
            raise DagNotFound(flow)
        name = run_id or f"manual__{len(self.runs)}"
        if name in self.runs:
            raise DagRunAlreadyExists(self.runs[name])  # type: ignore[arg-type]
        self.by.append(triggering_user_name)
        return self.runs.setdefault(name, Run(name, conf))


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    made = Airflow()
    monkeypatch.setattr(jobs, "trigger_dag", made.trigger)
    return made


JOBS = f"/tenants/{TENANT}/flows/orders/jobs"


def test_a_job_becomes_a_run_once(admin: Callable[..., httpx.Response], airflow: Airflow) -> None:
    body = {"override_start_date": "2026-01-01T00:00:00Z", "reset_source_state": True}
    key = {"Idempotency-Key": "nightly 1"}
    first = admin("POST", JOBS, body, **key)
    assert first.status_code == 201
    assert first.json() == {
        "tenant": TENANT,
        "flow": "orders",
        "dag_run_id": next(iter(airflow.runs)),
        "state": "queued",
    }
    assert airflow.runs[first.json()["dag_run_id"]].conf == {**body, "tenant": TENANT}
    assert airflow.by == ["ann"]
    assert admin("POST", JOBS, body, **key).json() == first.json()
    assert len(airflow.runs) == 1
    assert admin("POST", JOBS, {}, **key).status_code == 422
    assert (
        admin("POST", "/tenants/globex/flows/orders/jobs", body, **key).json()["dag_run_id"]
        != first.json()["dag_run_id"]
    )
    assert admin("POST", JOBS, body).status_code == 201
    assert admin("POST", JOBS, {"tenant": TENANT}).status_code == 201
    assert len(airflow.runs) == 4


@pytest.mark.parametrize(
    ("address", "body", "headers", "status"),
    [
        (JOBS, {"tenant": "globex"}, {}, 400),
        (JOBS, {"override_start_date": 7}, {}, 400),
        (JOBS, [], {}, 400),
        (JOBS, {}, {"Idempotency-Key": "k" * 300}, 400),
        (JOBS, {}, {"Idempotency-Key": ""}, 400),
        (JOBS.replace("orders", "nothing"), {}, {}, 404),
        (JOBS.replace("orders", "a%20b"), {}, {}, 404),
        (JOBS.replace("orders", "f" * 300), {}, {}, 404),
        (JOBS.replace(TENANT, "a%22b"), {}, {}, 400),
    ],
)
def test_a_job_that_cannot_be_starts_nothing(
    admin: Callable[..., httpx.Response],
    airflow: Airflow,
    address: str,
    body: Any,
    headers: dict[str, str],
    status: int,
) -> None:
    answer = admin("POST", address, body, **headers)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]
    assert airflow.runs == {}


def test_params_that_the_flow_does_not_take_are_told(admin: Callable[..., httpx.Response], airflow: Airflow) -> None:
    airflow.error = ParamValidationError("Invalid input for param since: 7 is not of type 'string'")
    answer = admin("POST", JOBS, {})
    assert answer.status_code == 400
    assert "since" in answer.json()["error"]


def test_the_description_is_public_and_names_who_may(site: Site) -> None:
    answer = site.browser(None).get(f"{API}/openapi.json")
    assert answer.status_code == 200
    paths = answer.json()["paths"]
    assert len(paths) >= 20
    for address, operations in paths.items():
        for operation in operations.values():
            assert operation["security"], address


def test_who_uses_a_links_credentials_is_told_to_users_of_airflow_only(
    site: Site, embedded: Callable[..., httpx.Response], admin: Callable[..., httpx.Response], shop: Nasty
) -> None:
    assert embedded("POST", "/links", link_body(shop)).status_code == 201
    links.link(site.world.catalog, "globex", "shop", None, {}, symlink=(TENANT, "shop"))
    refused = embedded("DELETE", "/links/shop")
    assert refused.status_code == 409
    assert "in use elsewhere" in refused.json()["error"]
    assert "globex" not in refused.text
    assert "globex/shop" in admin("DELETE", f"/tenants/{TENANT}/links/shop").json()["error"]
    url = admin("POST", "/magic-links", {"tenant": TENANT}).json()["url"]
    customer = site.browser(None)
    base = customer.submit(path_of(url)).headers["location"].removesuffix("/links")
    page = customer.submit(f"{base}/remove/shop")
    assert page.status_code == 409
    assert "in use elsewhere" in page.text
    assert "globex" not in page.text
    assert "globex/shop" in site.browser().submit(f"/flowmate/links/remove/shop?tenant={TENANT}").text


@pytest.mark.parametrize("given", ["Basic YTpi", "Bearer", "Bearer ", "x"])
def test_a_header_that_proves_nothing_does_not_stand_for_the_origin(
    admin: Callable[..., httpx.Response], given: str
) -> None:
    headers = {"Authorization": given, "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert admin("PUT", f"/tenants/{TENANT}/config", {}, **headers).status_code == 403


def test_linking_again_is_a_change(site: Site, admin: Callable[..., httpx.Response], shop: Nasty) -> None:
    site.manager.denied = {("ann", "PUT")}
    address = f"/tenants/{TENANT}/links"
    assert admin("POST", address, link_body(shop)).status_code == 201
    assert admin("POST", address, link_body(shop)).status_code == 403
    assert ("ann", "PUT", "flowmate.shop.acme") in site.manager.asked


@pytest.mark.parametrize("denied", ["POST", "PUT", "DELETE"])
def test_nobody_gives_a_magic_link_more_rights_than_they_have(
    site: Site, admin: Callable[..., httpx.Response], denied: str
) -> None:
    site.manager.denied = {("ann", denied)}
    assert admin("POST", "/magic-links", {"tenant": TENANT}).status_code == 403
    assert admin("POST", f"/tenants/{TENANT}/links/shop/login", {}).status_code == 403


def test_what_is_nested_without_end_is_refused(embedded: Callable[..., httpx.Response], shop: Nasty) -> None:
    deep: Any = "x"
    for _ in range(500):
        deep = {"a": deep}
    for method, address, body in (
        ("PUT", "/config", {"x": deep}),
        ("PUT", "/flows/orders/mapping", {"mapping": {"a/b": {"x": deep}}}),
        ("POST", "/links", link_body(shop, fields={"key": deep})),
    ):
        answer = embedded(method, address, body)
        assert answer.status_code == 400, address
        assert "nested" in answer.json()["error"]
    assert embedded("GET", "/config").json() == {}


@pytest.mark.parametrize("name", ["a" * 300, "%00", "..%2Fshop", "SHOP", "shop%0A"])
def test_a_name_that_no_connector_can_have_is_not_looked_for(
    site: Site, embedded: Callable[..., httpx.Response], admin: Callable[..., httpx.Response], name: str
) -> None:
    asked = [("GET", f"/links/{name}"), ("DELETE", f"/links/{name}"), ("POST", f"/links/{name}/check")]
    assert {embedded(method, address).status_code for method, address in asked} == {404}
    assert site.browser().get(f"/flowmate/links/new/{name}?tenant={TENANT}").status_code == 404
    assert embedded("POST", f"/links/{name}/login", {}).status_code in (400, 404)
