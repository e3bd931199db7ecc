"""Consents in a browser, and the attacks on them (RFC 9700; cross-tool takeover COAT, CORF, session fixation COSF)."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
from nasty import Nasty, busy, refused
from oauth1_server import OAuth1Server
from oidc import Oidc
from pages_harness import HOME, TENANT, Browser, Site, consented, onward, path_of, query_of, read_page, tags_of

from flowmate_airflow.auth import connections
from flowmate_airflow.auth.connections import ANY, Stored
from flowmate_airflow.auth.consents import context_of
from flowmate_airflow.store import linked, logins
from flowmate_airflow.store.linked import Linked

NEW = f"/flowmate/links/new/shop?tenant={TENANT}&method=consent"


def begun(browser: Browser, tenant: str = TENANT, connector: str = "shop", **fields: str) -> str:
    """Begin a login, and return where the browser goes."""
    address = f"/flowmate/links/new/{connector}?tenant={tenant}&method=consent"
    return onward(browser.submit(address, **fields))


def link_of(site: Site, tenant: str = TENANT, connector: str = "shop") -> Linked | None:
    return linked.find(site.world.store, tenant, connector)


def refused_with(answer: httpx.Response, status: int, text: str) -> None:
    """Check that a page says why not, and nothing of what was sent."""
    assert answer.status_code == status, answer.text
    assert text in answer.text
    for name in ("code=", "state=", "Traceback"):
        assert name not in answer.text


def test_the_page_before_the_consent_says_what_is_asked_and_why(site: Site, shop: Nasty) -> None:
    page = site.browser().get(NEW).text
    for text in ("To read your records.", "To change them.", "api.shop.example", "Continue to The shop"):
        assert text in page
    assert read_page(page).inputs.keys() == {"field.region", "field.client_id", "field.client_secret"}
    context = context_of(TENANT, "shop", "consent")
    assert f"{HOME}/flowmate/links/callback/shop/{context}" in page


def test_a_consent_links(site: Site, shop: Nasty) -> None:
    ann = site.browser()
    address = begun(ann, region="eu")
    asked = query_of(address)
    assert address.startswith(f"{shop.url}/authorize?")
    assert asked["redirect_uri"] == f"{HOME}/flowmate/links/callback/shop/{context_of(TENANT, 'shop', 'consent')}"
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["state"]) >= 43
    answer = ann.get(consented(shop, address))
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/flowmate/links?tenant={TENANT}&done=shop"
    assert "The shop is linked." in ann.get(answer.headers["location"]).text
    assert site.after == [(TENANT, "shop")]
    stored = connections.read("flowmate.shop.acme")
    assert stored is not None
    assert stored.grant is not None
    assert shop.is_valid(stored.grant.access_token)
    assert stored.extra["region"] == "eu"
    found = link_of(site)
    assert found is not None
    assert (found.method, found.problem) == ("consent", None)


def test_the_cookie_of_a_login_is_for_the_way_back_alone(site: Site, shop: Nasty) -> None:
    ann = site.browser()
    hidden = read_page(ann.get(NEW).text).hidden
    answer = ann.post(NEW, hidden)
    (cookie,) = [each for each in answer.headers.get_list("set-cookie") if "flowmate_login_" in each]
    for part in ("HttpOnly", "SameSite=lax", "Path=/flowmate/links", "Max-Age=600"):
        assert part in cookie
    back = ann.get(consented(shop, onward(answer)))
    assert any("flowmate_login_" in each and "Max-Age=0" in each for each in back.headers.get_list("set-cookie"))


def test_each_tenant_connector_and_method_has_a_way_back_of_its_own(site: Site, shop: Nasty) -> None:
    site.add_connector("other", {"consent": shop.auth(), "second": shop.auth()})
    site.world.add_application("other", shop)
    ann = site.browser()
    asked = [("acme", "shop"), ("globex", "shop"), ("acme", "other")]
    found = {query_of(begun(ann, tenant, connector))["redirect_uri"] for tenant, connector in asked}
    second = onward(ann.submit("/flowmate/links/new/other?tenant=acme&method=second"))
    assert len(found | {query_of(second)["redirect_uri"]}) == 4
    assert query_of(begun(site.browser()))["redirect_uri"] in found  # and it stays the same


# --- the attacks


def test_a_state_is_good_once(site: Site, shop: Nasty) -> None:
    ann = site.browser()
    back = consented(shop, begun(ann))
    cookies = dict(ann.client.cookies)
    assert ann.get(back).status_code == 303
    ann.client.cookies.update(cookies)
    refused_with(ann.get(back), 400, "There is no such login")
    assert len(shop.called("/token")) == 1


def test_of_two_who_come_with_a_state_at_once_one_is_served(site: Site, shop: Nasty) -> None:
    ann = site.browser()
    back = consented(shop, begun(ann))
    twin = site.browser()
    twin.client.cookies.update(ann.client.cookies)
    answers: list[int] = []
    ready = threading.Barrier(2)

    def come(browser: Browser) -> None:
        ready.wait()
        answers.append(browser.get(back).status_code)

    threads = [threading.Thread(target=come, args=(browser,)) for browser in (ann, twin)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [303, 400]
    assert len(shop.called("/token")) == 1


@pytest.mark.parametrize("state", ["", "x", "x" * 5000, "é", "%00"])
def test_a_state_that_is_none_is_refused(site: Site, shop: Nasty, state: str) -> None:
    context = context_of(TENANT, "shop", "consent")
    answer = site.browser().get(f"/flowmate/links/callback/shop/{context}?state={state}&code=canary-code")
    refused_with(answer, 400, "There is no such login")
    assert "canary" not in answer.text


def test_an_answer_for_another_tenant_or_connector_is_refused(site: Site, shop: Nasty) -> None:
    """COAT and CORF: what a provider answers under one context never comes to another."""
    site.add_connector("evil", {"consent": shop.auth()})
    site.world.add_application("evil", shop)
    for path in (
        f"shop/{context_of('globex', 'shop', 'consent')}",
        f"shop/{context_of(TENANT, 'shop', 'key')}",
        f"evil/{context_of(TENANT, 'evil', 'consent')}",
        f"evil/{context_of(TENANT, 'shop', 'consent')}",
        "shop/0000000000000000",
    ):
        ann = site.browser()
        back = consented(shop, begun(ann))
        slipped = f"/flowmate/links/callback/{path}?{urlsplit(back).query}"
        refused_with(ann.get(slipped), 400, "This answer belongs elsewhere")
        refused_with(ann.get(back), 400, "There is no such login")  # it is over, whatever was wrong
    assert linked.find_all(site.world.store) == []
    assert shop.called("/token") == []


def test_a_state_is_not_good_for_another_logins_code(site: Site, shop: Nasty) -> None:
    """Swapped between tenants: both of the same person in the same browser."""
    ann = site.browser()
    acme, globex = begun(ann), begun(ann, "globex")
    code = query_of(consented(shop, globex))["code"]
    path = path_of(query_of(acme)["redirect_uri"])
    answer = ann.get(f"{path}?{urlencode({'state': query_of(acme)['state'], 'code': code})}")
    # The code is bound to the other address of the way back, and to the other verifier.
    refused_with(answer, 422, "This did not work")
    assert linked.find_all(site.world.store) == []


def test_a_login_is_finished_in_the_browser_that_began(site: Site, shop: Nasty) -> None:
    """COSF: whoever began a login cannot let somebody else finish it."""
    attacker, victim = site.browser(), site.browser()
    back = consented(shop, begun(attacker))
    refused_with(victim.get(back), 403, "This login began in another browser")
    refused_with(attacker.get(back), 400, "There is no such login")
    assert linked.find_all(site.world.store) == []
    assert shop.called("/token") == []


def test_the_cookie_of_another_login_does_not_do(site: Site, shop: Nasty) -> None:
    attacker, victim = site.browser(), site.browser()
    back = consented(shop, begun(attacker))
    begun(victim)
    theirs = next(name for name in attacker.client.cookies if name.startswith("flowmate_login_"))
    own = next(name for name in victim.client.cookies if name.startswith("flowmate_login_"))
    assert theirs != own
    victim.client.cookies.set(theirs, victim.client.cookies[own])
    refused_with(victim.get(back), 403, "This login began in another browser")


@pytest.mark.parametrize("user", ["bob", "signed-out"])
def test_a_login_is_finished_by_who_began(site: Site, shop: Nasty, user: str) -> None:
    ann = site.browser()
    back = consented(shop, begun(ann))
    ann.client.cookies.set("_token", user)
    refused_with(ann.get(back), 403, "Somebody else began this login")
    assert shop.called("/token") == []


def test_a_right_that_was_taken_away_meanwhile_is_gone(site: Site, shop: Nasty) -> None:
    ann = site.browser()
    back = consented(shop, begun(ann))
    site.manager.denied = {("ann", "POST")}
    refused_with(ann.get(back), 403, "Not allowed")
    assert shop.called("/token") == []


def test_a_login_is_over_after_ten_minutes(site: Site, shop: Nasty, monkeypatch: pytest.MonkeyPatch) -> None:
    assert timedelta(minutes=10) == logins.LIFETIME
    ann = site.browser()
    back = consented(shop, begun(ann))
    late = logins.now() + logins.LIFETIME
    monkeypatch.setattr(logins, "now", lambda: late)
    refused_with(ann.get(back), 410, "This login is over")
    assert shop.called("/token") == []


def test_an_answer_that_says_something_twice_is_refused(site: Site, shop: Nasty) -> None:
    ann = site.browser()
    back = consented(shop, begun(ann))
    refused_with(ann.get(f"{back}&code=another"), 400, "This answer is not clear")
    assert shop.called("/token") == []


def test_who_answers_is_compared_with_who_was_asked(site: Site, shop: Nasty) -> None:
    """RFC 9207: an answer of another provider is refused before its code is spent anywhere."""
    site.add_connector("shop", {"consent": shop.auth(issuer=shop.url, require_issuer=True)})
    for iss in ("https://evil.example", None):
        ann = site.browser()
        shop.more_on_return = {} if iss is None else {"iss": iss}
        answer = ann.get(consented(shop, begun(ann)))
        refused_with(answer, 422, "This did not work")
    assert shop.called("/token") == []
    shop.more_on_return = {"iss": shop.url}
    ann = site.browser()
    assert ann.get(consented(shop, begun(ann))).status_code == 303


# --- what may go otherwise


def test_a_person_who_says_no_can_try_again(site: Site, shop: Nasty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__RETURN_URLS", "https://app.example.com/")
    shop.denies = True
    ann = site.browser()
    address = f"{NEW}&return_to=https://app.example.com/x"
    answer = ann.get(consented(shop, onward(ann.submit(address))))
    refused_with(answer, 403, "You did not allow it")
    links = read_page(answer.text).links
    assert "https://app.example.com/x?link=shop&status=denied" in links
    again = next(link for link in links if link.startswith("/flowmate/links/new/shop"))
    shop.denies = False
    done = ann.get(consented(shop, onward(ann.submit(again))))
    assert done.headers["location"] == "https://app.example.com/x?link=shop&status=linked"


def test_what_a_provider_says_is_text(site: Site, shop: Nasty) -> None:
    ann = site.browser()
    asked = query_of(begun(ann))
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    back = {"state": asked["state"], "error": f"server_error{evil}", "error_description": evil}
    answer = ann.get(f"{path_of(asked['redirect_uri'])}?{urlencode(back)}")
    assert answer.status_code == 422
    assert not {tag for tag, _ in tags_of(answer.text)} & {"script", "img"}


def test_a_redirect_that_is_not_registered_links_nothing(site: Site, shop: Nasty, oidc: Oidc) -> None:
    """The provider keeps the browser and says so itself; what began here is over after ten minutes."""
    site.add_connector("id", {"consent": oidc.auth()})
    connections.write(Stored("flowmate.id", login="flowmate", password="the/secret+of the:client"), expect=ANY)
    ann = site.browser()
    address = begun(ann, connector="id")
    with pytest.raises(AssertionError, match="redirect_uri"):
        oidc.consent(address)
    assert link_of(site, connector="id") is None


def test_a_real_provider(site: Site, oidc: Oidc) -> None:
    site.add_connector("id", {"consent": oidc.auth()})
    connections.write(Stored("flowmate.id", login="flowmate", password="the/secret+of the:client"), expect=ANY)
    ann = site.browser()
    address = begun(ann, connector="id")
    oidc.allow(query_of(address)["redirect_uri"])
    denied = ann.get(path_of(oidc.consent(address, allow=False)))
    refused_with(denied, 403, "You did not allow it")
    address = begun(ann, connector="id")
    answer = ann.get(path_of(oidc.consent(address)))
    assert answer.status_code == 303, answer.text
    found = link_of(site, connector="id")
    assert found is not None
    assert found.problem is None
    back = begun(ann, connector="id")
    strange = oidc.consent(back).replace("iss=", "was=")
    refused_with(ann.get(path_of(strange)), 422, "which provider")


def test_three_legs_of_oauth_1(site: Site, oauth1_server: OAuth1Server) -> None:
    site.add_connector("old", {"consent": oauth1_server.auth(scopes={"all": "To read."})})
    application = Stored("flowmate.old", login=oauth1_server.consumer_key, password=oauth1_server.consumer_secret)
    connections.write(application, expect=ANY)

    def back_of(browser: Browser) -> str:
        told = oauth1_server.consent(address := begun(browser, connector="old"))
        assert "state" in told
        found = oauth1_server.store.requested[query_of(address)["oauth_token"]]["callback"]
        return f"{urlsplit(found).path}?{urlencode(told)}"

    ann = site.browser()
    assert ann.get(back_of(ann)).status_code == 303
    found = link_of(site, connector="old")
    assert found is not None
    assert found.problem is None
    other = back_of(ann)
    swapped = f"{back_of(ann).partition('?')[0]}?{urlencode({**query_of(back_of(ann)), 'oauth_token': 'x'})}"
    refused_with(ann.get(swapped), 422, "another login")
    refused_with(site.browser().get(other), 403, "another browser")
    oauth1_server.denies = True
    refused_with(ann.get(back_of(ann)), 403, "You did not allow it")


def test_less_than_was_asked_for_is_said(site: Site, shop: Nasty) -> None:
    shop.scope = "read"
    ann = site.browser()
    answer = ann.get(consented(shop, begun(ann)))
    assert answer.status_code == 200
    assert "What needs write will not work." in answer.text
    assert link_of(site) is not None


@pytest.mark.parametrize(("failure", "status"), [(busy, 503), (refused("invalid_grant"), 422)])
def test_a_code_that_brings_nothing_is_said(site: Site, shop: Nasty, failure: Any, status: int) -> None:
    ann = site.browser()
    back = consented(shop, begun(ann))
    code = query_of(back)["code"]
    shop.next(failure)
    answer = ann.get(back)
    refused_with(answer, status, "This did not work")
    assert code not in answer.text
    assert link_of(site) is None


def test_without_an_application_nothing_begins(site: Site, shop: Nasty) -> None:
    connections.remove("flowmate.shop")
    answer = site.browser().submit(NEW)
    assert answer.status_code == 409
    assert "no application to log in with" in answer.text
    own = site.browser().submit(NEW, client_id=shop.client_id, client_secret=shop.client_secret)
    assert query_of(onward(own))["client_id"] == shop.client_id


def test_a_browser_that_is_not_at_the_public_address_goes_there(site: Site, shop: Nasty) -> None:
    inside = site.browser(home="http://airflow.internal:8080")
    answer = inside.submit(NEW)
    assert answer.status_code == 409
    assert f"{HOME}{NEW}" in read_page(answer.text).links
    assert inside.submit(NEW.replace("consent", "key"), key=shop.api_key).status_code == 303


def test_without_a_public_address_nothing_begins(site: Site, shop: Nasty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__PUBLIC_URL", "")
    answer = site.browser().submit(NEW)
    assert answer.status_code == 409
    assert "public_url" in answer.text


def test_a_connector_that_is_gone_by_then_links_nothing(site: Site, shop: Nasty) -> None:
    ann = site.browser()
    back = consented(shop, begun(ann))
    site.add_connector("shop", {"key": {"type": "api_key"}})
    assert ann.get(back).status_code == 409
    assert link_of(site) is None


def test_no_access_log_has_a_code_or_a_state(site: Site, shop: Nasty) -> None:
    ann = site.browser()
    back = consented(shop, begun(ann))
    ann.get(back)
    ann.get("/flowmate/links/callback/shop/x/../y?state=canary")
    assert site.seen[-2] == "/flowmate/links/callback/***?***"
    assert not any("state" in line or "canary" in line for line in site.seen)


def test_no_secret_of_a_login_lies_in_the_store(site: Site, shop: Nasty) -> None:
    ann = site.browser()
    address = begun(ann, client_id=shop.client_id, client_secret=shop.client_secret)
    with site.world.store.read() as connection:
        rows = connection.execute(site.world.store.tables.logins.select()).all()
    text = repr([tuple(map(str, row)) for row in rows])
    assert len(rows) == 1
    cookies = [value for name, value in ann.client.cookies.items() if name.startswith("flowmate_login_")]
    for secret in (query_of(address)["state"], shop.client_secret, *cookies):
        assert secret not in text
