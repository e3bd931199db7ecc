"""Whose application asks, and where its secret may go."""

from __future__ import annotations

from typing import Any

import pytest

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.reach import address_of
from flowmate_airflow.auth.values import client_of
from flowmate_airflow.catalog.oauth import OAuth1, OAuth2

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


@pytest.mark.parametrize("hosts", [[], ["{server}"], ["*.example.com", "*.{server}"], ["*.com"]])
@pytest.mark.parametrize(
    "address",
    [
        "https://{server}/token",
        "{server}/token",
        "https://{server}:8443/token",
        "https://www.{server}/token",
        "https://{server}.com/token",
        "https://login-{server}/token",
        "https://{server}.{server}:443/token",
        "https://{server}:{server}/token",
        "https://{server}.0.0.1/token",
        "https://[2001:db8::{server}]/token",
        "https://{server}example.com/token",
    ],
)
def test_the_applications_secret_goes_to_no_host_that_a_tenant_has_chosen(address: str, hosts: list[str]) -> None:
    with pytest.raises(LoginError, match="`server`, which tenants fill in, says whose host") as caught:
        client_of(method(address, hosts=hosts), Account("flowmate.shop.acme"), SHARED)
    assert caught.value.kind == "config"
    assert "our-secret" not in caught.value.text


@pytest.mark.parametrize(
    "address", ["https://{server}:8443/token", "https://www.{server}/token", "https://{server}/token", "{url}/token"]
)
def test_nothing_goes_to_a_host_that_is_not_listed(address: str) -> None:
    values = {"server": "evil.example.org", "url": "https://evil.example.org"}
    asked = method(address, hosts=["*.example.com"])
    with pytest.raises(LoginError, match="not among the `hosts` of the manifest"):
        address_of(asked, asked.token_url, values)
    listed = method(address, hosts=["{server}", "{server}:8443", "www.{server}"])
    assert "evil.example.org" in address_of(listed, listed.token_url, values)


@pytest.mark.parametrize(
    "chosen",
    [
        method("https://{server}/token", hosts=["*.example.com"]),
        method("{server}/token", private=True),
        method("https://{server}.example.com/token"),
        method("https://{server}.example.com:8443/token", hosts=["{server}.example.com:8443"]),
        method("https://api-{server}.eu.example.com/token"),
        method(
            "https://login.example.com/token", token_metadata={"instance": "extra.server"}, refresh_url="{server}/t"
        ),
        method("https://login.example.com:{server}/token"),
        method(
            "{server}/token",
            optional={"instance": "extra.instance"},
            token_metadata={"instance_url": "extra.instance"},
            hosts=["*.example.com", "{instance}"],
        ),
    ],
    ids=[
        *("listed", "private", "a label only", "a label and a port", "a part of a label", "told by the provider"),
        *("a port only", "listed as what the provider tells"),
    ],
)
def test_it_goes_where_the_manifest_has_a_say(chosen: OAuth2) -> None:
    assert client_of(chosen, Account("flowmate.shop.acme"), SHARED).client_id == "our-client"


@pytest.mark.parametrize(
    "more",
    [
        {"redirect_metadata": {"realmId": "extra.told"}, "hosts": ["*.example.com", "{told}"]},
        {
            "token_metadata": {"t": "extra.told"},
            "hosts": ["{told}"],
            "optional": {"told": "extra.told", "all": "extra"},
        },
        {"token_metadata": {"t": "host"}, "hosts": ["{told}"], "optional": {"told": "host", "base": "url"}},
    ],
    ids=["by the way back", "within the extra of a form", "within the address of a form"],
)
def test_what_people_can_say_as_well_is_not_told_by_the_provider(more: dict[str, Any]) -> None:
    chosen = method("https://{server}/token", **{"optional": {"told": "extra.told"}, **more})
    with pytest.raises(LoginError, match="`server`, which tenants fill in"):
        client_of(chosen, Account("flowmate.shop.acme"), SHARED)


@pytest.mark.parametrize(("signature", "is_sent"), [("PLAINTEXT", True), ("HMAC-SHA256", False), ("RSA-SHA256", False)])
@pytest.mark.parametrize("place", ["request_url", "access_url", "verify"])
def test_a_consumers_secret_that_is_sent_in_clear_is_kept_likewise(signature: str, is_sent: bool, place: str) -> None:
    urls = {key: f"https://a.example.com/{key}" for key in ("request_url", "authorize_url", "access_url")}
    chosen = {"verify": {"url": "https://{server}/me"}} if place == "verify" else {place: "https://{server}/token"}
    signed = OAuth1.model_validate(
        {"type": "oauth1", "signature": signature, "required": {"server": "extra.server"}, **urls, **chosen}
    )
    account = Account("flowmate.shop.acme")
    if not is_sent:
        assert client_of(signed, account, SHARED).client_secret == "our-secret"
        return
    with pytest.raises(LoginError, match="`server`, which tenants fill in"):
        client_of(signed, account, SHARED)


def test_a_tenants_own_application_goes_where_the_tenant_wants() -> None:
    own = Account("flowmate.shop.acme", extra={"client_id": "own", "client_secret": "own-secret"})
    assert client_of(method("{server}/token"), own, SHARED).client_id == "own"
