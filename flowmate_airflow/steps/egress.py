"""From the hosts of a connector's manifest, and the Connection of a step, to what its component may reach."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from flowmate_airflow.auth.credentials import Account, method_for
from flowmate_airflow.auth.values import values_of
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.catalog.placeholders import NAME, names_in
from flowmate_airflow.runtimes.egress.rules import Egress, Host, host_and_port, hosts_of
from flowmate_airflow.steps.errors import ConfigFailure

_LABELS = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_HTTP_PORT = 80


def egress_of(manifest: Manifest, account: Account | None, step: str) -> Egress | None:
    """Return the hosts that a step's component may reach, None when any.

    A host whose template has a value that the Connection does not set is left out, so that less can be reached.

    :param account: the Connection; a step without one has nothing that could go astray
    :raises ConfigFailure: no method of the connector fits the Connection, or a value cannot stand in a host's name
    """
    method = method_for(manifest, account, step) if account is not None else None
    if account is None or method is None or not method.hosts:
        return None
    secret = {name for name, part in {**method.parts, **method.login_parts}.items() if part == "password"}
    # A secret in a host's name would be told to all who look names up.
    values = {name: value for name, value in values_of(method, account, None).items() if name not in secret}
    found: dict[Host, None] = {}
    for pattern in method.hosts:
        try:
            found.update(dict.fromkeys(hosts_in(pattern, values)))
        except ValueError:
            raise ConfigFailure(
                f"step `{step}`: `{pattern}` of the hosts of {manifest.name}'s manifest makes no host's name with what "
                f"the Connection `{account.conn_id}` says: a value there has letters, digits, - and . only, or is a "
                "whole address where nothing else stands beside it"
            ) from None
    return Egress(manifest.name, tuple(found), private=method.private)


def hosts_in(pattern: str, values: Mapping[str, str]) -> Iterator[Host]:
    """Yield the host of a pattern, none where a value is missing.

    :raises ValueError: a value cannot stand there
    """
    names = list(names_in(pattern))
    if not all(name in values for name in names):
        return
    whole = NAME.fullmatch(pattern)
    if whole is not None:
        # Also an address such as the one a login tells, but never more than one host.
        yield _host(values[whole[1]])
        return
    for name in names:
        if not _LABELS.fullmatch(values[name]) or ".." in values[name]:
            raise ValueError(name)
    yield from hosts_of([NAME.sub(lambda match: values[match[1]], pattern)])


def _host(value: str) -> Host:
    place = value
    if "://" in value:
        parts = urlsplit(value)
        if parts.scheme.lower() not in ("http", "https"):
            raise ValueError("no address of the web")
        place = parts.netloc
    name, port = host_and_port(place, _HTTP_PORT)
    return Host(name, port if place.rpartition("]")[2].count(":") else None)
