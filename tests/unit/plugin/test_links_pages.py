"""The pages on which people link connectors by a form, and unlink them."""

from __future__ import annotations

from typing import Any

import pytest
from nasty import Nasty
from pages_harness import HOME, TENANT, Site, onward, read_page, tags_of

from flowmate_airflow.auth import connections
from flowmate_airflow.store import linked

NEW = f"/flowmate/links/new/shop?tenant={TENANT}"
KEY = f"{NEW}&method=key"
REMOVE = f"/flowmate/links/remove/shop?tenant={TENANT}"
LIST = f"/flowmate/links?tenant={TENANT}"


def test_whoever_is_not_signed_in_signs_in_and_comes_back(site: Site, shop: Nasty) -> None:
    for user in (None, "signed-out"):
        answer = site.browser(user).get(KEY)
        assert answer.status_code == 303
        where = "/api/v2/auth/login?next=%2Fflowmate%2Flinks%2Fnew%2Fshop%3Ftenant%3Dacme%26method%3Dkey"
        assert answer.headers["location"] == where
        assert site.browser(user).post(KEY, {}).status_code in (401, 403)


def test_several_methods_are_a_choice_and_one_is_a_form(site: Site, shop: Nasty) -> None:
    ann = site.browser()
    choice = ann.get(NEW)
    assert choice.status_code == 200
    assert {f"/flowmate/links/new/shop?tenant=acme&method={name}" for name in ("key", "consent")} <= set(
        read_page(choice.text).links
    )
    form = read_page(ann.get(KEY).text)
    assert form.inputs["field.key"]["type"] == "password"
    assert "value" not in form.inputs["field.key"]
    assert form.hidden["method"] == "key"


def test_a_key_is_linked_shown_and_linked_again(site: Site, shop: Nasty) -> None:
    ann = site.browser()
    assert "Not linked" in ann.get(LIST).text
    answer = ann.submit(KEY, key=shop.api_key)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{LIST}&done=shop"
    page = ann.get(answer.headers["location"])
    assert "The shop is linked." in page.text
    assert "Link again" in page.text
    stored = connections.read("flowmate.shop.acme")
    assert stored is not None
    assert stored.password == shop.api_key
    assert site.after == [(TENANT, "shop")]
    assert "Link The shop again" in ann.get(KEY).text
    assert ann.submit(KEY, key=shop.api_key).status_code == 303


def test_what_is_wrong_is_said_at_its_field_and_no_secret_comes_back(site: Site, shop: Nasty) -> None:
    ann = site.browser()
    missing = ann.submit(KEY, key="")
    assert missing.status_code == 422
    assert read_page(missing.text).inputs["field.key"]["aria-invalid"] == "true"
    refused = ann.submit(KEY, key="canary-of-a-key")
    assert refused.status_code == 422
    assert 'role="alert"' in refused.text
    assert "canary-of-a-key" not in refused.text
    assert linked.find(site.world.store, TENANT, "shop") is None
    assert site.after == []
    # The form is good for another try.
    again = ann.post(KEY, {**read_page(refused.text).hidden, "field.key": shop.api_key})
    assert again.status_code == 303


def test_what_was_filled_in_is_there_again_but_for_secrets(site: Site, shop: Nasty) -> None:
    fields = {"key": {"format": "password"}, "region": {"title": "Region"}}
    key = {"type": "api_key", "optional": {"region": "extra.region", "token": "extra.token"}, "fields": fields}
    site.add_connector("shop", {"key": {**key, "private": True, "verify": {"url": f"{shop.url}/records"}}})
    ann = site.browser()
    assert ann.submit(KEY, key=shop.api_key, region="eu-north", token="canary-token").status_code == 303
    page = ann.get(KEY).text
    assert read_page(page).inputs["field.region"]["value"] == "eu-north"
    assert shop.api_key not in page
    assert "canary-token" not in page


def test_unlinking_is_asked_about_first(site: Site, shop: Nasty) -> None:
    ann = site.browser()
    ann.submit(KEY, key=shop.api_key)
    page = ann.get(REMOVE)
    assert page.status_code == 200
    assert linked.find(site.world.store, TENANT, "shop") is not None
    assert ann.submit(REMOVE).headers["location"] == LIST
    assert linked.find(site.world.store, TENANT, "shop") is None
    assert connections.read("flowmate.shop.acme") is None
    assert ann.submit(REMOVE).status_code == 303


@pytest.mark.parametrize(
    ("method", "address"),
    [("POST", KEY), ("DELETE", REMOVE), ("GET", LIST)],
)
def test_users_need_the_right_to_change_connections(site: Site, shop: Nasty, method: str, address: str) -> None:
    site.manager.denied = {("ann", method)}
    answer = site.browser().get(address)
    assert answer.status_code == 403
    assert "Not allowed" in answer.text
    expected = None if method == "GET" else "flowmate.shop.acme"
    assert ("ann", method, expected) in site.manager.asked
    assert site.browser("bob").get(address).status_code == 200


def test_linking_again_changes_a_connection(site: Site, shop: Nasty) -> None:
    ann = site.browser()
    ann.submit(KEY, key=shop.api_key)
    site.manager.denied = {("ann", "PUT")}
    assert ann.get(KEY).status_code == 403


@pytest.mark.parametrize("tenant", ["", "../etc", "a/b", 'x"y', "<b>", "a" * 300, "é", "%00"])
def test_a_tenant_that_cannot_be_is_told_so(site: Site, shop: Nasty, tenant: str) -> None:
    answer = site.browser().client.get("/flowmate/links/new/shop", params={"tenant": tenant, "method": "key"})
    assert answer.status_code == 400
    assert "<b>" not in answer.text


def test_there_is_no_page_for_what_is_not_there(site: Site, shop: Nasty) -> None:
    ann = site.browser()
    for address in (
        "/flowmate/links/new/nothing?tenant=acme",
        "/flowmate/links/new/files?tenant=acme",  # it needs no credentials
        "/flowmate/links/new/shop?tenant=acme&method=nothing",
        "/flowmate/links/new/..%2f..%2fetc?tenant=acme",
        "/flowmate/links/nothing",
    ):
        assert ann.get(address).status_code == 404, address


# --- who sends a form


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"},
        {"Origin": "https://evil.example", "Sec_Fetch_Site": ""},
        {"Origin": "null", "Sec_Fetch_Site": ""},
        {"Origin": "", "Sec_Fetch_Site": "cross-site"},
        {"Origin": HOME, "Sec_Fetch_Site": "same-site"},
        {"Origin": "", "Sec_Fetch_Site": ""},
    ],
)
def test_a_form_that_another_site_sends_is_refused(site: Site, shop: Nasty, headers: dict[str, str]) -> None:
    ann = site.browser()
    hidden = read_page(ann.get(KEY).text).hidden
    answer = ann.post(KEY, {**hidden, "field.key": shop.api_key}, **headers)
    assert answer.status_code == 403
    assert linked.find(site.world.store, TENANT, "shop") is None


def test_a_forms_token_is_for_one_browser_person_tenant_and_page(site: Site, shop: Nasty) -> None:
    ann, other, bob = site.browser(), site.browser(), site.browser("bob")
    hidden = read_page(ann.get(KEY).text).hidden
    fields = {**hidden, "field.key": shop.api_key}
    other.get(KEY)
    assert other.post(KEY, fields).status_code == 403
    bob.client.cookies.set("flowmate_form", ann.client.cookies["flowmate_form"])
    assert bob.post(KEY, fields).status_code == 403
    assert ann.post(KEY.replace("acme", "globex"), fields).status_code == 403
    assert ann.post(REMOVE, fields).status_code == 403
    for token in ("", "0" * 64, "é"):
        assert ann.post(KEY, {**fields, "form_token": token}).status_code == 403
    without = site.browser()
    assert without.post(KEY, fields).status_code == 403
    assert linked.find_all(site.world.store) == []
    assert ann.post(KEY, fields).status_code == 303


def test_only_forms_are_taken_and_not_too_large_ones(site: Site, shop: Nasty) -> None:
    ann = site.browser()
    json = ann.client.post(KEY, json={}, headers={"Origin": HOME})
    assert json.status_code == 415
    hidden = read_page(ann.get(KEY).text).hidden
    assert ann.post(KEY, {**hidden, "field.key": "k" * (2 * 1024 * 1024)}).status_code == 413
    many = {f"field.{number}": "x" for number in range(400)}
    assert ann.post(KEY, {**hidden, **many}).status_code == 400
    assert ann.post(KEY, {**hidden, "field.nothing": "x", "field.key": "k"}).status_code == 422

    def pieces() -> Any:
        for _ in range(5):
            yield b"x" * 1024 * 1024

    kind = {"Content-Type": "application/x-www-form-urlencoded", "Origin": HOME}
    assert ann.client.post(KEY, content=pieces(), headers=kind).status_code == 413


# --- what a page is


EVIL = "</title><script>alert(1)</script><img src=x onerror=alert(1)>\"'`x{{71*83}}x"


def test_nothing_that_others_write_is_code(site: Site, nasty: Nasty) -> None:
    field = {"title": EVIL, "description": EVIL, "default": EVIL}
    consent = nasty.auth(
        title=EVIL,
        description=EVIL,
        scopes={EVIL: EVIL},
        optional={"region": "extra.region", "place": "extra.place"},
        fields={"region": field, "place": {"enum": [EVIL, "b"], "default": EVIL}},
    )
    site.add_connector("evil", {"consent": consent, "key": {"type": "api_key", "title": EVIL}}, title=EVIL)
    pages = [f"{address}?tenant=acme" for address in ("/flowmate/links", "/flowmate/links/new/evil")]
    pages += ["/flowmate/links/new/evil?tenant=acme&method=consent", "/flowmate/links/remove/evil?tenant=acme"]
    ann = site.browser()
    texts = [ann.get(page) for page in pages]
    texts.append(ann.submit(pages[2], region=EVIL, place="wrong"))
    texts.append(ann.get(f"/flowmate/links/new/evil?tenant=acme&method={EVIL}"))
    assert [answer.status_code for answer in texts] == [200, 200, 200, 200, 422, 404]
    for answer in texts:
        assert "x5893x" not in answer.text
        found = tags_of(answer.text)
        assert not {tag for tag, _ in found} & {"script", "img", "iframe", "object", "style", "svg"}
        assert not [name for _, attributes in found for name in attributes if name.startswith("on")]


def test_every_answer_is_kept_nowhere_framed_nowhere_and_runs_nothing(site: Site, shop: Nasty) -> None:
    ann = site.browser()
    for address in (LIST, NEW, KEY, "/flowmate/links/nothing", "/flowmate/links/callback/shop/abc?state=x"):
        headers = ann.get(address).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "form-action 'self'" in policy
        assert "unsafe" not in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"


def test_the_style_sheet_is_served_to_anybody(site: Site) -> None:
    answer = site.browser(None).get("/flowmate/style.css")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/css")
    assert "max-age" in answer.headers["cache-control"]


def test_the_cookie_of_forms_is_for_us_alone(site: Site, shop: Nasty, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = site.browser().get(KEY).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/flowmate" in cookie
    assert "Secure" not in cookie
    monkeypatch.setenv("AIRFLOW__FLOWMATE__PUBLIC_URL", "https://flowmate.example")
    assert "Secure" in site.browser().get(KEY).headers["set-cookie"]


def test_what_goes_wrong_inside_is_told_to_nobody(
    site: Site, shop: Nasty, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("canary-secret")

    monkeypatch.setattr("flowmate_airflow.plugin.links.forms.cards", fail)
    answer = site.browser().get(LIST)
    assert answer.status_code == 500
    assert "canary" not in answer.text
    assert "canary" not in caplog.text
    assert "RuntimeError" in caplog.text


# --- where people go on


def test_people_go_on_only_to_addresses_that_are_allowed(
    site: Site, shop: Nasty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__RETURN_URLS", "https://app.example.com/integrations, http://localhost:3000")
    good = {
        "https://app.example.com/integrations": "https://app.example.com/integrations?link=shop&status=linked",
        "https://app.example.com/integrations/x?a=1&status=old": (
            "https://app.example.com/integrations/x?a=1&link=shop&status=linked"
        ),
        "http://localhost:3000/any": "http://localhost:3000/any?link=shop&status=linked",
    }
    for wanted, expected in good.items():
        ann = site.browser()
        address = f"{KEY}&{_query(return_to=wanted)}"
        assert onward(ann.submit(address, key=shop.api_key)) == expected
    for wanted in (
        "https://evil.example/integrations",
        "https://app.example.com.evil.example/integrations",
        "https://app.example.com@evil.example/integrations",
        "https://app.example.com/integrations-of-evil",
        "https://app.example.com/integrations/../evil",
        "https://app.example.com/integrations/%2e%2e/evil",
        "https://app.example.com/integrations\\@evil.example",
        "https://app.example.com:8443/integrations",
        "http://app.example.com/integrations",
        "//evil.example/integrations",
        "/\\evil.example",
        "javascript:alert(1)//https://app.example.com/integrations",
        "https://app.example.com/integrations#x",
        " https://app.example.com/integrations",
        "https://app.example.com/integrations\n",
        "https:app.example.com/integrations",
    ):
        ann = site.browser()
        answer = ann.submit(f"{KEY}&{_query(return_to=wanted)}", key=shop.api_key)
        assert answer.status_code == 303, wanted
        assert answer.headers["location"].startswith("/flowmate/links?tenant=acme"), wanted


def _query(**values: str) -> str:
    from urllib.parse import urlencode

    return urlencode(values)
