"""The request that shows whether credentials are right, for each type of method."""

from __future__ import annotations

from typing import Any

import nasty as played
import pytest
from nasty import Nasty, raw, refused
from pydantic import TypeAdapter

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.values import values_of
from flowmate_airflow.auth.verify import verify
from flowmate_airflow.catalog.auth import AnyMethod
from flowmate_airflow.catalog.authmethod import AuthMethod

ADA = ("ada", "the-password-of-ada")
KEY = "the-api-key-of-ada"


def method_of(nasty: Nasty, auth: dict[str, Any], **request: Any) -> AuthMethod:
    whole = {"private": True, **auth, "verify": {"url": f"{nasty.url}/records", **request}}
    found: AuthMethod = TypeAdapter(AnyMethod).validate_python(whole)
    return found


def verified(method: AuthMethod, account: Account) -> dict[str, str]:
    return verify(method, account, values_of(method, account, None))


@pytest.mark.parametrize(
    ("auth", "request_", "account"),
    [
        ({"type": "basic"}, {}, Account("c", *ADA)),
        ({"type": "api_key"}, {}, Account("c", password=KEY)),
        ({"type": "api_key", "place": "query", "name": "api_key"}, {"params": {"a": "b"}}, Account("c", password=KEY)),
        ({"type": "api_key", "name": "Authorization", "prefix": "Token "}, {}, Account("c", password=KEY)),
        ({"type": "bearer"}, {}, Account("c", password=KEY)),
        ({"type": "bearer"}, {"headers": {"authorization": "Key {token}"}}, Account("c", password=KEY)),
        (
            {"type": "custom", "required": {"k": "extra.k"}},
            {"headers": {"X-API-Key": "{k}"}},
            Account("c", extra={"k": KEY}),
        ),
        (
            {"type": "none", "optional": {"k": "extra.k"}},
            {"params": {"api_key": "{k}"}},
            Account("c", extra={"k": KEY}),
        ),
    ],
)
def test_the_credential_stands_where_its_type_has_it(
    nasty: Nasty, auth: dict[str, Any], request_: dict[str, Any], account: Account
) -> None:
    method = method_of(nasty, auth, account={"account.id": "extra.id", "account.name": "login"}, **request_)
    assert verified(method, account) == {"extra.id": "7", "login": "Ada & Sons"}


def test_a_user_and_password_go_in_utf_8(nasty: Nasty) -> None:
    nasty.user = ("Adä", "pässwörd:ü")
    assert verified(method_of(nasty, {"type": "basic"}), Account("c", *nasty.user)) == {}
    with pytest.raises(LoginError, match="colon"):
        verified(method_of(nasty, {"type": "basic"}), Account("c", "a:b", "c"))


def test_a_body_goes_as_json(nasty: Nasty) -> None:
    method = method_of(nasty, {"type": "bearer"}, method="POST", json={"query": "{ viewer { id } }", "key": "{token}"})
    assert verified(method, Account("c", password=KEY)) == {}
    (call,) = nasty.called("/records")
    assert call.form == {"query": "{ viewer { id } }", "key": KEY}


def test_no_verification_tells_nothing() -> None:
    assert verify(AuthMethod(), Account("c"), {}) == {}


def test_what_a_login_needs_is_not_for_this_request(nasty: Nasty) -> None:
    auth = {"type": "oauth2", "grant": "client_credentials", "token_url": f"{nasty.url}/token"}
    method = method_of(nasty, auth, headers={"X-Secret": "{client_secret}"})
    stored = Account("c", "id", "the-secret-of-the-client")
    with pytest.raises(LoginError, match="`client_secret` is not set"):
        verify(method, Account("c", "id", "token"), values_of(method, stored, None))
    assert nasty.calls == []


@pytest.mark.parametrize(
    ("failure", "kind", "text"),
    [
        (refused("nope", 401), "refused", "the credentials are not right: 127.0.0.1 answered 401 Unauthorized: nope"),
        (refused("nope", 403), "refused", "the credentials are not right"),
        (played.busy, "transient", "429"),
        (played.broken, "transient", "503"),
        (played.cut_before, "transient", "failed"),
        (raw(b"", 404), "config", "404 Not Found"),
        (played.elsewhere, "config", "redirects are not followed"),
    ],
)
def test_whether_they_are_right(nasty: Nasty, failure: Any, kind: str, text: str) -> None:
    nasty.next(failure)
    with pytest.raises(LoginError, match=text) as caught:
        verified(method_of(nasty, {"type": "bearer"}), Account("c", password=KEY))
    assert caught.value.kind == kind


def test_an_error_shows_no_credential(nasty: Nasty) -> None:
    nasty.next(refused("bad", 401, message=f"{KEY} is no key"))
    with pytest.raises(LoginError, match=r"bad: \*\*\* is no key"):
        verified(method_of(nasty, {"type": "bearer"}), Account("c", password=KEY))


def test_any_good_answer_will_do(nasty: Nasty) -> None:
    for failure in (played.html, raw(b"", 204), raw(b"\xff")):
        nasty.next(failure)
        assert verified(method_of(nasty, {"type": "bearer"}, account={"a": "login"}), Account("c", password=KEY)) == {}


def test_an_empty_password_is_no_credential(nasty: Nasty) -> None:
    for auth in ({"type": "bearer"}, {"type": "api_key"}):
        with pytest.raises(LoginError, match="no password"):
            verified(method_of(nasty, auth), Account("c"))
