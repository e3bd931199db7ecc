"""Each knob of OAuth 2 in a manifest: what is sent, and what is read from the answer."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from nasty import Nasty

from flowmate_airflow.auth.credentials import Account, credentials_for
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.grants import Grant
from flowmate_airflow.auth.oauth2 import (
    Client,
    Login,
    authorization_url,
    client_of,
    code_of,
    exchange,
    first_grant,
    renew,
    revoke,
    values_of,
)
from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.catalog.oauth import OAuth2

BACK = "https://flowmate.example.com/back"
STATIC = {"type": "oauth2", "authorize_url": "https://a.example.com/consent", "token_url": "https://a.example.com/t"}
APP = Client("app", "s3cr3t")


def static(**more: Any) -> OAuth2:
    return OAuth2.model_validate({**STATIC, **more})


def method_of(nasty: Nasty, **more: Any) -> OAuth2:
    return OAuth2.model_validate(nasty.auth(**more))


def client_of_nasty(nasty: Nasty) -> Client:
    return Client(nasty.client_id, nasty.client_secret)


def log_in(nasty: Nasty, method: OAuth2, values: dict[str, str] | None = None) -> Login:
    client = client_of_nasty(nasty)
    url, verifier = authorization_url(method, values or {}, client, BACK, "s")
    returned = nasty.consent(url)
    return exchange(method, values or {}, client, BACK, code_of(method, values or {}, returned), verifier, returned)


def asked(url: str) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(urlsplit(url).query, keep_blank_values=True).items()}


# --- the consent


def test_the_consent_has_pkce_and_what_the_manifest_adds() -> None:
    method = static(
        scopes={"a:read": "why", "b": "why"},
        authorize_params={"prompt": "consent", "shop": "{shop}", "audience": "api & more"},
    )
    url, verifier = authorization_url(method, {"shop": "s/1"}, APP, BACK, "the state")
    query = asked(url)
    challenge = query.pop("code_challenge")
    assert verifier is not None
    assert 43 <= len(verifier) <= 128
    assert len(challenge) == 43
    assert verifier not in url
    assert "s3cr3t" not in url
    assert query == {
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": BACK,
        "scope": "a:read b",
        "state": "the state",
        "code_challenge_method": "S256",
        "prompt": "consent",
        "shop": "s/1",
        "audience": "api & more",
    }
    assert authorization_url(method, {"shop": "s/1"}, APP, BACK, "s")[1] != verifier


def test_the_consent_without_pkce() -> None:
    url, verifier = authorization_url(static(pkce=False), {}, APP, BACK, "s")
    assert verifier is None
    assert "code_challenge" not in url
    assert "scope" not in url


@pytest.mark.parametrize(("separator", "scope"), [(" ", "a b"), (",", "a,b"), ("+", "a+b")])
def test_what_stands_between_scopes(separator: str, scope: str) -> None:
    method = static(scopes={"a": "", "b": ""}, scope_separator=separator)
    assert asked(authorization_url(method, {}, APP, BACK, "s")[0])["scope"] == scope


def test_a_manifest_cannot_change_what_protects_the_consent() -> None:
    mine = {"state": "x", "redirect_uri": "https://evil.example.com", "code_challenge": "x", "response_type": "token"}
    query = asked(authorization_url(static(authorize_params=mine), {}, APP, BACK, "s")[0])
    assert (query["state"], query["redirect_uri"], query["response_type"]) == ("s", BACK, "code")
    assert query["code_challenge"] != "x"


def test_an_address_keeps_the_query_it_has() -> None:
    method = static(authorize_url="https://{x}.example.com/consent?tenant={x}&b=")
    query = asked(authorization_url(method, {"x": "acme"}, APP, BACK, "s")[0])
    assert (query["tenant"], query["b"], query["client_id"]) == ("acme", "", "app")


# --- how the client asks


def test_the_client_says_who_it_is_in_the_body(nasty: Nasty) -> None:
    log_in(nasty, method_of(nasty))
    (call,) = nasty.called("/token")
    assert call.headers.get("Authorization") is None
    assert call.form["client_id"] == nasty.client_id
    assert call.form["client_secret"] == nasty.client_secret
    assert call.form["grant_type"] == "authorization_code"
    assert call.headers["Accept"] == "application/json"


def test_the_client_says_who_it_is_by_basic_with_both_encoded(nasty: Nasty) -> None:
    log_in(nasty, method_of(nasty, client_auth="header"))
    (call,) = nasty.called("/token")
    assert not {"client_id", "client_secret"} & set(call.form)
    sent = base64.b64decode(call.headers["Authorization"].removeprefix("Basic ")).decode()
    assert sent == "nasty-app:nasty%2Fsecret%2Bof%3Athe+app"


def test_a_client_without_a_secret_names_itself(nasty: Nasty) -> None:
    for place in ("header", "body"):
        with pytest.raises(LoginError):
            exchange(method_of(nasty, client_auth=place), {}, Client("public"), BACK, "code", "v" * 43)
    for call in nasty.called("/token"):
        assert call.form["client_id"] == "public"
        assert "client_secret" not in call.form
        assert "Authorization" not in call.headers


def test_bodies_as_json(nasty: Nasty) -> None:
    method = method_of(nasty, token_body="json")
    login = log_in(nasty, method)
    renew(method, {}, client_of_nasty(nasty), login.grant)
    for call in nasty.called("/token"):
        assert call.headers["Content-Type"] == "application/json"
        assert json.loads(call.body)["client_id"] == nasty.client_id


def test_more_parameters_and_headers_for_tokens(nasty: Nasty) -> None:
    method = method_of(
        nasty,
        token_params={"for": "{shop}", "kind": "first"},
        refresh_params={"kind": "next"},
        token_headers={"X-Shop": "{shop}", "Accept": "application/vnd.x+json"},
    )
    values = {"shop": "s 1"}
    renew(method, values, client_of_nasty(nasty), log_in(nasty, method, values).grant)
    first, second = nasty.called("/token")
    assert (first.form["for"], first.form["kind"]) == ("s 1", "first")
    assert (second.form.get("for"), second.form["kind"]) == (None, "next")
    assert [call.headers["X-Shop"] for call in (first, second)] == ["s 1", "s 1"]
    assert first.headers["Accept"] == "application/vnd.x+json"


def test_tokens_are_renewed_elsewhere_with_their_scopes(nasty: Nasty) -> None:
    method = method_of(nasty, refresh_url=f"{nasty.url}/token?renewed=1", scope_on_refresh=True)
    renew(method, {}, client_of_nasty(nasty), log_in(nasty, method).grant)
    first, second = nasty.called("/token")
    assert (first.query, "scope" in first.form) == ({}, False)
    assert (second.query, second.form["scope"]) == ({"renewed": "1"}, "read write")
    renew(method_of(nasty), {}, client_of_nasty(nasty), log_in(nasty, method).grant)
    assert "scope" not in nasty.called("/token")[-1].form


def test_client_credentials_name_scopes_and_parameters(nasty: Nasty) -> None:
    method = OAuth2.model_validate(
        {
            "type": "oauth2",
            "grant": "client_credentials",
            "token_url": f"{nasty.url}/token",
            "scopes": {"a": "", "b": ""},
            "token_params": {"audience": "{audience}"},
            "private": True,
            "required": {"audience": "extra.audience"},
        }
    )
    account = Account("c", nasty.client_id, nasty.client_secret, extra={"audience": "https://api"})
    client = client_of(method, account, None)
    login = first_grant(method, values_of(method, account, client), client)
    (call,) = nasty.called("/token")
    assert (call.form["scope"], call.form["audience"]) == ("a b", "https://api")
    assert nasty.is_valid(login.grant.access_token)
    assert login.grant.refresh_token is None


def test_a_parameter_that_is_an_optional_credential_is_left_out_where_that_is_not_set(nasty: Nasty) -> None:
    known = {"scopes": "extra.scope", "audience": "extra.audience"}
    params = {"scope": "{scopes}", "audience": "{audience}"}
    method = method_of(nasty, scopes={}, optional=known, token_params=params)
    log_in(nasty, method, {"audience": "https://api"})
    (call,) = nasty.called("/token")
    assert call.form["audience"] == "https://api"
    assert "scope" not in call.form
    needed = method_of(nasty, scopes={}, optional=known, token_params={"audience": "the {audience}"})
    with pytest.raises(LoginError, match="`audience` is not set"):
        log_in(nasty, needed)


@pytest.mark.parametrize(("name", "by_basic"), [("client_credentials", True), ("client_credentials_in_body", False)])
def test_the_shipped_http_connector_logs_in_with_client_credentials(nasty: Nasty, name: str, by_basic: bool) -> None:
    manifest = Catalog().get("http")
    assert isinstance(manifest, Manifest)
    method = manifest.auth[name]
    assert isinstance(method, OAuth2)
    method = method.model_copy(update={"private": True})
    extra = {"auth": name, "token_url": f"{nasty.url}/token", "scope": "orders.read orders.write"}
    account = Account("c", nasty.client_id, nasty.client_secret, host="https://api.example.com", extra=extra)
    client = client_of(method, account, None)
    login = first_grant(method, values_of(method, account, client), client)
    assert nasty.is_valid(login.grant.access_token)
    (call,) = nasty.called("/token")
    assert call.form["scope"] == "orders.read orders.write"
    assert "audience" not in call.form
    assert ("client_secret" not in call.form, call.basic is not None) == (by_basic, by_basic)
    fresh = Account("c", None, login.grant.access_token, host="https://api.example.com", extra=extra)
    given = credentials_for(manifest, fresh, "step")
    assert (given["accessToken"], given["baseUrl"]) == (login.grant.access_token, "https://api.example.com")


# --- what is read


def test_the_old_refresh_token_stays_where_none_comes(nasty: Nasty) -> None:
    nasty.rotate, nasty.omit_refresh = False, True
    method, client = method_of(nasty), client_of_nasty(nasty)
    first = log_in(nasty, method).grant
    second = renew(method, {}, client, first).grant
    assert second.refresh_token == first.refresh_token
    assert second.access_token != first.access_token
    renew(method, {}, client, second)
    assert nasty.refreshes == 2


@pytest.mark.parametrize(
    ("answered", "granted"),
    [("read", "read"), ("", "read write"), ("read,write extra", "read write extra"), (None, "read write")],
)
def test_what_was_granted_is_known(nasty: Nasty, answered: str | None, granted: str) -> None:
    nasty.scope = answered
    assert log_in(nasty, method_of(nasty)).grant.scope == granted


def test_a_scope_that_was_reduced_stays_so_when_a_renewal_does_not_say(nasty: Nasty) -> None:
    nasty.scope = "read"
    method = method_of(nasty)
    login = log_in(nasty, method)
    nasty.scope = ""
    assert renew(method, {}, client_of_nasty(nasty), login.grant).grant.scope == "read"


@pytest.mark.parametrize(
    ("knobs", "told", "lasts"),
    [
        ({}, {"expires_in": 60}, 60),
        ({}, {"expires_in": "60"}, 60),
        ({}, {"expires_in": "59.5"}, 59.5),
        ({"expires_unit": "ms"}, {"expires_in": 60_000}, 60),
        ({"token_names": {"expires_in": "life.seconds"}}, {"life": {"seconds": 60}}, 60),
        ({}, {}, None),
        ({"expires_in": 900}, {}, 900),
        ({"expires_in": 900}, {"expires_in": 60}, 60),
        ({"expires_in": 900}, {"expires_in": 0}, 900),
        ({"expires_in": 900}, {"expires_in": -5}, 900),
        ({"expires_in": 900}, {"expires_in": "soon"}, 900),
        ({"expires_in": 900}, {"expires_in": True}, 900),
        ({"expires_in": 900}, {"expires_in": "nan"}, 900),
        ({}, {"expires_in": "inf"}, None),
        ({}, {"expires_in": None}, None),
        ({}, {"expires_in": 10**30}, 20 * 366 * 86400),
    ],
)
def test_when_a_token_is_over(nasty: Nasty, knobs: dict[str, Any], told: dict[str, Any], lasts: float | None) -> None:
    nasty.shape = lambda tokens: {"access_token": tokens["access_token"], **told}
    grant = log_in(nasty, method_of(nasty, **knobs)).grant
    assert grant.expires_at == (None if lasts is None else grant.obtained_at + lasts)


@pytest.mark.parametrize("clock", [0, 600, -600])
@pytest.mark.parametrize("unit", ["s", "ms", "date"])
def test_a_moment_is_told_by_the_providers_clock_and_kept_by_ours(nasty: Nasty, clock: float, unit: str) -> None:
    from datetime import datetime, timezone

    def told(tokens: dict[str, Any]) -> dict[str, Any]:
        moment = nasty.now() + 3600
        date = datetime.fromtimestamp(moment, timezone.utc).isoformat()
        return {"access_token": "t", "until": {"s": moment, "ms": str(moment * 1000), "date": date}[unit]}

    nasty.clock, nasty.shape = clock, told
    knobs = {"token_names": {"expires_at": "until"}, "expires_unit": "ms" if unit == "ms" else "s"}
    grant = log_in(nasty, method_of(nasty, **knobs)).grant
    assert grant.expires_at is not None
    assert abs(grant.expires_at - grant.obtained_at - 3600) < 60


def test_tokens_at_a_path_under_names_of_their_own_with_more_beside(nasty: Nasty) -> None:
    nasty.shape = lambda tokens: {
        "ok": True,
        "team": {"id": "T1", "members": [{"id": 5}, {"id": 6}], "is_big": True},
        "authed_user": {"token": tokens["access_token"], "again": {"with": tokens.get("refresh_token")}, "scope": "x"},
    }
    method = method_of(
        nasty,
        token_path="authed_user",
        token_names={"access_token": "token", "refresh_token": "again.with"},
        token_metadata={
            "team.id": "extra.team",
            "team.members.1.id": "login",
            "team.is_big": "extra.big",
            "team.none": "extra.none",
            "team": "extra.object",
        },
    )
    login = log_in(nasty, method)
    assert login.metadata == {"extra.team": "T1", "login": "6", "extra.big": "true"}
    assert nasty.is_valid(login.grant.access_token)
    assert renew(method, {}, client_of_nasty(nasty), login.grant).metadata == login.metadata


def test_the_way_back_tells_something_too(nasty: Nasty) -> None:
    nasty.more_on_return = {"realmId": "123", "other": "x"}
    method = method_of(nasty, redirect_metadata={"realmId": "extra.realm"}, token_metadata={"scope": "extra.scope"})
    assert log_in(nasty, method).metadata == {"extra.realm": "123", "extra.scope": "read write"}


@pytest.mark.parametrize(("target", "length"), [("login", 501), ("extra.x", 2001)])
def test_what_is_too_long_for_a_column_is_no_metadata(nasty: Nasty, target: str, length: int) -> None:
    nasty.more_on_return = {"x": "a" * length}
    with pytest.raises(LoginError, match=r"`x` of what the way back told"):
        log_in(nasty, method_of(nasty, redirect_metadata={"x": target}))
    assert nasty.called("/token") == []


def test_a_form_instead_of_json(nasty: Nasty) -> None:
    nasty.as_form = True
    grant = log_in(nasty, method_of(nasty)).grant
    assert grant.expires_at == grant.obtained_at + 3600
    assert nasty.is_valid(grant.access_token)


def test_a_token_of_a_hundred_kilobytes(nasty: Nasty) -> None:
    nasty.token_size = 100_000
    assert len(log_in(nasty, method_of(nasty)).grant.access_token) == 100_000


def test_tokens_are_given_back(nasty: Nasty) -> None:
    method, client = method_of(nasty), client_of_nasty(nasty)
    grant = log_in(nasty, method).grant
    assert revoke(method, {}, client, grant) is True
    hints = [(call.form["token"], call.form["token_type_hint"]) for call in nasty.called("/revoke")]
    assert hints == [(grant.refresh_token, "refresh_token"), (grant.access_token, "access_token")]
    assert not nasty.is_valid(grant.access_token)
    assert revoke(method_of(nasty, revoke_url=None), {}, client, grant) is False


# --- who asks


def test_a_tenants_own_application_is_stronger() -> None:
    application = Account("flowmate.shop", "shared", "shared-secret")
    assert client_of(static(), Account("c"), application) == Client("shared", "shared-secret")
    own = Account("c", extra={"client_id": "own", "client_secret": "own-secret", "certificate": "C"})
    assert client_of(static(), own, application) == Client("own", "own-secret", "C")
    for account, app, text in [
        (Account("c"), None, "no application"),
        (Account("c"), Account("flowmate.shop", None, "x"), "flowmate.shop"),
    ]:
        with pytest.raises(LoginError, match=text) as caught:
            client_of(static(), account, app)
        assert caught.value.kind == "config"


def test_with_client_credentials_the_application_is_what_people_filled_in() -> None:
    method = OAuth2.model_validate(
        {"type": "oauth2", "grant": "client_credentials", "token_url": "https://a.example.com"}
    )
    assert client_of(method, Account("c", "id", "pw"), Account("flowmate.shop", "x", "y")) == Client("id", "pw")


def test_what_people_filled_in_has_no_token_among_it() -> None:
    method = static(
        required={"access_token": "password", "shop": "extra.shop"},
        optional={"port": "port", "all": "extra"},
        scopes={"a": "", "b": ""},
    )
    account = Account("c", "l", "their-secret", port=8443, extra={"shop": "s1"})
    assert values_of(method, account, APP) == {"shop": "s1", "port": "8443", "scope": "a b", "client_id": "app"}


def test_secrets_are_in_no_repr() -> None:
    grant = Grant("access-secret", "refresh-secret")
    shown = repr((Client("id", "client-secret", "cert-secret", "key-secret"), Login(grant, {"login": "meta-secret"})))
    assert "secret'" not in shown
    assert "-secret" not in shown
