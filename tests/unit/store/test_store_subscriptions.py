"""Subscriptions in the store: they come back as they were, encrypted, and one that is damaged hides no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from airflow.models import crypto
from airflow.models.crypto import _RealFernet
from cryptography.fernet import Fernet, MultiFernet

from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.subscriptions import (
    ACTIVE,
    ENDED,
    FAILED,
    KEEP_ENDED,
    KEEP_WATCHING,
    MADE,
    Registration,
    Subscription,
    are_watched,
    find,
    forget_ended,
    save,
    secrets_for,
)

URL = "https://hooks.example.com/flowmate/hooks/orders/url-token"


@pytest.fixture(autouse=True)
def new_key(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Gives Airflow another key."""

    def give() -> None:
        made = _RealFernet(MultiFernet([Fernet(Fernet.generate_key())]))
        monkeypatch.setattr(crypto, "get_fernet", lambda: made)

    give()
    return give


def registration(name: str = "one", **other: object) -> Registration:
    made = Registration(
        f"flowmate-{name}",
        name.encode().hex(),
        "shop/order_created",
        "orders",
        URL,
        connection="shop",
        config={"topic": "hidden-config"},
        events={"scheme": "github", "options": {"a": [1]}},
        secret=f"hidden-secret-{name}",
        subscription={"id": "hidden-id", "ends": None},
        state=MADE,
        renew_at=(now() + timedelta(days=2)).isoformat(),
    )
    return replace(made, **other)  # type: ignore[arg-type]


def subscription(**other: object) -> Subscription:
    moment = now().replace(microsecond=0)
    made = Subscription(
        "orders",
        "created",
        status=ACTIVE,
        current=registration(),
        earlier=(registration("old", use="crm/changed", connection=None),),
        error="one\x00 of them \ud800",
        attempts=2,
        expires_at=moment + timedelta(days=3),
        next_at=moment + timedelta(days=2),
    )
    return replace(made, **other)  # type: ignore[arg-type]


def test_it_comes_back_as_it_was(store: Store) -> None:
    kept = subscription()
    save(store, kept)
    (found,) = find(store)
    assert replace(found, updated_at=kept.updated_at) == kept
    assert found.current is not None
    assert (found.current.connector, found.current.token) == ("shop", "url-token")
    assert found.current.shown_url == "https://hooks.example.com/flowmate/hooks/orders/…"
    save(store, replace(kept, current=None, earlier=()))
    assert [(each.current, each.earlier) for each in find(store, "orders")] == [(None, ())]
    assert find(store, "bills") == []


def test_what_is_secret_is_neither_in_the_store_nor_in_a_repr(store: Store) -> None:
    save(store, subscription())
    with store.read() as connection:
        row = connection.execute(store.tables.subscriptions.select()).one()
    shown = repr(list(row)) + repr(subscription())
    assert row.is_encrypted
    for secret in ("hidden-config", "hidden-secret", "hidden-id", "url-token"):
        assert secret not in shown


def test_secrets_are_found_by_endpoint_until_the_end(store: Store) -> None:
    save(store, subscription())
    save(store, subscription(tenant="acme", current=registration(secret=None), earlier=()))
    save(store, subscription(step="again", current=registration("again"), earlier=()))
    assert {key: set(found) for key, found in secrets_for(store).items()} == {
        ("orders", ""): {"hidden-secret-one", "hidden-secret-old", "hidden-secret-again"}
    }
    save(store, subscription(status=ENDED))
    save(store, subscription(step="again", status=FAILED, current=registration("again"), earlier=()))
    assert secrets_for(store) == {("orders", ""): ("hidden-secret-again",)}


def test_with_another_key_it_is_told_and_the_others_are_found(
    store: Store, new_key: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    save(store, subscription())
    new_key()
    save(store, subscription(flow="bills", current=registration(endpoint="bills"), earlier=()))
    bills, orders = find(store)
    assert (bills.is_readable, orders.is_readable, orders.current) == (True, False, None)
    assert "cannot be decrypted" in str(orders.error)
    for _ in range(3):  # the receiver asks again and again
        assert secrets_for(store) == {("bills", ""): ("hidden-secret-one",)}
    assert caplog.text.count("nobody is let in by it") == 1


def _age(store: Store, age: timedelta) -> None:
    table = store.tables.subscriptions
    with store.write() as connection:
        connection.execute(table.update().values(updated_at=now() - age - timedelta(minutes=1)))


def test_what_ended_long_ago_is_forgotten(store: Store) -> None:
    save(store, subscription(status=ENDED))
    save(store, subscription(step="other"))
    forget_ended(store)
    assert len(find(store)) == 2
    _age(store, KEEP_ENDED)
    forget_ended(store)
    assert [each.step for each in find(store)] == ["other"]


def test_they_are_watched_for_a_while_after_their_end(store: Store) -> None:
    assert not are_watched(store)
    save(store, subscription(status=ENDED))
    assert are_watched(store)
    _age(store, KEEP_WATCHING)
    assert not are_watched(store)
    save(store, subscription(step="other"))
    _age(store, KEEP_WATCHING)
    assert are_watched(store)
