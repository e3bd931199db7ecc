"""Requests of a manifest: with their values, and the credential where its type has it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from urllib.parse import urlencode

import orjson

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.http import Answer, Sign, send
from flowmate_airflow.auth.oauth1 import signature
from flowmate_airflow.auth.reach import address_of
from flowmate_airflow.auth.templates import filled_json, filled_params
from flowmate_airflow.auth.values import Client
from flowmate_airflow.catalog.auth import ApiKeyAuth, BasicAuth, BearerAuth
from flowmate_airflow.catalog.authmethod import AuthMethod, Request
from flowmate_airflow.catalog.oauth import OAuth1, OAuth2

_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"


def sent(
    method: AuthMethod,
    request: Request,
    values: Mapping[str, str],
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    sign: Sign | None = None,
) -> Answer:
    """Send a request and return its answer.

    :param form: templates of its body as a form, instead of its JSON
    :param headers: that it has where it names no others itself
    :param params: likewise
    :raises LoginError: there is no answer, or a value is missing
    """
    body: bytes | str | None = None
    given = dict(headers or {})
    if form is not None:
        body, given["Content-Type"] = urlencode(filled_params(form, values, method.optional)), _FORM
    elif request.json_ is not None:
        body, given["Content-Type"] = orjson.dumps(filled_json(request.json_, values)), _JSON
    own = filled_params(request.headers, values, method.optional)
    names = {name.lower() for name in own}
    return send(
        request.method,
        address_of(method, request.url, values),
        private=method.private,
        headers={**{name: value for name, value in given.items() if name.lower() not in names}, **own},
        params={**(params or {}), **filled_params(request.params, values, method.optional)},
        body=body,
        sign=sign,
    )


def sent_with_credential(method: AuthMethod, request: Request, account: Account, values: Mapping[str, str]) -> Answer:
    """Send a request with the credential of an account, and return its answer.

    :param account: the Connection as a task gets it
    :raises LoginError: there is no answer, or a value is missing
    """
    if isinstance(method, BasicAuth):
        return sent(method, request, values, headers=basic(account.login, account.password))
    if isinstance(method, ApiKeyAuth):
        key = {method.name: f"{method.prefix}{_set(account.password)}"}
        if method.place == "query":
            return sent(method, request, values, params=key)
        return sent(method, request, values, headers=key)
    if isinstance(method, (BearerAuth, OAuth2)):
        return sent(method, request, values, headers={"Authorization": f"Bearer {_set(account.password)}"})
    if isinstance(method, OAuth1):
        return sent(method, request, values, sign=_signed(method, request, account))
    return sent(method, request, values)


def basic(login: str | None, password: str | None) -> dict[str, str]:
    """Return the header of HTTP Basic (RFC 7617), in UTF-8.

    :raises LoginError: the login cannot be in it
    """
    if ":" in (login or ""):
        raise LoginError("a login with a colon cannot go by HTTP Basic")
    pair = f"{login or ''}:{password or ''}".encode(errors="surrogatepass")
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _set(password: str | None) -> str:
    if not password:
        raise LoginError("the Connection has no password, which is the credential")
    return password


def _signed(method: OAuth1, request: Request, account: Account) -> Sign:
    is_form = request.method != "GET" and request.json_ is None
    if method.legs == 2:
        return signature(method, Client(account.login or "", account.password), is_form=is_form)
    consumer = Client(account.login or "", str(account.part("extra.consumer_secret") or "") or None)
    secret = str(account.part("extra.token_secret") or "") or None
    return signature(method, consumer, token=_set(account.password), token_secret=secret, is_form=is_form)
