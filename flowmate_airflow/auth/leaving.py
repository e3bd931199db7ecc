"""Links that are over, while their credentials are still needed: what was registered with them is taken back first.

A container is needed for that, which the API server may not have. So the Connection stays, with a mark, until the DAG
that looks after subscriptions has done it; when it asks for the Connection after that, the tokens are given back and
the Connection is gone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flowmate_airflow.auth import connections
from flowmate_airflow.auth.connections import Stored
from flowmate_airflow.auth.grants import MARK

if TYPE_CHECKING:
    from flowmate_airflow.auth.origins import Found
    from flowmate_airflow.store.store import Store

log = logging.getLogger(__name__)

LEAVING = "leaving"
"""The key beside `connector` that says it."""
TOLD = "webhooks that were registered with its credentials are taken back first; then these are given back and removed"
"""What becomes of the credentials, for people."""


def is_leaving(extra: Mapping[str, Any]) -> bool:
    """Whether a Connection stays only for what is to be taken back.

    :param extra: its extra, or that of a view
    """
    mark = extra.get(MARK)
    return isinstance(mark, Mapping) and mark.get(LEAVING) is True


def is_needed(store: Store, conn_id: str) -> bool:
    """Whether anything is registered with the credentials of a Connection.

    :raises StoreError: the store cannot be read
    """
    from flowmate_airflow.store.subscriptions import made_with

    return bool(made_with(store, conn_id))


def stay(conn_id: str) -> None:
    """Let a link's Connection stay until it is no longer needed, if there is one.

    :raises StoreError: Airflow's database cannot be written
    """

    def marked(old: Stored) -> Stored:
        return replace(old, extra={**old.extra, MARK: {**old.mark, LEAVING: True}})

    connections.change(conn_id, marked)


def has_left(found: Found) -> bool:
    """Let a Connection go that stayed, if it is no longer needed, and return whether it went."""
    if found.place != "database" or not is_leaving(found.stored.extra):
        return False
    from flowmate_airflow.auth.unlinking import depart
    from flowmate_airflow.catalog.catalog import configured_catalog

    try:
        return depart(configured_catalog(), found.stored)
    except Exception as error:
        # It is asked for again, and nobody who asks for a Connection can do anything about it.
        log.warning("The Connection %s of a link that is over stays: %s", found.stored.conn_id, type(error).__name__)
        return False
