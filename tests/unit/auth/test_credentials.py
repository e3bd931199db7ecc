"""A Connection's parts as a function's credentials, and what of it must not be shown."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from flowmate_airflow.auth.credentials import Account, credentials_for, secrets_of
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.steps.errors import ConfigFailure


def _manifest(**auth: dict[str, Any]) -> Manifest:
    return Manifest.model_validate(
        {
            "connector": 1,
            "name": "c",
            "version": "1",
            "title": "C",
            "image": "c",
            "auth": auth,
            "triggers": {"t": {"title": "T"}},
        }
    )


WEB = _manifest(
    none={"optional": {"baseUrl": "url"}},
    basic={"required": {"username": "login", "passphrase": "password"}, "optional": {"baseUrl": "url"}},
    token={"required": {"accessToken": "password"}},
    key={"required": {"key": "extra.api_key", "more": "extra"}},
)


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (Account("c"), {"auth": "none"}),
        (Account("c", host="h"), {"auth": "none", "baseUrl": "https://h"}),
        (Account("c", login="l", password="p"), {"auth": "basic", "username": "l", "passphrase": "p"}),
        (Account("c", password="p"), {"auth": "token", "accessToken": "p"}),
        (Account("c", login="l", password="p", extra={"auth": "token"}), {"auth": "token", "accessToken": "p"}),
        (Account("c", extra={"api_key": "k"}), {"auth": "key", "key": "k", "more": {"api_key": "k"}}),
        (Account("c", login="", password=""), {"auth": "none"}),
    ],
)
def test_the_method_that_fits_is_taken(account: Account, expected: dict[str, Any]) -> None:
    assert credentials_for(WEB, account, "s") == expected


def test_no_connection_or_no_method_is_no_credentials() -> None:
    assert credentials_for(WEB, None, "s") == {}
    assert credentials_for(_manifest(), Account("c", password="p"), "s") == {}


@pytest.mark.parametrize("asked", ["oauth", ["token"], {"a": 1}, 5, True])
def test_an_unknown_method_is_told(asked: Any) -> None:
    with pytest.raises(ConfigFailure, match=r"Connection `c` of step `s`.*none, basic, token, key"):
        credentials_for(WEB, Account("c", password="secret-word", extra={"auth": asked}), "s")


def test_missing_parts_are_told_without_what_is_there() -> None:
    manifest = _manifest(basic={"required": {"u": "login", "p": "password"}}, key={"required": {"k": "extra.api_key"}})
    with pytest.raises(ConfigFailure, match=r"basic needs login, password; key needs extra\.api_key") as caught:
        credentials_for(manifest, Account("c", password="secret-word"), "s")
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("parts", "url"),
    [
        ({"host": "h"}, "https://h"),
        ({"host": "h", "schema": "http", "port": 80}, "http://h:80"),
        ({"host": "http://h/a", "port": 8080}, "http://h:8080/a"),
        ({"host": "http://h:1/a", "port": 8080}, "http://h:1/a"),
        ({"host": "h/a", "schema": "http"}, "http://h/a"),
        ({"host": "[::1]", "port": 80}, "https://[::1]:80"),
        ({"host": "::1", "port": 80}, "https://[::1]:80"),
        ({"port": 80}, None),
    ],
)
def test_urls(parts: dict[str, Any], url: str | None) -> None:
    assert Account("c", **parts).part("url") == url


def test_an_account_never_shows_itself() -> None:
    account = Account("c", "login-x", "password-x", "host-x", 1, "schema-x", {"k": "extra-x"})
    assert "-x" not in repr(account)


def test_every_form_of_a_secret_is_known() -> None:
    key = "-----BEGIN PRIVATE KEY-----\r\nMIIEvQIBADANBgkqhkiG9w0\r\nshort\r\n-----END PRIVATE KEY-----"
    account = Account(
        "c", "me", 'p"ss w/rd', extra={"key": key, "auth": "basic", "deep": {"list": ["inner-token"]}, "n": 5}
    )
    secrets = set(secrets_of(account))
    assert {'p"ss w/rd', 'p\\"ss w/rd', "p%22ss%20w%2Frd", "p%22ss+w%2Frd", "inner-token", key} <= secrets
    assert "MIIEvQIBADANBgkqhkiG9w0" in secrets
    assert base64.b64encode(b'me:p"ss w/rd').decode() in secrets
    assert not {"short", "basic", "", "me"} & secrets
    assert list(secrets_of(None)) == []
