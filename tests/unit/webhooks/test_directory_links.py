"""The secrets of senders that FlowMate's own Connections hold: as they are stored, never renewed for a request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from links_harness import World, world

from flowmate_airflow.auth import renewing
from flowmate_airflow.auth.connections import ANY, Stored, write
from flowmate_airflow.auth.grants import MARK
from flowmate_airflow.store import linked
from flowmate_airflow.webhooks.directory import Directory, NoSecret


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An Airflow in which nobody may renew anything."""
    with world(tmp_path, monkeypatch) as made:
        monkeypatch.setattr(renewing, "fresh", lambda *_: pytest.fail("a login was renewed"))
        yield made


def keep(conn_id: str, **parts: Any) -> None:
    assert write(Stored(conn_id, **parts), expect=ANY)


@pytest.mark.parametrize(
    ("extra", "secrets"),
    [
        ({}, ()),
        ({"webhook_secret": "one"}, ("one",)),
        ({"webhook_secret": ["new", "old", "new"]}, ("new", "old")),
        ({"webhook_secret": ["", " ", 5, None, {"a": 1}]}, ()),
        ({"webhook_secret": "  "}, ()),
        ({"webhook_secret": {"a": "b"}}, ()),
    ],
)
def test_a_link_may_hold_the_secret_of_the_tenants_sender(
    there: World, extra: dict[str, Any], secrets: tuple[str, ...]
) -> None:
    mark = {MARK: {"connector": "shop", "method": "key", "tenant": "acme"}}
    keep("flowmate.shop.acme", password="the tenant's key", extra={**mark, **extra})
    keep("flowmate.shop.other", password="another key", extra={"webhook_secret": "of another"})
    assert Directory().link_secrets("shop", "acme") == ()  # nothing is linked
    linked.save(there.store, linked.Linked("acme", "shop", "flowmate.shop.acme", "key"))
    assert Directory().link_secrets("shop", "acme") == secrets
    assert Directory().link_secrets("erp", "acme") == ()


def test_a_link_that_uses_anothers_credentials_has_its_secret(there: World) -> None:
    keep("flowmate.shop.acme", extra={"webhook_secret": "one"})
    linked.save(there.store, linked.Linked("acme", "shop", "flowmate.shop.acme", "key"))
    linked.save(there.store, linked.Linked("sub", "shop", "", "key", symlink=("acme", "shop")))
    assert Directory().link_secrets("shop", "sub") == ("one",)


def test_a_provider_may_sign_with_the_secret_of_the_application(there: World) -> None:
    keep("flowmate.shop", login="client-id", password="client-secret")
    assert Directory().secrets("flowmate.shop") == ("client-secret", "client-id:client-secret")
    with pytest.raises(LookupError, match=r"there is no Connection `flowmate\.erp`"):
        Directory().secrets("flowmate.erp")
    keep("flowmate.erp", login="client-id")
    with pytest.raises(NoSecret):
        Directory().secrets("flowmate.erp")
