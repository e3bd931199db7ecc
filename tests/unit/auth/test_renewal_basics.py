"""Renewing what a login has brought: when, how often, and what is kept when it goes wrong."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

import nasty as bad
import pytest
from renewal_harness import CONN_ID, Linked, aged, told

from flowmate_airflow.auth import renewal
from flowmate_airflow.auth.ages import is_due
from flowmate_airflow.auth.connections import Stored, change, read, remove, save_login
from flowmate_airflow.auth.grants import MARK, TOKEN, Grant
from flowmate_airflow.auth.refusals import refused_name
from flowmate_airflow.auth.tokens import Login
from flowmate_airflow.store import renewals
from flowmate_airflow.store.sql import now


def cooled(linked: Linked) -> None:
    """Let the time be over that a failure is rested for."""
    table = linked.store.tables.renewals
    with linked.store.write() as connection:
        connection.execute(table.update().values(next_at=now() - timedelta(seconds=1)))


def test_a_token_that_is_over_is_renewed_and_kept(linked: Linked) -> None:
    old = linked.consented()
    linked.link(old, extra={"region": "eu"}, host="shop.example.com")
    found = linked.ask()
    assert linked.nasty.is_valid(found.password)
    assert found.extra_dejson["region"] == "eu"
    assert found.host == "shop.example.com"
    assert found.extra_dejson[MARK]["expires_at"] == linked.grant.expires_at
    assert linked.grant.access_token == found.password
    assert linked.grant.refresh_token not in (None, old.refresh_token)
    assert TOKEN not in found.extra_dejson
    row = renewals.status(linked.store, CONN_ID)
    assert row is not None
    assert (row.status, row.renewals, row.owner, row.spending, row.failures) == ("good", 1, None, None, 0)
    assert linked.ask().password == found.password
    assert linked.nasty.refreshes == 1


def test_the_old_refresh_token_stays_where_no_other_comes(linked_sqlite: Linked) -> None:
    linked_sqlite.nasty.rotate, linked_sqlite.nasty.omit_refresh = False, True
    old = linked_sqlite.consented()
    linked_sqlite.link(old)
    assert linked_sqlite.nasty.is_valid(linked_sqlite.ask().password)
    assert linked_sqlite.grant.refresh_token == old.refresh_token


def test_a_token_is_renewed_ahead_and_handed_out_meanwhile(linked_sqlite: Linked) -> None:
    linked, old = linked_sqlite, linked_sqlite.consented(left=200)
    linked.link(old)
    linked.nasty.next(bad.held)
    assert linked.ask().password == old.access_token  # nobody waits
    assert linked.nasty.holding.wait(60)
    assert linked.ask().password == old.access_token
    linked.nasty.release.set()
    while linked.ask().password == old.access_token:
        pass
    assert linked.nasty.refreshes == 1


@pytest.mark.parametrize(
    ("life", "left", "due"),
    [
        (3600, 400, False),
        (3600, 230, True),
        (86_400, 8_700, False),
        (86_400, 6_800, True),
        (60, 31, False),
        (60, 20, True),
        (600, 301, False),
        (600, 230, True),
    ],
)
def test_when_a_token_is_due(life: float, left: float, due: bool) -> None:
    grant = aged(Grant("t"), left, life)
    assert [is_due(f"c{number}", grant) for number in range(50)] == [due] * 50


def test_a_token_without_an_end_is_never_renewed(linked_sqlite: Linked) -> None:
    linked_sqlite.link(replace(linked_sqlite.consented(), expires_at=None))
    assert linked_sqlite.ask().password == linked_sqlite.grant.access_token
    assert linked_sqlite.nasty.refreshes == 0


@pytest.mark.parametrize("failure", [bad.html, bad.busy, bad.broken, bad.cut_before])
def test_a_failure_is_rested_for_and_not_repeated_by_each_task(linked: Linked, failure: bad.Failure) -> None:
    linked.link(linked.consented())
    linked.nasty.next(failure)
    calls = len(linked.nasty.called("/token"))
    assert told(linked.ask())["kind"] == "cooling"
    assert told(linked.ask())["kind"] == "cooling"
    assert linked.ask().password is None
    assert len(linked.nasty.called("/token")) == calls + 1
    cooled(linked)
    assert linked.nasty.is_valid(linked.ask().password)


def test_pauses_become_longer_and_the_provider_may_ask_for_longer_ones(linked_sqlite: Linked) -> None:
    linked = linked_sqlite
    linked.link(linked.consented())
    rests = []
    for failure in (bad.broken, bad.broken, bad.broken, *[bad.broken] * 4, bad.raw(b"{}", 503, Retry_After="1800")):
        linked.nasty.next(failure)
        before = now()
        linked.ask()
        row = renewals.status(linked.store, CONN_ID)
        assert row is not None
        assert row.next_at is not None
        rests.append(round((row.next_at - before).total_seconds(), -1))
        cooled(linked)
    assert rests == [30, 60, 120, 240, 480, 600, 600, 1800]


def test_while_the_old_token_is_good_a_failure_is_nobodys_business(linked_sqlite: Linked) -> None:
    linked, old = linked_sqlite, linked_sqlite.consented(left=20)
    linked.link(old)
    linked.nasty.next(bad.broken)
    found = linked.ask()
    assert (found.password, told(found)) == (old.access_token, {})


def test_a_refresh_token_that_is_worth_nothing_needs_a_login(linked: Linked) -> None:
    linked.link(linked.consented(), description="The shop of Acme")
    linked.nasty._refresh.clear()
    calls = len(linked.nasty.called("/token"))
    for _ in range(3):
        found = linked.ask()
        assert found.password is None
        assert told(found)["kind"] == "needs_reauth"
        assert "worth nothing" in told(found)["text"]
        assert "died" not in told(found)["text"]
    assert len(linked.nasty.called("/token")) == calls + 1
    assert (linked.stored.description or "").startswith("Needs a new login: 127.0.0.1 answered 400 Bad Request")
    assert (linked.stored.description or "").endswith("[FlowMate] The shop of Acme")
    save_login(CONN_ID, Login(linked.consented(left=3000)), linked.store)
    assert linked.stored.description == "The shop of Acme"
    assert linked.nasty.is_valid(linked.ask().password)
    row = renewals.status(linked.store, CONN_ID)
    assert row is not None
    assert (row.status, row.error) == ("good", None)


def test_credentials_that_are_changed_by_hand_are_tried(linked_sqlite: Linked) -> None:
    linked = linked_sqlite
    linked.link(linked.consented(), extra={"client_id": "other", "client_secret": "wrong"})
    assert told(linked.ask())["kind"] == "failed"
    change(CONN_ID, lambda old: replace(old, extra={name: old.extra[name] for name in (MARK, TOKEN)}))
    assert linked.nasty.is_valid(linked.ask().password)


def test_no_refresh_token_needs_a_login_without_asking(linked_sqlite: Linked) -> None:
    linked = linked_sqlite
    linked.link(replace(linked.consented(), refresh_token=None))
    calls = len(linked.nasty.called("/token"))
    assert told(linked.ask())["kind"] == "needs_reauth"
    assert len(linked.nasty.called("/token")) == calls


def test_a_slow_provider_is_waited_for_by_nobody_for_long(linked_sqlite: Linked) -> None:
    linked = linked_sqlite
    linked.link(linked.consented())
    linked.nasty.next(bad.held)
    from flowmate_airflow.auth.serving import view

    found = view(CONN_ID, wait=0.05)
    assert found is not None
    assert found.extra[MARK]["problem"]["kind"] == "pending"
    assert found.password is None
    linked.nasty.release.set()
    found = view(CONN_ID, wait=60)
    assert found is not None
    assert linked.nasty.is_valid(found.password or "")
    assert linked.nasty.refreshes == 1


def test_a_connection_that_is_removed_meanwhile_stays_removed(linked: Linked) -> None:
    linked.link(linked.consented())
    linked.nasty.next(bad.held)
    from flowmate_airflow.auth.serving import view

    view(CONN_ID, wait=0.05)
    assert linked.nasty.holding.wait(60)
    assert remove(CONN_ID)
    linked.nasty.release.set()
    assert renewal.renew_stored(CONN_ID) is None
    assert read(CONN_ID) is None


def test_who_links_anew_meanwhile_wins(linked: Linked) -> None:
    linked.link(linked.consented())
    linked.nasty.next(bad.held)
    from flowmate_airflow.auth import renewing
    from flowmate_airflow.auth.serving import view

    view(CONN_ID, wait=0.05)
    assert linked.nasty.holding.wait(60)
    running = renewing._renewer._running[CONN_ID]
    new = linked.consented(left=3000)
    save_login(CONN_ID, Login(new), linked.store)
    linked.nasty.release.set()
    running.result(60)
    assert linked.grant == new
    assert linked.ask().password == new.access_token


def test_what_is_edited_meanwhile_stays_edited(linked: Linked) -> None:
    linked.link(linked.consented(), extra={"region": "eu"})
    linked.nasty.next(bad.held)
    from flowmate_airflow.auth import renewing
    from flowmate_airflow.auth.serving import view

    view(CONN_ID, wait=0.05)
    assert linked.nasty.holding.wait(60)
    running = renewing._renewer._running[CONN_ID]
    change(CONN_ID, lambda old: replace(old, host="new.example.com", extra={**old.extra, "region": "us"}))
    linked.nasty.release.set()
    running.result(60)
    found = linked.ask()
    assert (found.host, found.extra_dejson["region"]) == ("new.example.com", "us")
    assert linked.nasty.is_valid(found.password)
    assert linked.nasty.refreshes == 1


def test_a_token_that_was_refused_is_renewed_once(linked_sqlite: Linked) -> None:
    linked, old = linked_sqlite, linked_sqlite.consented(left=3000)
    linked.link(old)
    assert linked.ask().password == old.access_token
    found = linked.ask(refused_name(CONN_ID, old.access_token))
    assert found.conn_id == CONN_ID
    assert found.password != old.access_token
    assert linked.nasty.is_valid(found.password)
    # Whoever comes later with the old one gets the new one, and a new one is not renewed at once.
    assert linked.ask(refused_name(CONN_ID, old.access_token)).password == found.password
    assert linked.ask(refused_name(CONN_ID, found.password)).password == found.password
    assert linked.nasty.refreshes == 1


def test_client_credentials_and_sessions_log_in_again(linked_sqlite: Linked) -> None:
    linked, nasty = linked_sqlite, linked_sqlite.nasty
    linked.manifest(
        consent=nasty.auth(grant="client_credentials", authorize_url=None),
        session={
            **{"type": "session", "login": {"method": "POST", "url": f"{nasty.url}/session"}, "private": True},
            **{"form": {"username": "{username}", "password": "{password}"}, "token_path": "data.token"},
        },
    )
    linked.link(None, login=nasty.client_id, password=nasty.client_secret)
    found = linked.ask()
    assert nasty.is_valid(found.password)
    assert found.login is None
    mark = {"connector": "shop", "method": "session", "tenant": "acme"}
    linked.link(None, login=nasty.user[0], password=nasty.user[1], extra={MARK: mark})
    found = linked.ask()
    assert found.password in nasty._sessions
    assert found.login is None
    assert nasty.user[1] not in found.get_uri()


def test_what_a_renewal_tells_is_kept(linked_sqlite: Linked) -> None:
    linked = linked_sqlite
    linked.manifest(consent=linked.nasty.auth(token_metadata={"instance": "extra.instance_url"}))
    linked.nasty.shape = lambda tokens: {**tokens, "instance": "https://eu.example.com"}
    linked.link(linked.consented())
    assert linked.ask().extra_dejson["instance_url"] == "https://eu.example.com"
    assert linked.stored.extra["instance_url"] == "https://eu.example.com"


def test_saving_is_tried_until_it_succeeds(linked: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    from flowmate_airflow.store.errors import StoreError

    linked.link(linked.consented())
    tries: list[str] = []
    pauses: list[float] = []

    def flaky(conn_id: str, edit: object) -> Stored | None:
        tries.append(conn_id)
        if len(tries) < 3:
            raise StoreError("Airflow's database failed", transient=True)
        return change(conn_id, edit)  # type: ignore[arg-type]

    monkeypatch.setattr(renewal, "change", flaky)
    monkeypatch.setattr(renewal.time, "sleep", pauses.append)
    found = renewal.renew_stored(CONN_ID)
    assert found is not None
    assert found.problem is None
    assert len(tries) == 3
    assert linked.nasty.refreshes == 1
    assert linked.nasty.is_valid(linked.grant.access_token)


def test_nothing_secret_is_logged_or_shown(linked_sqlite: Linked, caplog: pytest.LogCaptureFixture) -> None:
    linked = linked_sqlite
    caplog.set_level(logging.DEBUG)
    old = linked.consented()
    linked.link(old)
    linked.nasty.next(bad.echo)
    shown = [repr(linked.stored), repr(linked.stored.grant), str(told(linked.ask()))]
    cooled(linked)
    found = linked.ask()
    linked.nasty._refresh.clear()
    change(CONN_ID, lambda stored: replace(stored, extra={**stored.extra, TOKEN: aged(linked.grant, -5).as_json()}))
    shown += [str(told(linked.ask())), repr(linked.backend()), str(renewals.status(linked.store, CONN_ID))]
    new = linked.grant
    text = "\n".join([*shown, *(record.getMessage() for record in caplog.records)])
    secrets = [old.access_token, old.refresh_token, new.access_token, new.refresh_token, found.password]
    for secret in (*secrets, linked.nasty.client_secret):
        assert secret
        assert secret not in text
