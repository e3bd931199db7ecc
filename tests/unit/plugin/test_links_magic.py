"""Magic links: no account, one browser, until they are over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from nasty import Nasty
from pages_harness import HOME, TENANT, Browser, Logged, Site, consented, onward, path_of, read_page, tags_of

from flowmate_airflow.auth import magic
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.plugin.app import make_app
from flowmate_airflow.store import linked, magiclinks
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.webhooks.mount import Mounted


def made(site: Site, **more: Any) -> str:
    """Return a new magic link's address, without the server."""
    return path_of(magic.make(site.world.store, site.world.catalog, more.pop("tenant", TENANT), **more).url)


def opened(site: Site, **more: Any) -> tuple[Browser, str]:
    """Return a browser that has opened a new magic link, and its page."""
    customer = site.browser(None)
    answer = customer.submit(made(site, **more))
    assert answer.status_code == 303, answer.text
    return customer, answer.headers["location"]


def form_of(browser: Browser, page: str, connector: str = "shop", method: str = "key") -> str:
    (address,) = [link for link in read_page(browser.get(page).text).links if link.endswith(f"/new/{connector}")]
    return f"{address}?method={method}"


def test_looking_at_a_link_opens_nothing(site: Site, shop: Nasty) -> None:
    link = made(site)
    for _ in range(3):
        preview = site.browser(None).get(link)
        assert preview.status_code == 200
        assert TENANT in preview.text
    customer = site.browser(None)
    assert customer.submit(link).status_code == 303


def test_a_customer_links_links_again_and_unlinks_without_an_account(site: Site, shop: Nasty) -> None:
    customer, page = opened(site, connectors=["shop", "http"])
    text = customer.get(page).text
    assert "Not linked" in text
    assert "The shop" in text
    form = form_of(customer, page)
    answer = customer.submit(form, key=shop.api_key)
    assert answer.headers["location"] == f"{page}?done=shop"
    assert "The shop is linked." in customer.get(f"{page}?done=shop").text
    consent = form.replace("method=key", "method=consent")
    back = customer.get(consented(shop, onward(customer.submit(consent))))
    assert back.headers["location"] == f"{page}?done=shop"
    found = linked.find(site.world.store, TENANT, "shop")
    assert found is not None
    assert found.method == "consent"
    remove = form.replace("/new/", "/remove/").partition("?")[0]
    assert customer.submit(remove).headers["location"] == page
    assert linked.find(site.world.store, TENANT, "shop") is None
    assert site.manager.asked == []


def test_a_link_for_one_connector_leads_to_its_form(site: Site, shop: Nasty) -> None:
    customer, page = opened(site, connectors=["shop"])
    assert page.endswith("/new/shop")
    assert customer.get(page).status_code == 200


def test_another_browser_is_refused(site: Site, shop: Nasty) -> None:
    link = made(site)
    customer, other = site.browser(None), site.browser(None)
    page = customer.submit(link).headers["location"]
    looked = other.get(link)
    assert looked.status_code == 403
    assert "opened in another browser" in looked.text
    assert other.get(page).status_code == 403
    assert other.get(page.replace("/links", "/new/shop")).status_code == 403
    # The browser that has it comes back to where it was.
    again = customer.get(link)
    assert (again.status_code, again.headers["location"]) == (303, page)


def test_of_two_browsers_that_have_looked_the_first_gets_it(site: Site, shop: Nasty) -> None:
    link = made(site)
    first, second = site.browser(None), site.browser(None)
    hidden = {browser: read_page(browser.get(link).text).hidden for browser in (first, second)}
    assert first.post(link, hidden[first]).status_code == 303
    assert second.post(link, hidden[second]).status_code == 403
    assert not [name for name in second.client.cookies if name.startswith("flowmate_connect")]


def test_a_link_that_is_over_is_refused(site: Site, shop: Nasty, monkeypatch: pytest.MonkeyPatch) -> None:
    unopened = made(site, life=timedelta(hours=1))
    customer, page = opened(site, life=timedelta(hours=1))
    form = form_of(customer, page, method="consent")
    back = consented(shop, onward(customer.submit(form)))
    late = magiclinks.now() + timedelta(hours=1)
    monkeypatch.setattr(magiclinks, "now", lambda: late)
    assert site.browser(None).get(unopened).status_code == 404
    assert customer.get(page).status_code == 403
    assert customer.post(form, {}).status_code == 403
    assert customer.get(back).status_code == 403
    assert shop.called("/token") == []


def test_a_link_that_was_taken_back_is_refused(site: Site, shop: Nasty) -> None:
    customer, page = opened(site)
    magiclinks.revoke(site.world.store, TENANT)
    assert customer.get(page).status_code == 403


def test_a_consent_that_a_link_began_is_finished_by_it(site: Site, shop: Nasty) -> None:
    customer, page = opened(site)
    other, _ = opened(site, tenant="globex")
    back = consented(shop, onward(customer.submit(form_of(customer, page, method="consent"))))
    for name, value in customer.client.cookies.items():
        if name.startswith("flowmate_login_"):
            other.client.cookies.set(name, value)
    assert other.get(back).status_code == 403
    # Nor is a user of Airflow who is signed in the one who began.
    assert linked.find_all(site.world.store) == []


def test_a_link_is_for_its_tenant_and_connectors(site: Site, shop: Nasty) -> None:
    site.add_connector("other", {"key": {"type": "api_key"}})
    customer, page = opened(site, connectors=["shop", "http"])
    for kind in ("new", "remove"):
        assert customer.get(page.replace("/links", f"/{kind}/other")).status_code == 404
    assert "The other" not in customer.get(page).text
    answer = customer.submit(f"{form_of(customer, page)}&tenant=globex", key=shop.api_key)
    assert answer.status_code == 303
    assert [row.tenant for row in linked.find_all(site.world.store)] == [TENANT]
    # It opens no page of those who are signed in to Airflow.
    assert customer.get(f"/flowmate/links?tenant={TENANT}").status_code == 303
    assert customer.get(f"/flowmate/api/v1/tenants/{TENANT}/links").status_code == 401


def test_where_a_customer_goes_on_is_checked_when_the_link_is_made(
    site: Site, shop: Nasty, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LoginError, match="return_urls"):
        made(site, return_to="https://evil.example/")
    monkeypatch.setenv("AIRFLOW__FLOWMATE__RETURN_URLS", "https://app.example.com/")
    customer, page = opened(site, connectors=["shop"], return_to="https://app.example.com/done")
    answer = customer.submit(f"{page}?method=key", key=shop.api_key)
    assert onward(answer) == "https://app.example.com/done?link=shop&status=linked"


def test_a_form_of_the_link_is_refused_from_elsewhere(site: Site, shop: Nasty) -> None:
    link = made(site)
    customer = site.browser(None)
    hidden = read_page(customer.get(link).text).hidden
    assert customer.post(link, hidden, Origin="https://evil.example", Sec_Fetch_Site="cross-site").status_code == 403
    assert customer.post(link, {}).status_code == 403
    assert customer.post(link, hidden).status_code == 303


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"tenant": "a/b"}, "cannot be a tenant's id"),
        ({"tenant": "default"}, "template of all tenants"),
        ({"connectors": []}, "one connector at least"),
        ({"connectors": ["shopp"]}, "did you mean `shop`"),
        ({"connectors": ["files"]}, "cannot be linked"),
        ({"connectors": [f"c{number}" for number in range(101)]}, "100 at most"),
        ({"life": timedelta(seconds=1)}, "for a minute at least"),
        ({"life": timedelta(days=31)}, "for 30 days at most"),
    ],
)
def test_a_link_that_cannot_be_is_not_made(site: Site, shop: Nasty, more: dict[str, Any], reason: str) -> None:
    with pytest.raises((LoginError, StoreError), match=reason):
        made(site, **more)


@pytest.mark.parametrize("token", ["x", "x" * 5000, "é", "<script>", "..%2f..", "%00"])
def test_a_token_that_is_none_opens_nothing(site: Site, token: str) -> None:
    answer = site.browser(None).get(f"/flowmate/connect/{token}")
    assert answer.status_code == 404
    assert "script" not in {tag for tag, _ in tags_of(answer.text)}


def test_no_access_log_has_a_links_token(site: Site, shop: Nasty) -> None:
    customer, page = opened(site)
    customer.get(page)
    customer.submit(form_of(customer, page), key=shop.api_key)
    assert set(site.seen) <= {"/flowmate/connect/***?", "/flowmate/connect/***?***"}


@pytest.mark.parametrize("path", ["/airflow/flowmate", "/flowmate"], ids=["with the prefix", "a proxy took it off"])
def test_no_access_log_has_a_links_token_behind_a_prefix(site: Site, path: str) -> None:
    host = FastAPI(root_path="/airflow")
    host.mount("/flowmate", make_app(Mounted("/flowmate/hooks")))
    seen: list[str] = []
    host.add_middleware(Logged, seen=seen)
    client = TestClient(host, base_url=HOME)
    assert client.get(f"{path}/connect/some-canary-token").status_code == 404
    assert client.get(f"{path}/links/callback/shop/x", params={"code": "canary", "state": "canary"}).status_code < 500
    assert seen[:2] == ["/airflow/flowmate/connect/***?", "/airflow/flowmate/links/callback/***?***"]


def test_the_session_is_over_with_the_link(site: Site, shop: Nasty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__PUBLIC_URL", HOME)
    customer = site.browser(None)
    answer = customer.submit(made(site, life=timedelta(hours=1)))
    (cookie,) = [each for each in answer.headers.get_list("set-cookie") if "flowmate_connect_" in each]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    age = int(cookie.partition("Max-Age=")[2].partition(";")[0])
    assert 3500 < age <= 3600
