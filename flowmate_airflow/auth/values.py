"""What a login starts from: the application, and what `{name}` stands for in a method's addresses and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.catalog.auth import AuthMethod, OAuth1, OAuth2

CLIENT_ID = "client_id"
CLIENT_SECRET = "client_secret"  # noqa: S105
"""Keys of an extra with a tenant's own application, which is stronger than the connector's."""
SCOPE = "scope"


@dataclass(frozen=True, slots=True)
class Client:
    """An application that a provider knows: an OAuth client, a consumer of OAuth 1.

    :param client_secret: or its private key, as PEM, where it signs with one
    :param certificate: that it shows, as PEM
    :param certificate_key: of the certificate
    """

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    certificate: str | None = field(default=None, repr=False)
    certificate_key: str | None = field(default=None, repr=False)


def client_of(method: AuthMethod, account: Account, application: Account | None) -> Client:
    """Return who asks: the tenant's own application, else the connector's.

    :param account: the Connection that people filled in
    :param application: the Connection `flowmate.CONNECTOR`; None where there is none
    :raises LoginError: there is neither
    """
    own = _text(account.extra.get(CLIENT_ID))
    if own:
        return Client(own, _text(account.extra.get(CLIENT_SECRET)) or None, *_certificate(account))
    parts = set(method.login_parts.values()) if isinstance(method, OAuth2) else set()
    source = account if "login" in parts else application
    if source is None:
        raise LoginError(
            "there is no application to log in with: its client id and secret go into a Connection for the connector"
        )
    if not source.login:
        raise LoginError(f"the Connection `{source.conn_id}` has no client id as its login")
    return Client(source.login, source.password or None, *_certificate(source))


def values_of(method: AuthMethod, account: Account, client: Client | None) -> Mapping[str, str]:
    """Return what each `{name}` stands for: the credentials that are set, what a login needs, and `client_id`.

    What a login brings has no value here, as its part of the Connection holds what people filled in.

    :param account: the Connection that people filled in, with what earlier logins told
    """
    credentials = {name: part for name, part in method.parts.items() if part not in method.produced}
    found = {name: _text(account.part(part)) for name, part in {**credentials, **method.login_parts}.items()}
    values = {name: text for name, text in found.items() if text}
    if isinstance(method, OAuth2) and method.scopes:
        values.setdefault(SCOPE, method.scope_separator.join(method.scopes))
    if client is not None:
        values["consumer_key" if isinstance(method, OAuth1) else CLIENT_ID] = client.client_id
    return values


def _certificate(account: Account) -> tuple[str | None, str | None]:
    return _text(account.part("extra.certificate")), _text(account.part("extra.private_key"))


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else None
