"""Whose application asks, and where its secret may go."""

from __future__ import annotations

from typing import Any

import pytest

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.values import client_of
from flowmate_airflow.catalog.oauth import OAuth2

SHARED = Account("flowmate.shop", login="our-client", password="our-secret")


def method(token_url: str, **more: Any) -> OAuth2:
    return OAuth2.model_validate(
        {
            "type": "oauth2",
            "authorize_url": "https://login.example.com/auth",
            "token_url": token_url,
            "required": {"server": "extra.server"},
            **more,
        }
    )


@pytest.mark.parametrize("address", ["https://{server}/token", "{server}/token"])
def test_the_applications_secret_goes_to_no_host_that_a_tenant_has_chosen(address: str) -> None:
    with pytest.raises(LoginError, match="`server` alone says which host") as caught:
        client_of(method(address), Account("flowmate.shop.acme"), SHARED)
    assert caught.value.kind == "config"
    assert "our-secret" not in caught.value.text


@pytest.mark.parametrize(
    "chosen",
    [
        method("https://{server}/token", hosts=["*.example.com"]),
        method("{server}/token", private=True),
        method("https://{server}.example.com/token"),
        method(
            "https://login.example.com/token", token_metadata={"instance": "extra.server"}, refresh_url="{server}/t"
        ),
    ],
    ids=["listed", "private", "a label only", "told by the provider"],
)
def test_it_goes_where_the_manifest_has_a_say(chosen: OAuth2) -> None:
    assert client_of(chosen, Account("flowmate.shop.acme"), SHARED).client_id == "our-client"


def test_a_tenants_own_application_goes_where_the_tenant_wants() -> None:
    own = Account("flowmate.shop.acme", extra={"client_id": "own", "client_secret": "own-secret"})
    assert client_of(method("{server}/token"), own, SHARED).client_id == "own"
