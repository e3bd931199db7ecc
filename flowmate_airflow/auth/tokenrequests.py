"""Requests to a provider's addresses for tokens: how they are written, and how the client says who it is."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from urllib.parse import quote_plus, urlencode

import orjson

from flowmate_airflow.auth.http import Answer, send
from flowmate_airflow.auth.keys import certificate, private_key
from flowmate_airflow.auth.templates import filled_params
from flowmate_airflow.auth.values import Client
from flowmate_airflow.catalog.oauth import OAuth2

_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"


def ask(method: OAuth2, values: Mapping[str, str], client: Client, url: str, params: Mapping[str, str]) -> Answer:
    """Send the parameters of a request for tokens, with who asks, and return the answer.

    :raises LoginError: there is none
    """
    headers = filled_params(method.token_headers, values, method.optional)
    own, by_header = _identified(method, client)
    sent = {**own, **params}
    is_form = method.token_body == "form"  # noqa: S105
    return send(
        "POST",
        url,
        private=method.private,
        headers={"Content-Type": _FORM if is_form else _JSON, **by_header, **headers},
        body=urlencode(sent) if is_form else orjson.dumps(sent),
        certificate=_certificate(client) if method.mtls else None,
    )


def _identified(method: OAuth2, client: Client) -> tuple[dict[str, str], dict[str, str]]:
    """Return the parameters and the headers that say who asks."""
    if method.grant == "jwt_bearer":
        return {}, {}  # the assertion says it, and the client's secret is the key, which nobody gets
    if method.client_auth == "header" and client.client_secret is not None:
        # Both are written as in a form before they are put together (RFC 6749, 2.3.1).
        pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
        return {}, {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    secret = {} if client.client_secret is None else {"client_secret": client.client_secret}
    return {"client_id": client.client_id, **secret}, {}


def _certificate(client: Client) -> str:
    """Return the client's certificate with its key."""
    chain = certificate(client.certificate, "`certificate` in the extra of the Connection with the client id")
    key = private_key(client.certificate_key, "`private_key` in the extra of the Connection with the client id")
    return f"{chain}\n{key}\n"
