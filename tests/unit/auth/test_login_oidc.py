"""Logins at a certified OpenID provider: consent, rotation and its reuse, a client of one's own, revocation."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from oidc import BODY_CLIENT, CLIENT, MACHINE, Oidc

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.oauth2 import (
    Client,
    Login,
    authorization_url,
    code_of,
    exchange,
    first_grant,
    renew,
    revoke,
    values_of,
)
from flowmate_airflow.auth.verify import verify
from flowmate_airflow.catalog.oauth import OAuth2

BACK = "https://flowmate.example.com/flowmate/links/callback/records/0123456789abcdef"
NOBODY = Account("flowmate.records.acme")


def method_of(provider: Oidc, **more: Any) -> OAuth2:
    return OAuth2.model_validate(provider.auth(**more))


def log_in(provider: Oidc, method: OAuth2, client: Client = Client(*CLIENT)) -> Login:  # noqa: B008
    provider.allow(BACK)
    values = values_of(method, NOBODY, client)
    url, verifier = authorization_url(method, values, client, BACK, "the-state")
    returned = dict(parse_qsl(urlsplit(provider.consent(url)).query))
    assert returned["state"] == "the-state"
    return exchange(method, values, client, BACK, code_of(method, values, returned), verifier, returned)


@pytest.mark.parametrize(("client", "place"), [(CLIENT, "header"), (BODY_CLIENT, "body")])
def test_a_consent_brings_tokens_that_an_api_takes(oidc: Oidc, client: tuple[str, str], place: str) -> None:
    method = method_of(oidc, client_auth=place)
    login = log_in(oidc, method, Client(*client))
    assert login.grant.scope == "openid offline_access records.read"
    assert login.grant.expires_at == login.grant.obtained_at + 3600
    assert login.grant.refresh_token
    account = Account("c", password=login.grant.access_token)
    assert verify(method, account, {}) == {"login": "ada"}


def test_a_refresh_token_rotates_and_a_second_use_of_it_ends_all(oidc: Oidc) -> None:
    method, client = method_of(oidc), Client(*CLIENT)
    first = log_in(oidc, method).grant
    second = renew(method, {}, client, first).grant
    assert second.access_token != first.access_token
    assert second.refresh_token not in (None, first.refresh_token)
    assert oidc.refreshes == 1
    for used in (first, second):
        with pytest.raises(LoginError, match="invalid_grant") as caught:
            renew(method, {}, client, used)
        assert caught.value.kind == "needs_reauth"
    assert oidc.counted["reused"] == 1
    with pytest.raises(LoginError, match="invalid_token"):
        verify(method, Account("c", password=second.access_token), {})


def test_a_provider_that_does_not_rotate_is_asked_again_with_the_same(oidc: Oidc) -> None:
    oidc.change(rotate=False)
    method, client = method_of(oidc), Client(*CLIENT)
    grant = log_in(oidc, method).grant
    again = renew(method, {}, client, renew(method, {}, client, grant).grant).grant
    assert again.refresh_token == grant.refresh_token
    assert oidc.refreshes == 2


def test_a_revoked_grant_is_over(oidc: Oidc) -> None:
    method, client = method_of(oidc), Client(*CLIENT)
    grant = log_in(oidc, method).grant
    assert revoke(method, {}, client, grant) is True
    assert revoke(method, {}, client, grant) is True  # what is over can be given back
    with pytest.raises(LoginError) as caught:
        renew(method, {}, client, grant)
    assert caught.value.kind == "needs_reauth"


def test_a_client_of_its_own_needs_no_person(oidc: Oidc) -> None:
    method = OAuth2.model_validate(oidc.machine_auth())
    account = Account("c", *MACHINE)
    values = values_of(method, account, None)
    login = first_grant(method, values, Client(*MACHINE))
    assert (login.grant.scope, login.grant.refresh_token) == ("records.read", None)
    verify(method, Account("c", password=login.grant.access_token), values)
    again = renew(method, values, Client(*MACHINE), login.grant)
    assert again.grant.access_token != login.grant.access_token
    with pytest.raises(LoginError, match="invalid_client") as caught:
        first_grant(method, values, Client(MACHINE[0], "a-wrong-secret"))
    assert caught.value.kind == "config"


def test_a_person_says_no(oidc: Oidc) -> None:
    method, client = method_of(oidc), Client(*CLIENT)
    oidc.allow(BACK)
    url, _ = authorization_url(method, {}, client, BACK, "s")
    returned = dict(parse_qsl(urlsplit(oidc.consent(url, allow=False)).query))
    with pytest.raises(LoginError, match="access_denied: the person said no") as caught:
        code_of(method, {}, returned)
    assert caught.value.kind == "refused"


def test_an_address_that_is_not_registered_gets_no_code(oidc: Oidc) -> None:
    method, client = method_of(oidc), Client(*CLIENT)
    url, _ = authorization_url(method, {}, client, "https://evil.example.com/", "s")
    with pytest.raises(AssertionError, match="redirect_uri"):
        oidc.consent(url)


def test_a_code_is_worth_nothing_without_the_secret_of_its_challenge(oidc: Oidc) -> None:
    method, client = method_of(oidc), Client(*CLIENT)
    oidc.allow(BACK)
    url, _ = authorization_url(method, {}, client, BACK, "s")
    code = code_of(method, {}, dict(parse_qsl(urlsplit(oidc.consent(url)).query)))
    _, other = authorization_url(method, {}, client, BACK, "s")
    with pytest.raises(LoginError, match="invalid_grant") as caught:
        exchange(method, {}, client, BACK, code, other)
    assert caught.value.kind == "refused"
    assert code not in caught.value.text


def test_an_answer_of_another_issuer_is_refused(oidc: Oidc) -> None:
    method = method_of(oidc)
    for issuer in (f"{oidc.url}/", "https://evil.example.com", oidc.url.upper()):
        with pytest.raises(LoginError, match="not from") as caught:
            code_of(method, {}, {"code": "c", "iss": issuer})
        assert caught.value.kind == "refused"
    with pytest.raises(LoginError, match="does not say which provider"):
        code_of(method, {}, {"code": "c"})
    assert code_of(method_of(oidc, require_issuer=False), {}, {"code": "c"}) == "c"
    assert code_of(method, {}, {"code": "c", "iss": oidc.url}) == "c"
