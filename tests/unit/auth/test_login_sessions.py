"""Sessions: logging in by JSON, by a form and by HTTP Basic; where the token lies, when it is over; logging out."""

from __future__ import annotations

import json
from typing import Any

import nasty as played
import pytest
from nasty import Nasty, raw, refused

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.sessions import log_in, log_out
from flowmate_airflow.auth.values import values_of
from flowmate_airflow.auth.verify import verify
from flowmate_airflow.catalog.auth import SessionAuth

JSON = {"username": "{username}", "password": "{password}"}
ADA = Account("c", "ada", "the-password-of-ada")


def method_of(nasty: Nasty, login: dict[str, Any] | None = None, **more: Any) -> SessionAuth:
    return SessionAuth.model_validate(
        {
            "type": "session",
            "login": {"method": "POST", "url": f"{nasty.url}/session", **({"json": JSON} if login is None else login)},
            "token_path": "data.token",
            "private": True,
            "verify": {"url": f"{nasty.url}/records", "headers": {"X-Session": "{token}"}},
            "logout": {"method": "POST", "url": f"{nasty.url}/logout", "headers": {"X-Session": "{token}"}},
            **more,
        }
    )


@pytest.mark.parametrize(
    ("login", "more"),
    [
        (None, {}),
        ({}, {"form": JSON}),
        ({}, {"login_auth": "basic"}),
        ({}, {"form": JSON, "token_path": "header:X-Session"}),
        ({}, {"form": JSON, "token_path": "header:x-session"}),
        ({}, {"form": JSON, "token_path": "cookie:sid"}),
    ],
)
def test_a_login_brings_a_token_that_an_api_takes(nasty: Nasty, login: dict[str, Any] | None, more: Any) -> None:
    method = method_of(nasty, login, **more)
    values = values_of(method, ADA, None)
    found = log_in(method, values)
    view = Account("c", password=found.grant.access_token)
    assert verify(method, view, values) == {}
    assert found.grant.expires_at == found.grant.obtained_at + 3600
    assert log_out(method, values, found.grant) is True
    with pytest.raises(LoginError, match="not known here"):
        verify(method, view, values)
    assert log_out(method, values, found.grant) is True  # it was over


def test_a_value_stays_whole_in_json_and_forms(nasty: Nasty) -> None:
    nasty.user = ("a&b=c", 'pass"word\\{username}+ü')
    account = Account("c", *nasty.user)
    for method in (method_of(nasty), method_of(nasty, {}, form=JSON)):
        assert log_in(method, values_of(method, account, None)).grant.access_token


def test_the_login_goes_by_other_parts_and_addresses(nasty: Nasty) -> None:
    method = method_of(
        nasty,
        {
            "url": "{server}/session",
            "params": {"tenant": "{tenant}"},
            "headers": {"X-Tenant": "{tenant}"},
            "json": {"username": "{user}", "password": "{secret}", "more": [True, "{tenant}"]},
        },
        inputs={"user": "login", "secret": "extra.secret"},
        required={"server": "url", "tenant": "extra.tenant"},
    )
    account = Account("c", "ada", host=nasty.url, extra={"secret": "the-password-of-ada", "tenant": "t 1"})
    values = values_of(method, account, None)
    assert log_in(method, values).grant.access_token
    (call,) = nasty.called("/session")
    assert (call.query, call.headers["X-Tenant"]) == ({"tenant": "t 1"}, "t 1")
    assert json.loads(call.body)["more"] == [True, "t 1"]


@pytest.mark.parametrize(
    ("path", "unit", "lasts"),
    [
        ("data.lifetime", "s", 1800),
        ("data.lifetime", "ms", 1.8),
        ("data.until_ms", "ms", 1800),
        ("until", "date", 1800),
        ("until", "s", 1800),
        ("data.nothing", "s", 60),
        ("account.region", "date", 60),
        (None, "s", 60),
    ],
)
@pytest.mark.parametrize("clock", [0, 600])
def test_when_a_session_is_over(nasty: Nasty, path: str | None, unit: str, lasts: float, clock: float) -> None:
    nasty.lifetime, nasty.clock = 1800, clock
    method = method_of(nasty, expires_path=path, expires_unit=unit, expires_in=60)
    grant = log_in(method, values_of(method, ADA, None)).grant
    assert grant.expires_at is not None
    assert abs(grant.expires_at - grant.obtained_at - lasts) < 30
    assert (grant.expires_at - grant.obtained_at > 40) == (lasts > 40)


def test_what_the_login_tells_is_kept(nasty: Nasty) -> None:
    method = method_of(nasty, token_metadata={"account.id": "extra.account", "account.region": "host"})
    assert log_in(method, values_of(method, ADA, None)).metadata == {"extra.account": "7", "host": "eu"}


def test_a_wrong_password_needs_a_person(nasty: Nasty) -> None:
    method = method_of(nasty)
    with pytest.raises(LoginError, match="does not take the login: unknown user or wrong password") as caught:
        log_in(method, values_of(method, Account("c", "ada", "not-hers"), None))
    assert caught.value.kind == "needs_reauth"


@pytest.mark.parametrize(
    ("failure", "kind", "text"),
    [
        (played.html, "transient", "HTML, not JSON"),
        (played.busy, "transient", "429"),
        (played.cut_before, "transient", "failed"),
        (refused("locked", 423), "refused", "locked"),
        (raw(b"{}"), "config", "has no token at `data.token`"),
        (raw(b'{"data": "text"}'), "config", "has no token at `data.token`"),
        (raw(b'{"data": {"token": {"x": 1}}}'), "config", "has no token at `data.token`"),
        (played.echo, "config", "invalid_request"),
    ],
)
def test_a_login_that_goes_wrong(nasty: Nasty, failure: Any, kind: str, text: str) -> None:
    nasty.next(failure)
    method = method_of(nasty)
    with pytest.raises(LoginError, match=text) as caught:
        log_in(method, values_of(method, ADA, None))
    assert caught.value.kind == kind
    assert "the-password-of-ada" not in caught.value.text


def test_a_header_or_cookie_that_is_not_there(nasty: Nasty) -> None:
    for path in ("header:X-Nothing", "cookie:nothing"):
        nasty.next(raw(b"", 204))
        method = method_of(nasty, token_path=path)
        with pytest.raises(LoginError, match=f"has no token at `{path}`"):
            log_in(method, values_of(method, ADA, None))


def test_a_missing_value_is_named_before_anything_is_sent(nasty: Nasty) -> None:
    method = method_of(nasty)
    with pytest.raises(LoginError, match="`password` is not set"):
        log_in(method, values_of(method, Account("c", "ada"), None))
    assert nasty.calls == []


def test_a_session_without_a_logout(nasty: Nasty) -> None:
    method = method_of(nasty, logout=None)
    found = log_in(method, values_of(method, ADA, None))
    assert log_out(method, {}, found.grant) is False
