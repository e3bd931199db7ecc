"""Where a method's requests go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.templates import filled_address
from flowmate_airflow.catalog.authmethod import AuthMethod
from flowmate_airflow.catalog.placeholders import is_chosen_host, names_in_host
from flowmate_airflow.runtimes.egress.rules import Host, host_and_port
from flowmate_airflow.steps.egress import hosts_in
from flowmate_airflow.steps.steplog import clean

_PORTS = {"https": 443, "http": 80}


def address_of(method: AuthMethod, template: str, values: Mapping[str, str]) -> str:
    """Return an address of a method with its values.

    Where values say whose host it is, that is one of the manifest's `hosts`, if it lists any. These may have values,
    too: that no application's secret goes where a tenant has chosen is for :func:`.values.client_of` to see to.

    :raises LoginError: a value is missing, or leads where it must not
    """
    address = filled_address(template, values, private=method.private)
    if method.hosts and is_chosen_host(template) and not _is_listed(method, address, values):
        raise LoginError(
            f"{' with '.join(f'`{name}`' for name in names_in_host(template))} leads to "
            f"{clean(urlsplit(address).netloc, 100)}, which is not among the `hosts` of the manifest"
        )
    return address


def _is_listed(method: AuthMethod, address: str, values: Mapping[str, str]) -> bool:
    parts = urlsplit(address)
    try:
        name, port = host_and_port(parts.netloc, _PORTS[parts.scheme])
    except ValueError:
        return False
    return any(host.is_met_by(name, port) for host in _listed(method, values))


def _listed(method: AuthMethod, values: Mapping[str, str]) -> Iterator[Host]:
    for pattern in method.hosts:
        with suppress(ValueError):  # a value that cannot stand there makes no host
            yield from hosts_in(pattern, values)
