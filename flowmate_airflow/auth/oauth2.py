"""OAuth 2: a consent, a client's own grant or a signed assertion brings tokens, which are renewed and given back."""

from __future__ import annotations

from collections.abc import Mapping

from flowmate_airflow.auth.grants import Grant
from flowmate_airflow.auth.tokens import Login
from flowmate_airflow.auth.values import Client, client_of, values_of
from flowmate_airflow.catalog.auth import OAuth2

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


def authorization_url(
    method: OAuth2, values: Mapping[str, str], client: Client, redirect_uri: str, state: str
) -> tuple[str, str | None]:
    """Return where people consent, and the secret of PKCE (RFC 7636, S256) where the method has it.

    :raises LoginError: a value is missing or wrong
    """
    raise NotImplementedError


def code_of(method: OAuth2, values: Mapping[str, str], returned: Mapping[str, str]) -> str:
    """Return the code that a provider sent a person back with.

    The state is the caller's to check, before this.

    :param returned: the query of the way back
    :raises LoginError: the person or the provider said no (`refused`), somebody else answered (`iss`, RFC 9207), or
        there is no code
    """
    raise NotImplementedError


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
    raise NotImplementedError


def first_grant(method: OAuth2, values: Mapping[str, str], client: Client) -> Login:
    """Return a token that needs no person: of the grant `client_credentials` or `jwt_bearer`.

    :raises LoginError: there is none
    """
    raise NotImplementedError


def renew(method: OAuth2, values: Mapping[str, str], client: Client, grant: Grant) -> Login:
    """Return fresh tokens; the old refresh token stays where no other comes.

    :raises LoginError: there are none; `needs_reauth` when only a person can bring others
    """
    raise NotImplementedError


def revoke(method: OAuth2, values: Mapping[str, str], client: Client, grant: Grant) -> bool:
    """Give tokens back (RFC 7009) and return whether the provider took them; False where it has no way to.

    :raises LoginError: it could not be asked, or said no
    """
    raise NotImplementedError
