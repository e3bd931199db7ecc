"""What a login starts from: the application, and what `{name}` stands for in a method's addresses and parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.catalog.authmethod import AuthMethod
from flowmate_airflow.catalog.oauth import OAuth1, OAuth2
from flowmate_airflow.catalog.placeholders import ends_open, is_chosen_host, names_in, names_in_host

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
    :raises LoginError: there is neither, or the application's secret would go to a host that the tenant has chosen
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
    chosen = _chosen_host(method)
    if source is application and source.password and chosen is not None:
        raise LoginError(
            f"`{chosen}`, which tenants fill in, says whose host gets the secret of the Connection "
            f"`{source.conn_id}`: list the `hosts` in the manifest, each with a domain of its own, or let tenants fill "
            "in the client id and secret of an application of their own"
        )
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


def _chosen_host(method: AuthMethod) -> str | None:
    """Return the field of a form that says where a client's secret goes; None where the manifest has a say."""
    if method.private or (method.hosts and all(_is_say(method, pattern) for pattern in method.hosts)):
        return None
    chosen = (address for address in _addresses_with_secret(method) if is_chosen_host(address))
    names = (name for address in chosen for name in names_in_host(address))
    return next((name for name in names if _is_filled_in(method, name)), None)


def _is_say(method: AuthMethod, pattern: str) -> bool:
    """Whether one of the `hosts` is the author's or the provider's: one listed as what a form says is met always."""
    names = list(names_in(pattern))
    return not ends_open(pattern) or (bool(names) and not any(_is_filled_in(method, name) for name in names))


def _addresses_with_secret(method: AuthMethod) -> Iterator[str]:
    """Yield where an application's secret itself is sent. Of OAuth 1, PLAINTEXT alone has it (RFC 5849, 3.4.4)."""
    found: tuple[str | None, ...] = ()
    if isinstance(method, OAuth2):
        found = (method.token_url, method.refresh_url, method.revoke_url)
    elif isinstance(method, OAuth1) and method.signature == "PLAINTEXT":
        found = (method.request_url, method.access_url, method.verify.url if method.verify else None)
    yield from (address for address in found if address is not None)


def _is_filled_in(method: AuthMethod, name: str) -> bool:
    """Whether `{name}` is what a form asks for, or what the way back tells, with which anybody can send a person."""
    part = {**method.parts, **method.login_parts}.get(name)
    if part is None:
        return False
    said = {*method.asked.values(), *(method.redirect_metadata.values() if isinstance(method, OAuth2) else ())}
    # A form that asks for the whole of something asks for what is in it, too.
    return part in said or ("extra" in said and part.startswith("extra.")) or ("url" in said and part == "host")


def _certificate(account: Account) -> tuple[str | None, str | None]:
    return _text(account.part("extra.certificate")), _text(account.part("extra.private_key"))


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else None
