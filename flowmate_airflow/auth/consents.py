"""A consent, from the address where people give it to what it brings: OAuth 2 and OAuth 1 with three legs alike.

Whoever begins one keeps what it goes on with, and checks that the way back belongs to it: the state, the browser and
the person.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from flowmate_airflow.auth import oauth1, oauth2
from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.auth.errors import Denied, LoginError
from flowmate_airflow.auth.tokens import Login
from flowmate_airflow.auth.values import client_of, values_of
from flowmate_airflow.catalog.authmethod import AuthMethod
from flowmate_airflow.catalog.oauth import OAuth1, OAuth2
from flowmate_airflow.store.values import digest

STATE = "state"
_MAX_TOKEN = 16 * 1024


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent that people can give now.

    :param url: where
    :param kept: what it goes on with
    """

    url: str
    kept: Mapping[str, str] = field(repr=False)


def needs_consent(method: AuthMethod) -> bool:
    """Whether people have to go to the other system to consent."""
    if isinstance(method, OAuth2):
        return method.grant == "authorization_code"
    return isinstance(method, OAuth1) and method.legs == 3


def context_of(tenant: str, connector: str, method: str) -> str:
    """Return what stands for a tenant's way to log in, in the address of the way back.

    It is always the same, so that the address can be registered with the provider, and no other's: a provider's answer
    that was meant for one tenant, connector or method never comes to another.
    """
    return digest(tenant, connector, method).hex()[:16]


def begin(method: AuthMethod, account: Account, application: Account | None, redirect_uri: str, state: str) -> Consent:
    """Return where people consent, and what :func:`complete` needs.

    :param account: what people filled in
    :param application: the Connection `flowmate.CONNECTOR`
    :param state: comes back in the query, as `state`
    :raises LoginError: there is no application, a value is missing or wrong, or the provider gives no request token
    """
    client = client_of(method, account, application)
    values = values_of(method, account, client)
    if isinstance(method, OAuth2):
        url, verifier = oauth2.authorization_url(method, values, client, redirect_uri, state)
        return Consent(url, {} if verifier is None else {"verifier": verifier})
    if not isinstance(method, OAuth1):
        raise LoginError(f"the method `{method.type}` has no consent")
    callback = f"{redirect_uri}?{urlencode({STATE: state})}"
    url, token, secret = oauth1.begin(method, values, client, callback)
    return Consent(url, {"request_token": token, "request_secret": secret})


def complete(
    method: AuthMethod,
    account: Account,
    application: Account | None,
    redirect_uri: str,
    kept: Mapping[str, str],
    returned: Mapping[str, str],
) -> Login:
    """Return what a consent has brought.

    :param kept: of the consent that began
    :param returned: the query of the way back
    :raises Denied: the person said no
    :raises LoginError: it brings nothing; `refused` where the provider said no
    """
    client = client_of(method, account, application)
    values = values_of(method, account, client)
    if isinstance(method, OAuth2):
        code = oauth2.code_of(method, values, returned)
        return oauth2.exchange(method, values, client, redirect_uri, code, kept.get("verifier"), returned)
    if not isinstance(method, OAuth1):
        raise LoginError(f"the method `{method.type}` has no consent")
    verifier = _verifier(kept["request_token"], returned)
    return oauth1.finish(method, values, client, kept["request_token"], kept["request_secret"], verifier)


def _verifier(request_token: str, returned: Mapping[str, str]) -> str:
    if "denied" in returned or returned.get("error") == "access_denied":
        raise Denied("the consent was not given")
    token = returned.get("oauth_token", "")
    if not hmac.compare_digest(token.encode(), request_token.encode()):
        raise LoginError("the way back is of another login than the one that began here", "refused")
    verifier = returned.get("oauth_verifier", "")
    if not verifier or len(verifier) > _MAX_TOKEN:
        raise LoginError("the way back from the provider has no verifier", "refused")
    return verifier
