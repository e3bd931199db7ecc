"""Logins that have begun, and magic links."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from airflow.models import crypto
from airflow.models.crypto import _NullFernet
from cryptography.fernet import Fernet, MultiFernet

from flowmate_airflow.store import logins, magiclinks
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.logins import Started, StartedLogin
from flowmate_airflow.store.store import Store

LOGIN = StartedLogin("c0ffee", "acme", "shop", "oauth", "airflow:ann", {"verifier": "canary-verifier"})
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    made = MultiFernet([Fernet(Fernet.generate_key())])
    made.is_encrypted = True  # type: ignore[attr-defined]
    monkeypatch.setattr(crypto, "get_fernet", lambda: made)


def test_a_login_is_taken_once_and_knows_its_browser(store: Store) -> None:
    started = Started(logins.new_secret(), logins.new_secret())
    logins.begin(store, LOGIN, started)
    assert logins.take(store, "another") is None
    taken = logins.take(store, started.state)
    assert taken is not None
    assert taken.login == LOGIN
    assert taken.is_browser(started.browser)
    assert not any(taken.is_browser(cookie) for cookie in (None, "", started.state, f"{started.browser}x"))
    assert logins.take(store, started.state) is None


def test_of_two_who_come_with_a_state_one_gets_the_login(store: Store) -> None:
    started = Started(logins.new_secret(), logins.new_secret())
    logins.begin(store, LOGIN, started)
    taken: list[object] = []
    ready = threading.Barrier(4)

    def take() -> None:
        ready.wait()
        taken.append(logins.take(store, started.state))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(each is not None for each in taken) == 1


def test_a_login_that_is_over_is_taken_and_brings_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "LIFETIME", timedelta(0))
    started = Started("state", "browser")
    logins.begin(store, LOGIN, started)
    taken = logins.take(store, "state")
    assert taken is not None
    assert taken.login is None
    assert logins.take(store, "state") is None


def test_what_was_never_finished_goes_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(logins, "LIFETIME", timedelta(hours=-2))
        logins.begin(store, LOGIN, Started("old", "browser"))
    logins.begin(store, LOGIN, Started("new", "browser"))
    monkeypatch.setattr(Store, "is_due", lambda *_: True)
    logins.purge(store)
    assert logins.take(store, "old") is None
    assert logins.take(store, "new") is not None


def test_neither_state_nor_cookie_nor_secret_lies_in_the_store(store: Store) -> None:
    logins.begin(store, LOGIN, Started("canary-state", "canary-browser"))
    token, _ = magiclinks.create(store, "acme", expires_in=HOUR)
    opened = magiclinks.open_link(store, token)
    assert opened is not None
    with store.read() as connection:
        rows = [
            *connection.execute(store.tables.logins.select()),
            *connection.execute(store.tables.magic_links.select()),
        ]
    text = repr([tuple(map(str, row)) for row in rows])
    assert "canary" not in text
    assert token not in text
    assert opened[0] not in text


def test_without_a_key_no_login_begins(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crypto, "get_fernet", _NullFernet)
    with pytest.raises(StoreError, match="fernet_key is empty"):
        logins.begin(store, LOGIN, Started("state", "browser"))


def test_a_magic_link_belongs_to_the_browser_that_opens_it(store: Store) -> None:
    token, made = magiclinks.create(store, "acme", expires_in=HOUR, connectors=["shop", "erp"], made_by="ann")
    assert magiclinks.find(store, token) == made
    assert (made.tenant, made.connectors, made.opened_at) == ("acme", ("shop", "erp"), None)
    assert magiclinks.opened(store, made.number, token) is None
    opened = magiclinks.open_link(store, token)
    assert opened is not None
    session, link = opened
    assert link.opened_at is not None
    assert magiclinks.open_link(store, token) is None
    assert magiclinks.opened(store, made.number, session) == link
    for number, cookie in ((made.number, None), (made.number, "other"), ("no", session), ("?" * 300, session)):
        assert magiclinks.opened(store, number, cookie) is None


def test_another_links_cookie_opens_nothing(store: Store) -> None:
    numbers, sessions = [], []
    for tenant in ("acme", "globex"):
        opened = magiclinks.open_link(store, magiclinks.create(store, tenant, expires_in=HOUR)[0])
        assert opened is not None
        sessions.append(opened[0])
        numbers.append(opened[1].number)
    assert magiclinks.opened(store, numbers[0], sessions[1]) is None


def test_a_magic_link_that_is_over_is_nobodys(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    token, _ = magiclinks.create(store, "acme", expires_in=HOUR)
    opened = magiclinks.open_link(store, token)
    assert opened is not None
    later = magiclinks.now() + HOUR
    monkeypatch.setattr(magiclinks, "now", lambda: later)
    assert magiclinks.find(store, token) is None
    assert magiclinks.opened(store, opened[1].number, opened[0]) is None
    unopened, _ = magiclinks.create(store, "acme", expires_in=timedelta(0))
    assert magiclinks.open_link(store, unopened) is None
    monkeypatch.setattr(Store, "is_due", lambda *_: True)
    magiclinks.purge(store)
    assert magiclinks.revoke(store, "acme") == 0


def test_a_tenants_magic_links_are_taken_back(store: Store) -> None:
    token, _ = magiclinks.create(store, "acme", expires_in=HOUR)
    other, _ = magiclinks.create(store, "globex", expires_in=HOUR)
    opened = magiclinks.open_link(store, token)
    assert opened is not None
    assert magiclinks.revoke(store, "acme") == 1
    assert magiclinks.opened(store, opened[1].number, opened[0]) is None
    assert magiclinks.find(store, other) is not None
