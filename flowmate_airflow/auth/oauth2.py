"""OAuth 2: a consent, a client's own grant or a signed assertion brings tokens, which are renewed and given back.

The requests are what oauthlib prepares. They go by our own session: oauthlib's transport has no limits, and what it is
strict about can be changed for the whole process only.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import parse_qsl

from flowmate_airflow.auth.answers import metadata, read, said, without
from flowmate_airflow.auth.errors import Denied, Kind, LoginError
from flowmate_airflow.auth.grants import Grant
from flowmate_airflow.auth.jwtbearer import assertion
from flowmate_airflow.auth.reach import address_of
from flowmate_airflow.auth.templates import filled_params
from flowmate_airflow.auth.tokenrequests import ask
from flowmate_airflow.auth.tokens import Login, login_of
from flowmate_airflow.auth.values import Client, client_of, values_of
from flowmate_airflow.catalog.oauth import OAuth2

__all__ = [
    "Client",
    "Login",
    "authorization_url",
    "client_of",
    "code_of",
    "exchange",
    "first_grant",
    "renew",
    "revoke",
    "values_of",
]

_VERIFIER = 64
"""Characters of the secret of PKCE; it may have 43 to 128 (RFC 7636, 4.1)."""
_MAX_CODE = 16 * 1024
_SECRET = ("code", "code_verifier", "refresh_token", "assertion")
"""Parameters that no error may show."""


def authorization_url(
    method: OAuth2, values: Mapping[str, str], client: Client, redirect_uri: str, state: str
) -> tuple[str, str | None]:
    """Return where people consent, and the secret of PKCE (RFC 7636, S256) where the method has it.

    :raises LoginError: a value is missing or wrong
    """
    from oauthlib.common import add_params_to_uri  # type: ignore[import-untyped]
    from oauthlib.oauth2 import WebApplicationClient  # type: ignore[import-untyped]

    if method.authorize_url is None:
        raise LoginError(f"the grant `{method.grant}` has no consent")
    params = {"client_id": client.client_id}
    if method.scopes:
        params["scope"] = _scope(method)
    params.update(filled_params(method.authorize_params, values, method.optional))
    # After the manifest's own, which cannot change them.
    params.update(response_type="code", redirect_uri=redirect_uri, state=state)
    verifier = None
    if method.pkce:
        pkce = WebApplicationClient(client.client_id)
        verifier = pkce.create_code_verifier(_VERIFIER)
        challenge = pkce.create_code_challenge(verifier, "S256")
        params.update(code_challenge=challenge, code_challenge_method="S256")
    address = address_of(method, method.authorize_url, values)
    return add_params_to_uri(address, list(params.items())), verifier


def code_of(method: OAuth2, values: Mapping[str, str], returned: Mapping[str, str]) -> str:
    """Return the code that a provider sent a person back with.

    The state is the caller's to check, before this.

    :param returned: the query of the way back
    :raises LoginError: the person or the provider said no (`refused`), somebody else answered (`iss`, RFC 9207), or
        there is no code
    """
    _check_issuer(method, values, returned.get("iss"))
    if returned.get("error"):
        text = said(dict(returned))
        if returned["error"] == "access_denied":
            raise Denied(f"the consent was not given: {text}")
        raise LoginError(f"the provider gave no consent: {text}", "refused")
    code = returned.get("code")
    if not code:
        raise LoginError("the way back from the provider has neither a code nor an error", "refused")
    if len(code) > _MAX_CODE:
        raise LoginError("the code of the way back from the provider is too long", "refused")
    return code


def _check_issuer(method: OAuth2, values: Mapping[str, str], issuer: str | None) -> None:
    if issuer is None:
        if method.require_issuer:
            raise LoginError("the way back does not say which provider it is from (`iss`)", "refused")
        return
    if method.issuer is None:
        return
    expected = address_of(method, method.issuer, values)
    if issuer != expected:
        raise LoginError(f"the way back is from {without(issuer, ())}, not from {expected}, which was asked", "refused")


def exchange(
    method: OAuth2,
    values: Mapping[str, str],
    client: Client,
    redirect_uri: str,
    code: str,
    verifier: str | None,
    returned: Mapping[str, str] | None = None,
) -> Login:
    """Return what a code of a consent brings.

    :param returned: the query of the way back, of which the method may keep something
    :raises LoginError: it brings nothing
    """
    from oauthlib.oauth2 import WebApplicationClient

    # Before the code is spent.
    told = metadata(dict(returned or {}), method.redirect_metadata, "the way back")
    body = WebApplicationClient(client.client_id).prepare_request_body(
        code=code, redirect_uri=redirect_uri, code_verifier=verifier, include_client_id=False
    )
    params = {**_params(body), **filled_params(method.token_params, values, method.optional)}
    login = _brought(method, values, client, method.token_url, params)
    return Login(login.grant, {**told, **login.metadata})


def first_grant(method: OAuth2, values: Mapping[str, str], client: Client) -> Login:
    """Return a token that needs no person: of the grant `client_credentials` or `jwt_bearer`.

    :raises LoginError: there is none
    """
    return _without_person(method, values, client, "refused")


def renew(method: OAuth2, values: Mapping[str, str], client: Client, grant: Grant) -> Login:
    """Return fresh tokens; the old refresh token stays where no other comes.

    :raises LoginError: there are none; `needs_reauth` when only a person can bring others
    """
    from oauthlib.oauth2 import WebApplicationClient

    if method.grant != "authorization_code":
        return _without_person(method, values, client, "needs_reauth")
    if grant.refresh_token is None:
        raise LoginError("the provider gave no refresh token, so only a new login brings a token", "needs_reauth")
    scope = _scope(method) if method.scope_on_refresh else None
    body = WebApplicationClient(client.client_id).prepare_refresh_body(refresh_token=grant.refresh_token, scope=scope)
    params = {**_params(body), **filled_params(method.refresh_params, values, method.optional)}
    return _brought(method, values, client, method.refresh_url or method.token_url, params, grant, "needs_reauth")


def revoke(method: OAuth2, values: Mapping[str, str], client: Client, grant: Grant) -> bool:
    """Give tokens back (RFC 7009) and return whether the provider took them; False where it has no way to.

    :raises LoginError: it could not be asked, or said no
    """
    if method.revoke_url is None:
        return False
    url = address_of(method, method.revoke_url, values)
    tokens = {"refresh_token": grant.refresh_token, "access_token": grant.access_token}
    results = [
        _take_back(method, values, client, url, token, hint) for hint, token in tokens.items() if token is not None
    ]
    # Access tokens are over with their refresh token, or soon: some providers take only that one back.
    if isinstance(results[0], LoginError):
        raise results[0]
    return True


def _take_back(
    method: OAuth2, values: Mapping[str, str], client: Client, url: str, token: str, hint: str
) -> LoginError | None:
    try:
        answer = ask(method, values, client, url, {"token": token, "token_type_hint": hint})
    except LoginError as error:
        return error
    if answer.status < 400:
        return None
    try:
        read(answer, (client.client_secret, token))
    except LoginError as error:
        return error
    return None


def _without_person(method: OAuth2, values: Mapping[str, str], client: Client, lost: Kind) -> Login:
    from oauthlib.oauth2 import BackendApplicationClient, ServiceApplicationClient

    scope = _scope(method) if method.scopes else None
    if method.grant == "authorization_code":
        raise LoginError("the grant `authorization_code` needs a person's consent", "needs_reauth")
    if method.jwt is None:
        body = BackendApplicationClient(client.client_id).prepare_request_body(include_client_id=False, scope=scope)
        params = _params(body)
    else:
        audience = address_of(method, method.token_url, values)
        signed = assertion(method.jwt, values, client, audience, time.time())
        params = {"grant_type": ServiceApplicationClient.grant_type, "assertion": signed}
        if scope is not None and "scope" not in method.jwt.claims:
            params["scope"] = scope
    params |= filled_params(method.token_params, values, method.optional)
    return _brought(method, values, client, method.token_url, params, lost=lost)


def _brought(
    method: OAuth2,
    values: Mapping[str, str],
    client: Client,
    url: str,
    params: Mapping[str, str],
    before: Grant | None = None,
    lost: Kind = "refused",
) -> Login:
    """Ask for tokens and return what comes."""
    answer = ask(method, values, client, address_of(method, url, values), params)
    secrets = [client.client_secret, *(params.get(name) for name in _SECRET)]
    return login_of(method, answer, read(answer, secrets, lost=lost), before)


def _scope(method: OAuth2) -> str:
    return method.scope_separator.join(method.scopes)


def _params(body: str) -> dict[str, str]:
    return dict(parse_qsl(body, keep_blank_values=True))
