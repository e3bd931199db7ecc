"""OAuth 1 (RFC 5849): a consent brings a token and its secret, and both sign requests together with the consumer's."""

from __future__ import annotations

from collections.abc import Mapping

from flowmate_airflow.auth.tokens import Login
from flowmate_airflow.auth.values import Client
from flowmate_airflow.catalog.auth import OAuth1


def begin(method: OAuth1, values: Mapping[str, str], client: Client, callback_uri: str) -> tuple[str, str, str]:
    """Return where people consent, and the request token with its secret, which :func:`finish` needs.

    :raises LoginError: the provider gives none
    """
    raise NotImplementedError


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
    raise NotImplementedError
