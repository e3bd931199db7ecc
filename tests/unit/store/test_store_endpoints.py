"""Tokens and secrets of endpoints, and the answers to senders that wait."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
import store_workers
from airflow.models import crypto
from airflow.models.crypto import _NullFernet, _RealFernet
from cryptography.fernet import Fernet, MultiFernet
from store_workers import at_once

from flowmate_airflow.store import encryption, endpoints, replies
from flowmate_airflow.store import opened as remembered
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.opened import Opened
from flowmate_airflow.store.replies import Reply
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Airflow's encryption, with a key of the test's."""
    made = _RealFernet(MultiFernet([Fernet(Fernet.generate_key())]))
    monkeypatch.setattr(crypto, "get_fernet", lambda: made)
    return made


def raw(store: Store) -> list[Any]:
    with store.read() as connection:
        return list(connection.execute(store.tables.endpoints.select()))


def test_a_token_is_made_once_and_kept_encrypted(store: Store) -> None:
    token = endpoints.token_of(store, "orders")
    assert len(token) == 32
    assert endpoints.token_of(store, "orders") == token
    others = {endpoints.token_of(store, "orders", "acme"), endpoints.token_of(store, "bills")}
    assert len({token, *others}) == 3
    assert endpoints.tokens(store)["orders", ""] == (token,)
    assert len(endpoints.tokens(store)) == 3
    assert not any(token.encode() in bytes(row.token) for row in raw(store))


def test_a_token_is_made_once_by_many(store: Store, url: str) -> None:
    made = at_once(store_workers.token_of, [(url, "orders")] * 6)
    assert made == [endpoints.token_of(store, "orders")] * 6


def test_the_token_before_is_valid_for_a_while(store: Store) -> None:
    first = endpoints.token_of(store, "orders")
    second = endpoints.rotate(store, "orders")
    assert endpoints.token_of(store, "orders") == second != first
    assert endpoints.tokens(store) == {("orders", ""): (second, first)}
    third = endpoints.rotate(store, "orders", keep_old=timedelta(0))
    assert endpoints.tokens(store) == {("orders", ""): (third,)}
    assert endpoints.rotate(store, "new") == endpoints.token_of(store, "new")


def test_a_secret_that_a_provider_gave(store: Store) -> None:
    assert endpoints.learned(store, "orders") is None
    endpoints.learn(store, "orders", "hunter21")
    endpoints.learn(store, "orders", "hunter22")
    endpoints.learn(store, "orders", "other", "acme")
    assert endpoints.learned(store, "orders") == "hunter22"
    assert not any(b"hunter" in bytes(row.learned) for row in raw(store))
    token = endpoints.token_of(store, "orders")
    second = endpoints.rotate(store, "orders")
    endpoints.learn(store, "orders", "hunter23")
    assert endpoints.learned(store, "orders") == "hunter23"
    assert endpoints.tokens(store)["orders", ""] == (second, token)


def test_a_secret_without_end_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="given to the endpoint orders has more than") as caught:
        endpoints.learn(store, "orders", "hunter22" * 1000)
    assert "hunter22" not in str(caught.value)


def test_without_a_key_they_are_kept_as_airflow_keeps_connections_and_encrypted_as_soon_as_there_is_one(
    store: Store, monkeypatch: pytest.MonkeyPatch, key: Any
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(crypto, "get_fernet", _NullFernet)
        token = endpoints.token_of(store, "orders")
        endpoints.learn(store, "orders", "hunter22")
    assert endpoints.tokens(store) == {("orders", ""): (token,)}
    second = endpoints.rotate(store, "orders")
    assert endpoints.tokens(store) == {("orders", ""): (second, token)}
    assert endpoints.learned(store, "orders") == "hunter22"
    (row,) = raw(store)
    assert b"hunter22" not in bytes(row.learned)
    assert token.encode() not in bytes(row.previous)


def test_what_cannot_be_decrypted_refuses_its_own_endpoint_only(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    endpoints.token_of(store, "orders")
    other = _RealFernet(MultiFernet([Fernet(Fernet.generate_key())]))
    monkeypatch.setattr(crypto, "get_fernet", lambda: other)
    token = endpoints.token_of(store, "bills")
    with caplog.at_level(logging.WARNING):
        assert endpoints.tokens(store) == {("orders", ""): (), ("bills", ""): (token,)}
    assert "the secrets of the endpoint orders cannot be decrypted" in caplog.text
    with pytest.raises(StoreError, match=r"endpoint orders cannot be decrypted: \[core\] fernet_key is not the one"):
        endpoints.token_of(store, "orders")


def test_answers_are_kept_until_they_are_asked_for(store: Store) -> None:
    replies.put_reply(store, 17, 200, "application/json", b"{}")
    replies.put_reply(store, 17, 201, "text/plain", b"done\0")
    replies.put_reply(store, 2**40, 202, "text/plain", b"")
    assert replies.get_replies(store, [17, 18, 2**40]) == {
        17: Reply(201, "text/plain", b"done\0"),
        2**40: Reply(202, "text/plain", b""),
    }
    assert replies.get_replies(store, []) == {}
    assert "done" not in repr(replies.get_replies(store, [17]))


def test_an_answer_without_end_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="the answer to the delivery 17 is too large"):
        replies.put_reply(store, 17, 200, "text/plain", b"x" * (replies.MAX_REPLY + 1))


def test_old_answers_go_away(store: Store) -> None:
    replies.put_reply(store, 17, 200, "text/plain", b"old")
    with store.write() as connection:
        connection.execute(store.tables.replies.update().values(replied_at=now() - replies.KEEP * 2))
    store._swept.clear()  # as another process would find it
    replies.put_reply(store, 18, 200, "text/plain", b"new")
    assert list(replies.get_replies(store, [17, 18])) == [18]


def test_tenants_have_their_own_and_can_be_forgotten(store: Store) -> None:
    mine = {tenant: endpoints.token_of(store, "orders", tenant) for tenant in ("b", "a")}
    bills = endpoints.token_of(store, "bills", "a")
    endpoints.token_of(store, "orders")
    assert endpoints.tenants_of(store, "orders") == ["a", "b"]
    endpoints.forget(store, "a", "orders")
    assert endpoints.tenants_of(store, "orders") == ["b"]
    assert endpoints.tokens(store)["bills", "a"] == (bills,)
    assert endpoints.token_of(store, "orders", "a") != mine["a"]
    endpoints.forget(store, "a")
    assert set(endpoints.tokens(store)) == {("orders", ""), ("orders", "b")}


def test_what_was_decrypted_is_not_decrypted_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    decrypted: list[bytes] = []

    def decrypt(data: bytes, is_encrypted: bool, what: str) -> bytes:
        decrypted.append(data)
        return encryption.decrypt(data, is_encrypted, what)

    monkeypatch.setattr(remembered, "decrypt", decrypt)
    known = Opened()
    first = endpoints.token_of(store, "orders", "a")
    endpoints.token_of(store, "orders", "b")
    before = endpoints.tokens(store, known)
    assert endpoints.tokens(store, known) == before == endpoints.tokens(store)
    decrypted.clear()
    second = endpoints.rotate(store, "orders", "a")
    assert endpoints.tokens(store, known)["orders", "a"] == (second, first)
    # The old token is written anew as the one before.
    assert len(decrypted) == 2
    endpoints.forget(store, "a")
    endpoints.tokens(store, known)
    endpoints.tokens(store, known)
    assert len(known._now) == 1
