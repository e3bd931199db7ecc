"""Links that are over while something is still registered with their credentials."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from links_harness import World, world
from nasty import Nasty, broken

from flowmate_airflow.auth import connections, consents, leaving, links, origins, tenants, unlinking
from flowmate_airflow.auth.backend import FlowMateBackend
from flowmate_airflow.auth.links import LinkError
from flowmate_airflow.store import endpoints, linked
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.subscriptions import ACTIVE, ENDED, MADE, Registration, Subscription, save

CONN = "flowmate.shop.acme"
BACK = "http://127.0.0.1:9/callback"


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nasty: Nasty) -> Iterator[World]:
    """An Airflow in which a tenant has linked a connector by a consent."""
    with world(tmp_path, monkeypatch) as made:
        made.add_connector("shop", {"consent": nasty.auth(), "key": {"type": "bearer"}})
        made.add_application("shop", nasty)
        consented(made, nasty)
        yield made


def consented(there: World, nasty: Nasty) -> linked.Linked:
    """Link by a consent."""
    manifest = links.manifest_in(there.catalog, "shop")
    method = manifest.auth["consent"]
    account = links.stored_for(manifest, "acme", "consent", {}).account()
    begun = consents.begin(method, account, origins.application("shop"), BACK, "s")
    login = consents.complete(method, account, origins.application("shop"), BACK, begun.kept, nasty.consent(begun.url))
    return links.finish(there.catalog, "acme", "shop", "consent", {}, login, component=False, store=there.store)


def register(store: Store, status: str = ACTIVE) -> None:
    """Let an address be registered with the link, or be taken back."""
    made = Registration("id", "aa", "shop/records", "orders", "https://x.example", connection=CONN, state=MADE)
    save(store, Subscription("orders", "first", "acme", status=status, current=made))  # type: ignore[arg-type]
    if status == ACTIVE:
        endpoints.token_of(store, "orders", "acme")


def ask() -> Any:
    """Ask for the Connection as the API server does for a task."""
    from airflow.models.connection import Connection

    backend = FlowMateBackend()
    backend._set_connection_class(Connection)
    return backend.get_connection(CONN, team_name=None)


def grant() -> Any:
    stored = connections.read(CONN)
    assert stored is not None
    assert stored.grant is not None
    return stored.grant


def test_tokens_are_given_back_when_what_was_registered_with_them_is_taken_back(there: World, nasty: Nasty) -> None:
    register(there.store)
    token = grant().access_token
    done = unlinking.unlink(there.catalog, "acme", "shop", store=there.store)
    assert done is not None
    assert (done.revoked, done.problem) == (None, leaving.TOLD)
    view = ask()
    assert (view.password, leaving.is_leaving(view.extra_dejson)) == (token, True)
    assert nasty.is_valid(token)
    register(there.store, ENDED)
    assert ask() is None
    assert CONN not in there.raw()
    assert not nasty.is_valid(token)
    assert endpoints.tenants_of(there.store, "orders") == []


def test_other_links_of_the_tenant_keep_their_addresses(there: World) -> None:
    there.add_connector("erp", {"key": {"type": "bearer"}})
    links.link(there.catalog, "acme", "erp", "key", {"token": "t"}, component=False, store=there.store)
    endpoints.token_of(there.store, "others", "acme")
    register(there.store)
    unlinking.unlink(there.catalog, "acme", "shop", store=there.store)
    register(there.store, ENDED)
    assert ask() is None
    assert endpoints.tenants_of(there.store, "others") == ["acme"]
    unlinking.unlink(there.catalog, "acme", "erp", store=there.store)
    assert endpoints.tenants_of(there.store, "others") == []


def test_what_has_to_be_given_back_before_keeps_the_link(there: World) -> None:
    register(there.store)
    with pytest.raises(LinkError, match="is kept: webhooks are registered with its credentials"):
        unlinking.unlink(there.catalog, "acme", "shop", must_revoke=True, store=there.store)
    assert linked.find(there.store, "acme", "shop") is not None
    assert not leaving.is_leaving((connections.read(CONN) or connections.Stored(CONN)).extra)


def test_a_provider_that_takes_nothing_back_holds_nothing_up(there: World, nasty: Nasty) -> None:
    register(there.store)
    unlinking.unlink(there.catalog, "acme", "shop", store=there.store)
    register(there.store, ENDED)
    nasty.next(broken, broken)
    assert ask() is None
    assert CONN not in there.raw()


def test_whatever_goes_wrong_it_stays_and_is_asked_for_again(there: World, monkeypatch: pytest.MonkeyPatch) -> None:
    register(there.store)
    unlinking.unlink(there.catalog, "acme", "shop", store=there.store)
    register(there.store, ENDED)
    with monkeypatch.context() as bad:
        bad.setattr(leaving, "is_needed", lambda *_: 1 / 0)
        assert ask() is not None
    assert ask() is None


def test_who_links_again_has_a_link_that_stays(there: World, nasty: Nasty) -> None:
    register(there.store)
    unlinking.unlink(there.catalog, "acme", "shop", store=there.store)
    consented(there, nasty)
    register(there.store, ENDED)
    view = ask()
    assert not leaving.is_leaving(view.extra_dejson)
    assert linked.find(there.store, "acme", "shop") is not None


def test_a_tenant_that_is_deleted_leaves_what_is_needed_to_take_things_back(there: World) -> None:
    register(there.store)
    list(tenants.delete(there.catalog, "acme", store=there.store))
    assert ask() is not None
    register(there.store, ENDED)
    assert ask() is None


def test_what_is_not_registered_goes_at_once(there: World) -> None:
    endpoints.token_of(there.store, "orders", "acme")
    register(there.store, ENDED)
    done = unlinking.unlink(there.catalog, "acme", "shop", store=there.store)
    assert done is not None
    assert done.revoked is True
    assert CONN not in there.raw()
    assert endpoints.tenants_of(there.store, "orders") == []


def test_who_links_again_while_tokens_are_given_back_keeps_the_new_ones(there: World, nasty: Nasty) -> None:
    register(there.store)
    unlinking.unlink(there.catalog, "acme", "shop", store=there.store)
    register(there.store, ENDED)

    def meanwhile(exchange: Any) -> None:
        links.link(there.catalog, "acme", "shop", "key", {"token": "t"}, component=False, store=there.store)
        exchange.reply(200, {})

    nasty.next(meanwhile)
    assert ask() is not None
    again = connections.read(CONN)
    assert again is not None
    assert again.password == "t"
    assert ask().password == "t"


def test_who_links_again_at_the_end_of_unlinking_keeps_the_new_credentials(
    there: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = linked.remove

    def meanwhile(*args: Any, **more: Any) -> Any:
        removed = remove(*args, **more)
        links.link(there.catalog, "acme", "shop", "key", {"token": "t"}, component=False, store=there.store)
        return removed

    monkeypatch.setattr(linked, "remove", meanwhile)
    unlinking.unlink(there.catalog, "acme", "shop", store=there.store)
    again = connections.read(CONN)
    assert linked.find(there.store, "acme", "shop") is not None
    assert again is not None
    assert again.password == "t"


def test_the_template_is_kept_when_its_own_link_is_over(there: World) -> None:
    links.set_field_map("default", "shop", {"orders": "*"}, catalog=there.catalog, store=there.store)
    links.link(there.catalog, "default", "shop", "key", {"token": "t"}, component=False, store=there.store)
    unlinking.unlink(there.catalog, "default", "shop", store=there.store)
    kept = linked.find(there.store, "default", "shop")
    assert kept is not None
    assert (kept.is_template, kept.field_map) == (True, {"orders": "*"})
    unlinking.unlink(there.catalog, "default", "shop", store=there.store)
    assert linked.find(there.store, "default", "shop") is None
