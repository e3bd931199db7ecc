"""Links from a form or a consent: checked, kept whole, used by others, and ended."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from links_harness import World, world
from nasty import Nasty, broken, busy, html, refused

from flowmate_airflow.auth import connections, consents, linkchecks, linkkeeping, links, origins, probing, unlinking
from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.forms import FormError
from flowmate_airflow.auth.grants import Grant
from flowmate_airflow.auth.links import LinkError
from flowmate_airflow.auth.tokens import Login
from flowmate_airflow.store import linked, renewals, tenants
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.linked import SymlinkError

BACK = "http://127.0.0.1:9/callback"
CONN = "flowmate.shop.acme"


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An Airflow without Connections."""
    with world(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What is announced."""
    news: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(linkkeeping, "announce", lambda event, data: news.append((event, data)))
    return news


def shop(there: World, nasty: Nasty) -> None:
    """Add a connector with a method of each kind."""
    verify = {"url": f"{nasty.url}/records"}
    session = {
        "method": "POST",
        "url": f"{nasty.url}/session",
        "json": {"username": "{username}", "password": "{password}"},
    }
    session_header = {"X-Session": "{token}"}
    auth: dict[str, dict[str, Any]] = {
        "key": {
            **{"type": "api_key", "private": True, "optional": {"subdomain": "extra.subdomain"}},
            **{"verify": verify},
        },
        "consent": nasty.auth(optional={"subdomain": "extra.subdomain"}),
        "client": nasty.auth(grant="client_credentials", authorize_url=None),
        "session": {
            **{"type": "session", "private": True, "login": session, "token_path": "data.token"},
            **{"verify": {**verify, "headers": session_header}},
        },
        "unchecked": {"type": "bearer"},
    }
    there.add_connector("shop", auth)
    there.add_application("shop", nasty)


def consented(there: World, nasty: Nasty, tenant: str = "acme", **values: str) -> linked.Linked:
    """Link by a consent."""
    manifest = links.manifest_in(there.catalog, "shop")
    method = manifest.auth["consent"]
    account = links.stored_for(manifest, tenant, "consent", values).account()
    application = origins.application("shop")
    begun = consents.begin(method, account, application, BACK, "s")
    login = consents.complete(method, account, application, BACK, begun.kept, nasty.consent(begun.url))
    return links.finish(there.catalog, tenant, "shop", "consent", values, login, store=there.store)


def expire() -> None:
    """Let the access token be over."""

    def older(stored: connections.Stored) -> connections.Stored:
        assert stored.grant is not None
        return stored.with_login(Login(replace(stored.grant, expires_at=1.0)))

    assert connections.change(CONN, older) is not None


def link(there: World, tenant: str = "acme", method: str = "key", **values: Any) -> linked.Linked:
    return links.link(there.catalog, tenant, "shop", method, values, store=there.store)


def key_link(there: World, nasty: Nasty, tenant: str = "acme", **values: Any) -> linked.Linked:
    return link(there, tenant, key=nasty.api_key, **values)


# --- forms


def test_a_key_is_tried_kept_and_announced(there: World, nasty: Nasty, told: list[tuple[str, dict[str, Any]]]) -> None:
    shop(there, nasty)
    made = key_link(there, nasty, subdomain="acme-shop")
    assert (made.conn_id, made.method, made.problem) == (CONN, "key", None)
    assert made.checked_at is not None
    stored = connections.read(CONN)
    assert stored is not None
    assert (stored.conn_type, stored.password) == ("flowmate", nasty.api_key)
    assert stored.extra == {
        "auth": "key",
        "subdomain": "acme-shop",
        "flowmate": {"connector": "shop", "method": "key", "tenant": "acme"},
    }
    assert linked.find(there.store, "acme", "shop") == made
    assert tenants.find_tenant(there.store, "acme") is not None
    assert told == [
        (
            "link.created",
            {"tenant": "acme", "connector": "shop", "method": "key", "conn_id": CONN, "relinked": False},
        )
    ]
    assert nasty.api_key not in json.dumps(there.raw(), default=str)


def test_a_key_that_is_not_right_is_not_kept(
    there: World, nasty: Nasty, told: list[tuple[str, dict[str, Any]]]
) -> None:
    shop(there, nasty)
    with pytest.raises(LinkError, match=r"the credentials are not right: .* 401") as caught:
        link(there, key="hunter22-hunter22")
    assert caught.value.kind == "refused"
    assert "hunter22" not in str(caught.value)
    assert connections.read(CONN) is None
    assert linked.find_all(there.store) == []
    assert tenants.list_tenants(there.store) == []
    assert told == []


def test_a_relink_that_is_not_right_leaves_what_was(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    before = key_link(there, nasty)
    with pytest.raises(LinkError):
        link(there, key="wrong")
    assert linked.find(there.store, "acme", "shop") == before
    stored = connections.read(CONN)
    assert stored is not None
    assert stored.password == nasty.api_key


@pytest.mark.parametrize("failure", [busy, broken, html])
def test_a_provider_that_is_down_refuses_the_link_for_now(there: World, nasty: Nasty, failure: Any) -> None:
    shop(there, nasty)
    nasty.next(failure)
    if failure is html:  # any answer below 400 will do for a check
        assert key_link(there, nasty).problem is None
        return
    with pytest.raises(LinkError) as caught:
        key_link(there, nasty)
    assert caught.value.kind == "transient"
    assert connections.read(CONN) is None


def test_a_session_and_a_clients_own_grant_log_in_when_they_are_linked(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    user, password = nasty.user
    made = link(there, "acme", "session", username=user, password=password)
    stored = connections.read(made.conn_id)
    assert stored is not None
    assert (stored.login, stored.password) == nasty.user
    assert stored.grant is not None
    again = link(there, "acme", "client", client_id=nasty.client_id, client_secret=nasty.client_secret)
    assert again.method == "client"
    stored = connections.read(made.conn_id)
    assert stored is not None
    assert stored.grant is not None
    assert nasty.is_valid(stored.grant.access_token)
    assert (stored.login, stored.password) == (nasty.client_id, nasty.client_secret)


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("session", {"username": "ada", "password": "hunter22-hunter22"}),
        ("client", {"client_id": "app", "client_secret": "hunter22-hunter22"}),
    ],
)
def test_a_login_that_fails_keeps_nothing(there: World, nasty: Nasty, method: str, values: dict[str, str]) -> None:
    shop(there, nasty)
    with pytest.raises(LoginError) as caught:
        link(there, "acme", method, **values)
    assert "hunter22" not in str(caught.value)
    assert CONN not in there.raw()


def test_fields_are_checked_before_anybody_is_asked(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    with pytest.raises(FormError) as caught:
        link(there, keys="x")
    assert set(caught.value.problems) == {"keys", "key"}
    assert nasty.calls == []


@pytest.mark.parametrize(
    "tenant", ["a/b", 'a"b', "a'b", "", "x" * 300, "../a", "a b", "a\n", "ä", ".a", None, 5, "a@" * 49 + "aa"]
)
def test_a_tenants_id_that_is_none_is_refused(there: World, nasty: Nasty, tenant: Any) -> None:
    shop(there, nasty)
    if tenant == "a@" * 49 + "aa":  # it is a tenant's id, yet no conn_id of Airflow's is long enough
        with pytest.raises(LinkError, match="is too long for a Connection to shop"):
            key_link(there, nasty, tenant)
    else:
        with pytest.raises(LinkError, match="cannot be a tenant's id"):
            key_link(there, nasty, tenant)
        with pytest.raises(LinkError):
            links.finish(there.catalog, tenant, "shop", "consent", {}, Login(Grant("x")), store=there.store)
    assert list(there.raw()) == ["flowmate.shop"]
    assert tenants.list_tenants(there.store) == []


def test_a_tenant_with_an_at_sign(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    assert key_link(there, nasty, "ada@example.com").conn_id == "flowmate.shop.ada(at)example.com"


def test_what_is_not_there_is_told(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    for connector, method, text in (
        ("shopp", "key", 'there is no connector "shopp"; did you mean `shop`?'),
        ("shop", "kex", '`shop` has no method "kex"; did you mean `key`?'),
        ("shop", None, "`shop` has several methods; name one: client, consent, key, session, unchecked"),
        ("shop", "consent", "the method `consent` of `shop` needs a person's consent"),
        ("faker", "x", "needs no credentials|there is no connector"),
    ):
        with pytest.raises(LinkError, match=text.replace("?", r"\?")):
            links.link(there.catalog, "acme", connector, method, {}, store=there.store)
    (there.folder / "shop" / "connector.yaml").write_text("connector: 1\nname: shop\n")
    there.catalog = type(there.catalog)(there.folder)
    with pytest.raises(LinkError, match='the manifest of the connector "shop" is wrong'):
        key_link(there, nasty)


# --- the connector's own check


def test_a_connector_without_a_request_for_it_is_asked_itself(there: World) -> None:
    there.add_connector("shop", {"key": {"type": "api_key"}})
    assert link(there, key="right-key").checked_at is not None
    with pytest.raises(LinkError, match=r"^shop says that they do not work: the key \*\*\* is not known$"):
        link(there, key="hunter22-hunter22")
    unchecked = links.link(
        there.catalog, "acme", "shop", "key", {"key": "hunter22-hunter22"}, component=False, store=there.store
    )
    assert unchecked.checked_at is None
    found = linkchecks.check(there.catalog, "acme", "shop", store=there.store)
    assert found.problem == "shop says that they do not work: the key *** is not known"
    kept = linked.find(there.store, "acme", "shop")
    assert kept is not None
    assert kept.problem == found.problem


def test_without_a_place_to_run_it_the_link_is_kept_unchecked(there: World, monkeypatch: pytest.MonkeyPatch) -> None:
    there.add_connector("shop", {"key": {"type": "api_key"}})
    monkeypatch.setenv("AIRFLOW__FLOWMATE__RUNTIME", "docker")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    made = link(there, key="right-key")
    assert (made.checked_at, made.problem) == (None, None)


# --- consents


def test_a_consent_is_kept_with_its_refresh_token(
    there: World, nasty: Nasty, told: list[tuple[str, dict[str, Any]]]
) -> None:
    shop(there, nasty)
    made = consented(there, nasty, subdomain="acme-shop")
    stored = connections.read(CONN)
    assert stored is not None
    assert stored.grant is not None
    assert stored.grant.refresh_token is not None
    assert stored.extra["subdomain"] == "acme-shop"
    assert (made.problem, made.method) == (None, "consent")
    assert [event for event, _ in told] == ["link.created"]
    text = json.dumps([there.raw(), [str(each) for each in told]], default=str)
    assert stored.grant.refresh_token not in text
    assert stored.grant.access_token not in text


def test_a_consent_that_does_not_work_is_kept_with_the_problem(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    manifest = links.manifest_in(there.catalog, "shop")
    method, application = manifest.auth["consent"], origins.application("shop")
    begun = consents.begin(method, Account("c"), application, BACK, "s")
    login = consents.complete(method, Account("c"), application, BACK, begun.kept, nasty.consent(begun.url))
    nasty.expire()
    made = links.finish(there.catalog, "acme", "shop", "consent", {}, login, store=there.store)
    assert made.problem is not None
    assert "401" in made.problem
    assert connections.read(CONN) is not None


def test_a_new_login_heals_what_needed_one_and_keeps_the_field_map_and_the_own_application(
    there: World, nasty: Nasty
) -> None:
    shop(there, nasty)
    consented(there, nasty, client_id=nasty.client_id, client_secret=nasty.client_secret)
    links.set_field_map("acme", "shop", {"orders": ["id"]}, catalog=there.catalog, store=there.store)
    turn = renewals.take(there.store, CONN, "me", b"x", 60)
    assert turn.kind == "taken"
    renewals.need_login(there.store, CONN, "me", "it is over")
    again = consented(there, nasty)
    assert again.field_map == {"orders": ["id"]}
    row = renewals.status(there.store, CONN)
    assert row is not None
    assert row.status == renewals.GOOD
    stored = connections.read(CONN)
    assert stored is not None
    assert stored.extra["client_secret"] == nasty.client_secret
    key_link(there, nasty)
    stored = connections.read(CONN)
    assert stored is not None
    assert "client_secret" not in stored.extra
    assert stored.grant is None


def test_a_token_that_is_larger_than_other_columns(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    nasty.token_size = 20_000
    consented(there, nasty)
    stored = connections.read(CONN)
    assert stored is not None
    assert stored.grant is not None
    assert len(stored.grant.access_token) == 20_000


def test_what_a_login_tells_that_no_column_takes_is_told_in_a_sentence(there: World, nasty: Nasty) -> None:
    there.add_connector("shop", {"consent": nasty.auth(token_metadata={"at": "host"})})
    there.add_application("shop", nasty)
    with pytest.raises((LoginError, StoreError), match="host"):
        links.finish(
            there.catalog, "acme", "shop", "consent", {}, Login(Grant("t"), {"host": "x" * 501}), store=there.store
        )
    assert CONN not in there.raw()
    assert linked.find_all(there.store) == []


# --- checks of what is linked


def test_a_check_gets_fresh_credentials(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    consented(there, nasty)
    expire()
    assert linkchecks.check(there.catalog, "acme", "shop", store=there.store).problem is None
    assert nasty.refreshes == 1


def test_a_check_says_that_a_new_login_is_needed_and_that_a_connection_is_gone(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    consented(there, nasty)
    expire()
    nasty.next(refused("invalid_grant"))
    found = linkchecks.check(there.catalog, "acme", "shop", store=there.store)
    assert found.problem is not None
    row = renewals.status(there.store, CONN)
    assert row is not None
    assert row.status == renewals.NEEDS_REAUTH
    connections.remove(CONN)
    found = linkchecks.check(there.catalog, "acme", "shop", store=there.store)
    assert found.problem == f"its Connection `{CONN}` is gone; link it again"
    with pytest.raises(LinkError, match="the tenant bcme has not linked shop"):
        linkchecks.check(there.catalog, "bcme", "shop", store=there.store)
    assert linkchecks.after_link(there.catalog, "acme", "shop", store=there.store) == found.problem


# --- other links' credentials


def test_a_symlink_uses_another_links_credentials_and_has_none_of_its_own(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    consented(there, nasty)
    key_link(there, nasty, "bcme")
    made = links.link(there.catalog, "bcme", "shop", None, {}, symlink=("acme", "shop"), store=there.store)
    assert (made.conn_id, made.method, made.symlink) == (CONN, "consent", ("acme", "shop"))
    assert "flowmate.shop.bcme" not in there.raw()
    assert linkchecks.check(there.catalog, "bcme", "shop", store=there.store).problem is None
    key_link(there, nasty, "bcme")
    assert connections.read("flowmate.shop.bcme") is not None
    assert linked.users_of(there.store, "acme", "shop") == []


def test_symlinks_that_cannot_be_are_refused(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    there.add_connector("mail", {"other": {"type": "bearer"}})
    key_link(there, nasty)
    for tenant, connector, target, text in (
        ("acme", "shop", ("acme", "shop"), "its own credentials"),
        ("bcme", "shop", ("ccme", "shop"), "has not linked shop"),
        ("bcme", "mail", ("acme", "shop"), "`mail` has no method `key`"),
    ):
        with pytest.raises((LinkError, SymlinkError), match=text):
            links.link(there.catalog, tenant, connector, None, {}, symlink=target, store=there.store)
    with pytest.raises(LinkError, match="no method and no fields"):
        links.link(there.catalog, "bcme", "shop", "key", {}, symlink=("acme", "shop"), store=there.store)


def test_who_is_used_by_others_is_unlinked_by_force_only(
    there: World, nasty: Nasty, told: list[tuple[str, dict[str, Any]]]
) -> None:
    shop(there, nasty)
    consented(there, nasty)
    links.link(there.catalog, "bcme", "shop", None, {}, symlink=("acme", "shop"), store=there.store)
    with pytest.raises(SymlinkError, match="are used by bcme/shop; unlink these first"):
        unlinking.unlink(there.catalog, "acme", "shop", store=there.store)
    assert nasty.called("/revoke") == []
    told.clear()
    done = unlinking.unlink(there.catalog, "acme", "shop", force=True, store=there.store)
    assert done is not None
    assert [user.tenant for user in done.users] == ["bcme"]
    assert linked.find_all(there.store) == []
    assert [(event, data["tenant"]) for event, data in told] == [("link.removed", "bcme"), ("link.removed", "acme")]


def test_a_symlink_is_unlinked_alone(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    consented(there, nasty)
    links.link(there.catalog, "bcme", "shop", None, {}, symlink=("acme", "shop"), store=there.store)
    done = unlinking.unlink(there.catalog, "bcme", "shop", store=there.store)
    assert done is not None
    assert done.revoked is None
    assert connections.read(CONN) is not None
    assert nasty.called("/revoke") == []


# --- the end


def test_unlinking_gives_tokens_back_and_leaves_nothing(
    there: World, nasty: Nasty, told: list[tuple[str, dict[str, Any]]]
) -> None:
    shop(there, nasty)
    consented(there, nasty)
    stored = connections.read(CONN)
    assert stored is not None
    assert stored.grant is not None
    done = unlinking.unlink(there.catalog, "acme", "shop", store=there.store)
    assert done is not None
    assert (done.revoked, done.problem) == (True, None)
    assert not nasty.is_valid(stored.grant.access_token)
    assert CONN not in there.raw()
    assert linked.find_all(there.store) == []
    assert renewals.status(there.store, CONN) is None
    assert told[-1] == (
        "link.removed",
        {"tenant": "acme", "connector": "shop", "method": "consent", "revoked": True},
    )
    assert unlinking.unlink(there.catalog, "acme", "shop", store=there.store) is None


def test_a_provider_that_takes_nothing_back_is_told_and_keeps_the_link_when_asked(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    consented(there, nasty)
    nasty.next(broken, broken)
    with pytest.raises(LinkError, match=r"is kept: the provider has not taken its tokens back"):
        unlinking.unlink(there.catalog, "acme", "shop", must_revoke=True, store=there.store)
    assert connections.read(CONN) is not None
    nasty.next(broken, broken)
    done = unlinking.unlink(there.catalog, "acme", "shop", store=there.store)
    assert done is not None
    assert done.revoked is False
    assert done.problem is not None
    assert CONN not in there.raw()


def test_a_link_to_a_connector_that_is_gone_can_be_removed(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    consented(there, nasty)
    (there.folder / "shop" / "connector.yaml").unlink()
    there.catalog = type(there.catalog)(there.folder)
    found = linkchecks.check(there.catalog, "acme", "shop", store=there.store)
    assert found.problem is not None
    assert "there is no connector" in found.problem
    done = unlinking.unlink(there.catalog, "acme", "shop", store=there.store)
    assert done is not None
    assert done.revoked is False
    assert CONN not in there.raw()


def test_what_was_removed_by_halves_is_removed_the_second_time(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    key_link(there, nasty)
    linked.remove(there.store, "acme", "shop")
    assert unlinking.unlink(there.catalog, "acme", "shop", store=there.store) is None
    assert CONN not in there.raw()


# --- field maps


def test_field_maps_of_both_forms(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    key_link(there, nasty)
    for field_map in (
        {"orders": ["id", "total"], "customers": "*"},
        {"Contact": {"name": "Contact", "selected": ["Id", "Email"]}},
    ):
        made = links.set_field_map("acme", "shop", field_map, catalog=there.catalog, store=there.store)
        assert made.field_map == field_map
    cleared = links.set_field_map("acme", "shop", None, catalog=there.catalog, store=there.store)
    assert cleared.field_map is None
    with pytest.raises(LinkError, match=r"the field map cannot be used: select\.orders"):
        links.set_field_map("acme", "shop", {"orders": "id"}, catalog=there.catalog, store=there.store)
    with pytest.raises(LinkError, match="the tenant bcme has not linked"):
        links.set_field_map("bcme", "shop", {"orders": "*"}, catalog=there.catalog, store=there.store)


def test_the_template_has_a_field_map_without_credentials(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    made = links.set_field_map("default", "shop", {"orders": "*"}, catalog=there.catalog, store=there.store)
    assert made.is_template
    with pytest.raises(LinkError, match="has not linked"):
        linkchecks.check(there.catalog, "default", "shop", store=there.store)
    with pytest.raises(LinkError, match="there is no connector"):
        links.set_field_map("default", "nothing", {"orders": "*"}, catalog=there.catalog, store=there.store)
    own = key_link(there, nasty, "default")
    assert not own.is_template
    assert own.field_map == {"orders": "*"}


# --- at once


def unchecked(there: World, **values: str) -> linked.Linked:
    return links.link(there.catalog, "acme", "shop", "unchecked", values, component=False, store=there.store)


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Return what the calls gave, made at the same moment."""
    barrier = threading.Barrier(len(calls))
    results: list[Any] = [None] * len(calls)

    def work(number: int) -> None:
        barrier.wait()
        try:
            results[number] = calls[number]()
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def agrees(there: World) -> linked.Linked | None:
    """Return the link, which must say what its Connection says."""
    row, stored = linked.find(there.store, "acme", "shop"), connections.read(CONN)
    assert (row is None) == (stored is None), (row, stored and stored.mark)
    if row is not None and stored is not None:
        assert row.method == stored.mark["method"] == stored.extra["auth"]
    return row


def test_of_two_who_link_the_same_at_once_one_wins_whole(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    user, password = nasty.user
    for _ in range(5):
        results = at_once(
            lambda: key_link(there, nasty, subdomain="one"),
            lambda: link(there, "acme", "session", username=user, password=password),
            lambda: unchecked(there, token="some-token-or-other"),
        )
        assert not [each for each in results if isinstance(each, Exception)], results
        row, stored = agrees(there), connections.read(CONN)
        assert row is not None
        assert stored is not None
        whole = {
            "key": (None, nasty.api_key, "one"),
            "session": (user, password, None),
            "unchecked": (None, "some-token-or-other", None),
        }
        assert (stored.login, stored.password, stored.extra.get("subdomain")) == whole[row.method]


def test_linking_and_unlinking_at_once_leaves_all_or_nothing(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    key_link(there, nasty)
    for _ in range(8):
        linking, unlinked = at_once(
            lambda: key_link(there, nasty),
            lambda: unlinking.unlink(there.catalog, "acme", "shop", store=there.store),
        )
        assert isinstance(linking, linked.Linked | LinkError), linking
        assert unlinked is None or isinstance(unlinked, unlinking.Unlinked), unlinked
        agrees(there)


def test_no_more_connectors_are_started_at_once_than_a_server_can_bear(
    there: World, nasty: Nasty, monkeypatch: pytest.MonkeyPatch
) -> None:
    consent = {key: value for key, value in nasty.auth().items() if key != "verify"}
    there.add_connector("shop", {"key": {"type": "api_key"}, "consent": consent})
    there.add_application("shop", nasty)
    full = threading.BoundedSemaphore(1)
    assert full.acquire()
    monkeypatch.setattr(probing, "_starting", full)
    with pytest.raises(LinkError, match="too many connectors are asked just now") as caught:
        link(there, key="right-key")
    assert caught.value.kind == "transient"
    assert there.raw().keys() == {"flowmate.shop"}
    made = consented(there, nasty)  # a code is spent: it is kept, and nobody knows yet whether it works
    assert (made.problem, made.checked_at) == (None, None)
    assert linkchecks.check(there.catalog, "acme", "shop", store=there.store) is probing.BUSY
    full.release()
    assert link(there, key="right-key").checked_at is not None


def test_a_link_made_while_its_connection_is_being_removed_gets_it_back(there: World, nasty: Nasty) -> None:
    shop(there, nasty)
    key_link(there, nasty)
    stored = connections.read(CONN)
    said = iter([False, True, True])  # the row of the link comes back between the look and the removal
    assert connections.remove(CONN, unless=lambda: next(said)) is False
    assert connections.read(CONN) == stored
    said = iter([False, True, False, False, False])  # and is gone again
    assert connections.remove(CONN, unless=lambda: next(said)) is True
    assert connections.read(CONN) is None


def test_nothing_is_kept_that_cannot_be_encrypted(there: World, nasty: Nasty, monkeypatch: pytest.MonkeyPatch) -> None:
    there.add_connector(
        "desk", {"key": {"type": "api_key", "private": True, "verify": {"url": f"{nasty.url}/records"}}}
    )
    from airflow.models import crypto  # after the world has chosen Airflow's home

    monkeypatch.setattr(crypto, "get_fernet", crypto._NullFernet)
    with pytest.raises(StoreError, match=r"must be stored encrypted, but \[core\] fernet_key is empty"):
        links.link(there.catalog, "acme", "desk", None, {"key": nasty.api_key})
    assert there.raw() == {}
    assert linked.find(there.store, "acme", "desk") is None
