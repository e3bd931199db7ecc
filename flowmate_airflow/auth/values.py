"""What a login starts from: the application, and what `{name}` stands for in a method's addresses and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.catalog.auth import AuthMethod

CLIENT_ID = "client_id"
CLIENT_SECRET = "client_secret"  # noqa: S105
"""Keys of an extra with a tenant's own application, which is stronger than the connector's."""


@dataclass(frozen=True, slots=True)
class Client:
    """An application that a provider knows: an OAuth client, a consumer of OAuth 1.

    :param client_secret: or its private key, as PEM, where it signs with one
    """

    client_id: str
    client_secret: str | None = field(default=None, repr=False)


def client_of(method: AuthMethod, account: Account, application: Account | None) -> Client:
    """Return who asks: the tenant's own application, else the connector's.

    :param account: the Connection that people filled in
    :param application: the Connection `flowmate.CONNECTOR`; None where there is none
    :raises LoginError: there is neither
    """
    raise NotImplementedError


def values_of(method: AuthMethod, account: Account, client: Client | None) -> Mapping[str, str]:
    """Return what each `{name}` stands for: the credentials that are set, what a login needs, and `client_id`.

    :param account: the Connection that people filled in, with what earlier logins told
    """
    raise NotImplementedError
