"""OAuth 1 (RFC 5849): a consent brings a token and its secret, and both sign requests together with the consumer's."""

from __future__ import annotations

import time
from collections.abc import Mapping

from flowmate_airflow.auth.answers import metadata, read
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.grants import Grant
from flowmate_airflow.auth.http import Sign, send
from flowmate_airflow.auth.keys import private_key
from flowmate_airflow.auth.reach import address_of
from flowmate_airflow.auth.templates import filled_params
from flowmate_airflow.auth.tokens import Login, token_text
from flowmate_airflow.auth.values import Client
from flowmate_airflow.catalog.oauth import OAuth1

TOKEN_TYPE = "oauth1"  # noqa: S105
_PLACES = {"header": "AUTH_HEADER", "query": "QUERY", "body": "BODY"}
"""Where a signature stands, as oauthlib calls it."""


def begin(method: OAuth1, values: Mapping[str, str], client: Client, callback_uri: str) -> tuple[str, str, str]:
    """Return where people consent, and the request token with its secret, which :func:`finish` needs.

    :raises LoginError: the provider gives none
    """
    from oauthlib.common import add_params_to_uri  # type: ignore[import-untyped]

    sign = signature(method, client, callback_uri=callback_uri)
    token, secret, told = _asked(method, values, client, method.request_url, sign, ())
    # Without it, the provider is one of OAuth 1.0, in which a consent can be slipped to somebody else.
    if str(told.get("oauth_callback_confirmed")).lower() != "true":
        raise LoginError("the provider does not confirm the address of the way back (RFC 5849, 2.1)")
    address = address_of(method, str(method.authorize_url), values)
    params = {**filled_params(method.authorize_params, values, method.optional), "oauth_token": token}
    return add_params_to_uri(address, list(params.items())), token, secret


def finish(
    method: OAuth1,
    values: Mapping[str, str],
    client: Client,
    request_token: str,
    request_secret: str,
    verifier: str,
) -> Login:
    """Return what a consent brings. That the way back names this request token is the caller's to check.

    :param verifier: `oauth_verifier` of the way back
    :raises LoginError: it brings nothing
    """
    started = time.time()
    sign = signature(method, client, token=request_token, token_secret=request_secret, verifier=verifier)
    token, secret, told = _asked(method, values, client, method.access_url, sign, (request_secret, verifier))
    grant = Grant(token, token_secret=secret, token_type=TOKEN_TYPE, obtained_at=started)
    return Login(grant, metadata(told, method.token_metadata, "the provider"))


def signature(
    method: OAuth1,
    client: Client,
    *,
    token: str | None = None,
    token_secret: str | None = None,
    callback_uri: str | None = None,
    verifier: str | None = None,
    is_form: bool = True,
) -> Sign:
    """Return what signs a request.

    :param is_form: it has no body, or one that is a form: a signature cannot stand in another (RFC 5849, 3.5.2)
    :raises LoginError: there is no secret, or no key, to sign with
    """
    from requests_oauthlib import OAuth1 as Signature  # type: ignore[import-untyped]

    place = method.signature_place if is_form or method.signature_place != "body" else "header"
    is_rsa = method.signature.startswith("RSA")
    if not client.client_secret:
        raise LoginError("the consumer of OAuth 1 has no secret to sign with")
    sign: Sign = Signature(
        client.client_id,
        client_secret=None if is_rsa else client.client_secret,
        resource_owner_key=token,
        resource_owner_secret=token_secret,
        callback_uri=callback_uri,
        verifier=verifier,
        signature_method=method.signature,
        signature_type=_PLACES[place],
        realm=method.realm,
        rsa_key=private_key(client.client_secret, "the consumer's secret") if is_rsa else None,
    )
    return sign


def _asked(
    method: OAuth1,
    values: Mapping[str, str],
    client: Client,
    url: str | None,
    sign: Sign,
    secrets: tuple[str, ...],
) -> tuple[str, str, Mapping[str, str]]:
    """Ask for a token and return it with its secret, and all that was answered."""
    address = address_of(method, str(url), values)
    answer = send("POST", address, private=method.private, sign=sign)
    told = read(answer, (client.client_secret, *secrets))
    if not isinstance(told, dict):
        raise LoginError(f"{answer.host} answered with no token")
    token = token_text(told.get("oauth_token"), answer.host, "token (`oauth_token`)")
    secret = token_text(told.get("oauth_token_secret"), answer.host, "secret (`oauth_token_secret`)")
    return token, secret, told
