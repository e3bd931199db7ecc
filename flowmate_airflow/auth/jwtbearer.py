"""The assertion of the grant JWT bearer (RFC 7523)."""

from __future__ import annotations

from collections.abc import Mapping

from flowmate_airflow.auth.values import Client
from flowmate_airflow.catalog.auth import JwtBearer


def assertion(jwt: JwtBearer, values: Mapping[str, str], client: Client, token_url: str, now: float) -> str:
    """Return a signed assertion; the client's secret is the private key, as PEM.

    :param token_url: its audience, where the manifest names none
    :raises LoginError: the key is none, or a value is missing
    """
    raise NotImplementedError
