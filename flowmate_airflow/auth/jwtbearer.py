"""The assertion of the grant JWT bearer (RFC 7523)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.keys import private_key
from flowmate_airflow.auth.templates import filled_json, filled_text
from flowmate_airflow.auth.values import Client
from flowmate_airflow.catalog.oauth import JwtBearer

BACKDATED = 30
"""Seconds by which our clock may be ahead of the provider's, before it takes the assertion for one of the future."""


def assertion(jwt: JwtBearer, values: Mapping[str, str], client: Client, token_url: str, now: float) -> str:
    """Return a signed assertion; the client's secret is the private key, as PEM.

    :param token_url: its audience, where the manifest names none
    :raises LoginError: the key is none, or a value is missing
    """
    from jwt import encode

    issued = int(now) - min(BACKDATED, jwt.lifetime // 4)
    claims: dict[str, Any] = {
        "iss": filled_text(jwt.issuer, values),
        # A single one: a list would let one provider use the assertion at another.
        "aud": token_url if jwt.audience is None else filled_text(jwt.audience, values),
        "iat": issued,
        "exp": issued + jwt.lifetime,
        "jti": secrets.token_urlsafe(24),
    }
    if jwt.subject is not None:
        claims["sub"] = filled_text(jwt.subject, values)
    claims.update(filled_json(jwt.claims, values))
    headers = None if jwt.key_id is None else {"kid": filled_text(jwt.key_id, values)}
    key = private_key(client.client_secret, "the Connection's password")
    try:
        return encode(claims, key, algorithm=jwt.algorithm, headers=headers)
    except Exception as error:  # whatever the library finds wrong with the key or a claim
        raise LoginError(
            f"the private key in the Connection's password does not sign {jwt.algorithm} ({type(error).__name__})"
        ) from None
