"""What Airflow knows of webhooks: the endpoints of all flows, and the secrets of their senders.

Both are asked of Airflow's own database, so this works where Airflow's API server does.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from flowmate_airflow.webhooks.endpoints import EXTRA, URI, Endpoint

log = logging.getLogger(__name__)


class Directory:
    """Asks Airflow; every call waits for its database."""

    def endpoints(self) -> Mapping[str, Endpoint]:
        """Return the endpoints of all flows that Airflow has now, switched on or off, by name."""
        from airflow.models.asset import AssetModel, DagScheduleAssetReference, TaskInletAssetReference
        from airflow.models.dag import DagModel
        from airflow.utils.session import create_session
        from sqlalchemy import or_, select

        is_there = DagModel.is_stale.is_(False)
        query = select(AssetModel.uri, AssetModel.extra).where(
            AssetModel.uri.startswith(URI, autoescape=True),
            or_(
                AssetModel.scheduled_dags.any(DagScheduleAssetReference.dag.has(is_there)),
                AssetModel.consuming_tasks.any(
                    TaskInletAssetReference.dag_id.in_(select(DagModel.dag_id).where(is_there))
                ),
            ),
        )
        with create_session() as session:
            rows = session.execute(query).all()
        found = {}
        for uri, extra in rows:
            name = str(uri).removeprefix(URI)
            try:
                found[name] = Endpoint.from_json(name, (extra or {}).get(EXTRA))
            except ValueError as error:
                log.warning("%s; it takes no requests", error)
        return found

    def secrets(self, conn_id: str) -> tuple[str, ...]:
        """Return the secrets of a Connection: its password, and those that stand under `secrets` in its extra.

        With a login, `LOGIN:PASSWORD` is one, too, as senders write it who sign in.

        :raises LookupError: there is no such Connection, or none of it is a secret
        """
        from airflow.models.connection import Connection
        from airflow.sdk.exceptions import AirflowNotFoundException

        try:
            connection: Any = Connection.get_connection_from_secrets(conn_id)
        except AirflowNotFoundException:
            raise LookupError(f"there is no Connection `{conn_id}`") from None
        try:
            extra = connection.extra_dejson
        except ValueError:
            extra = {}
        secrets = secrets_in(connection.login, connection.password, extra)
        if not secrets:
            raise LookupError(f"the Connection `{conn_id}` has no password")
        return secrets


def secrets_in(login: str | None, password: str | None, extra: Any) -> tuple[str, ...]:
    """Return the secrets that the parts of a Connection are: see :meth:`Directory.secrets`."""
    more = extra.get("secrets") if isinstance(extra, Mapping) else None
    listed = [text for text in more if isinstance(text, str)] if isinstance(more, list) else []
    pair = f"{login}:{password}" if login and password else None
    return tuple(dict.fromkeys(text for text in (password, pair, *listed) if text))
