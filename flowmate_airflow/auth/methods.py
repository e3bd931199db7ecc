"""Which way to authenticate a marked Connection is for, as the connector's manifest describes it."""

from __future__ import annotations

import re
import threading
import time

from flowmate_airflow.auth.connections import Stored
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.catalog.authmethod import AuthMethod
from flowmate_airflow.catalog.catalog import configured_catalog
from flowmate_airflow.catalog.manifest import Manifest

KEPT_SECONDS = 30.0
"""How long a manifest is taken for what it was. One that is missing or wrong is looked for each time."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_known: dict[str, tuple[float, Manifest]] = {}
_lock = threading.Lock()


def method_of(stored: Stored) -> AuthMethod:
    """Return the method that a Connection is marked for.

    :raises LoginError: there is no such connector here, or it has no such method
    """
    connector, name = stored.mark.get("connector"), stored.mark.get("method")
    if not isinstance(connector, str) or not isinstance(name, str):
        raise LoginError(f"the Connection `{stored.conn_id}` does not say which connector and method it is for")
    method = manifest_of(connector).auth.get(name)
    if method is None:
        raise LoginError(
            f"the connector `{connector}` has no auth method `{name[:100]}`, for which the Connection "
            f"`{stored.conn_id}` was linked; link it again"
        )
    return method


def manifest_of(connector: str) -> Manifest:
    """Return a connector's manifest.

    :raises LoginError: there is none here, or it is wrong
    """
    moment = time.monotonic()
    with _lock:
        kept = _known.get(connector)
    if kept is not None and moment - kept[0] < KEPT_SECONDS:
        return kept[1]
    found = configured_catalog().get(connector) if _NAME.fullmatch(connector) else None
    if isinstance(found, Manifest):
        with _lock:
            _known[connector] = (moment, found)
        return found
    # An API server has the manifests only where it is told; what is wrong with one is said by `flowmate lint`.
    why = "the manifest of the connector" if found else "the API server does not know the connector"
    wrong = " is not valid there" if found else ""
    raise LoginError(
        f"{why} `{connector[:100]}`{wrong}; `[flowmate] connectors_folder` must be the same there as it is for tasks"
    )
