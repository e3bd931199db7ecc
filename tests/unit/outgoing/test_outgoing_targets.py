"""Who is told, as Connections say it."""

from __future__ import annotations

from typing import Any

import pytest
from outgoing_harness import HUB_SECRET, SECRET

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.outgoing.announce import Targets
from flowmate_airflow.outgoing.news import News
from flowmate_airflow.outgoing.targets import TargetError, find_target, target_names, target_of
from flowmate_airflow.settings import SettingError
from flowmate_airflow.store.sql import now


def account(host: str | None = "https://app.example.com", password: str | None = SECRET, **extra: Any) -> Account:
    return Account("app", None, password, host, None, None, extra)


def news(event: str = "run.failed", **data: Any) -> News:
    return News(event, data, now(), "msg_1")


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (account(), "https://app.example.com"),
        (account(path="/hooks/abc"), "https://app.example.com/hooks/abc"),
        (account("https://app.example.com/in/", path="/hooks"), "https://app.example.com/in/hooks"),
        (account("app.example.com/hooks?x=1"), "https://app.example.com/hooks?x=1"),
        (Account("app", None, SECRET, "app.example.com", 8443, "https", {}), "https://app.example.com:8443"),
        (account("http://app.internal:8080", allow_private=True), "http://app.internal:8080"),
    ],
)
def test_the_address_is_made_of_the_connections_parts(given: Account, url: str) -> None:
    assert target_of(given).url == url


def test_a_target_wants_the_events_and_flows_that_it_names() -> None:
    target = target_of(account(events=["run.failed", "link.*"], flows=["orders", "shop_*"]))
    assert target.wants(news(flow="orders"))
    assert target.wants(news(flow="shop_customers"))
    assert not target.wants(news(flow="customers"))
    assert not target.wants(news("run.started", flow="orders"))
    assert target.wants(news("link.created", connector="erp")), "it is about no flow"
    assert target_of(account()).wants(news("discover.finished", flow="anything"))
    assert target_of(account(events="run.failed, link.*")).events == ("run.failed", "link.*")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (account(None), "has no host"),
        (account("http://app.example.com"), "must begin with https://"),
        (account("ftp://app.example.com", allow_private=True), "must begin with https://"),
        (account("https://me:secret@app.example.com"), "is no address"),
        (account("https://app.example.com/#x"), "is no address"),
        (account("https://app.example.com/a b"), "is no address"),
        (account("https://[half"), "is no address"),
        (account("https://app.example.com\r\nX: y"), "is no address"),
        (account(password=None), "is no secret of Standard Webhooks"),
        (account(password="whsec_"), "is no secret of Standard Webhooks"),
        (account(password="whsec_dG9vIHNob3J0"), "is no secret of Standard Webhooks"),
        (account(password="whsec_!" + "A" * 43), "is no secret of Standard Webhooks"),
        (account(password=HUB_SECRET), "is no secret of Standard Webhooks"),
        (account(password=HUB_SECRET, signature="both"), "is no secret of Standard Webhooks"),
        (account(password="short", signature="hub"), "no password of 16 characters"),
        (account(signature="none"), "`signature` in the extra of the Connection `app` must be one of standard, hub"),
        (account(payload=1), "`payload` in the extra of the Connection `app` must be one of flowmate, hotglue"),
        (account(events=[]), "must have 1 to 100 entries"),
        (account(events=["run.faild"]), "did you mean `run.failed`"),
        (account(flows=[1]), "must be a list of texts"),
        (account(flows={"a": 1}), "must be a list of texts"),
        (account(allow_private="yes"), "must be true or false"),
        (account(allow_private=1.5), "must be true or false"),
        (account(path=7), "must be a text"),
        (account(event=["run.failed"]), "unknown key `event`; did you mean `events`"),
    ],
)
def test_what_is_wrong_is_said_without_the_secret(given: Account, said: str) -> None:
    with pytest.raises(TargetError) as caught:
        target_of(given)
    assert said in str(caught.value)
    assert not given.password or len(given.password) < 10 or given.password not in str(caught.value)
    assert "me:secret" not in str(caught.value)


def test_secrets_are_in_no_repr() -> None:
    assert SECRET not in repr(target_of(account(path="/hooks/token")))
    assert "token" not in repr(target_of(account(path="/hooks/token")))


def test_the_option_names_the_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__OUTGOING", " app, other,, app ")
    assert target_names() == ("app", "other")
    monkeypatch.setenv("AIRFLOW__FLOWMATE__OUTGOING", ",".join(f"app{number}" for number in range(21)))
    with pytest.raises(SettingError, match="names 21 Connections; 20 are allowed"):
        target_names()


def test_a_connection_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from airflow.models.connection import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    def missing(conn_id: str) -> Connection:
        raise AirflowNotFoundException(conn_id)

    monkeypatch.setattr(Connection, "get_connection_from_secrets", missing)
    with pytest.raises(TargetError, match="`nowhere`, which does not exist; add it with `airflow connections add"):
        find_target("nowhere")


def test_one_wrong_target_does_not_keep_the_others_from_being_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__OUTGOING", "bad,good")
    monkeypatch.setenv("AIRFLOW_CONN_BAD", '{"conn_type": "generic", "host": "https://bad.example"}')
    value = f'{{"conn_type": "generic", "host": "https://good.example", "password": "{SECRET}"}}'
    monkeypatch.setenv("AIRFLOW_CONN_GOOD", value)
    known = Targets()
    assert [target.conn_id for target in known.all()] == ["good"]
    assert "It is not told: the password of the Connection `bad`" in caplog.text
    monkeypatch.delenv("AIRFLOW_CONN_GOOD")
    assert [target.conn_id for target in known.all()] == ["good"], "it is not asked for again so soon"
    monkeypatch.setenv("AIRFLOW__FLOWMATE__OUTGOING", "")
    assert known.all() == ()
