"""What tenants and their Connections may be called."""

from __future__ import annotations

import re

from flowmate_airflow.flows.errors import shown

PREFIX = "flowmate."
"""How the conn_ids of links and of applications begin: `flowmate.CONNECTOR.TENANT` and `flowmate.CONNECTOR`."""
DEFAULT_TENANT = "default"
"""The template: others inherit its field maps and schedules, and no flow runs for it."""
MAX_TENANT = 100
TENANT = r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,99}"
_TENANT = re.compile(TENANT)


def check_tenant(tenant: str) -> str:
    """Return a tenant's id: yours, such as a customer's number or address.

    :raises ValueError: it is none; it would not do in addresses, ids and file names
    """
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        raise ValueError(
            f"{shown(tenant)} cannot be a tenant's id: it has up to {MAX_TENANT} letters, digits and _ . : @ -, "
            "the first of them a letter or a digit"
        )
    return tenant


def link_conn_id(connector: str, tenant: str) -> str:
    """Return the conn_id of a tenant's own Connection for a connector."""
    # Airflow takes no @ there.
    return f"{PREFIX}{connector}.{tenant.replace('@', '(at)')}"


def app_conn_id(connector: str) -> str:
    """Return the conn_id of the Connection with the application's client id (login) and secret (password)."""
    return f"{PREFIX}{connector}"
