"""What Airflow knows of webhooks: the endpoints of all flows, and the secrets of their senders.

Both are asked of Airflow's own database, so this works where Airflow's API server does.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from flowmate_airflow.auth.names import PREFIX
from flowmate_airflow.store.sql import groups
from flowmate_airflow.webhooks.endpoints import EXTRA, URI, Endpoint
from flowmate_airflow.webhooks.releasing import Run

log = logging.getLogger(__name__)

_RUNS = 500
"""Runs that one question to the database names."""
LINK_SECRET = "webhook_secret"  # noqa: S105
"""The key of a link's extra with the secret of the tenant's sender, or several in a list while one is replaced."""


class NoSecret(LookupError):
    """A Connection that is there and holds no secret."""


class Directory:
    """Asks Airflow; every call waits for its database."""

    def __init__(self) -> None:
        self._told: set[str] = set()

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
                if name not in self._told:  # this is asked every few seconds
                    log.warning("%s; it takes no requests", error)
                self._told.add(name)
        return found

    def wake(self, endpoint: str) -> bool:
        """Ask Airflow's scheduler for a run of what is scheduled on an endpoint's asset; return whether something is.

        It is the same asset event that :class:`flowmate_airflow.triggers.webhook.WebhookEventTrigger` brings about.
        """
        from airflow.assets.manager import asset_manager
        from airflow.models.asset import AssetModel, DagScheduleAssetReference
        from airflow.models.dag import DagModel
        from airflow.utils.session import create_session
        from sqlalchemy import select

        is_on = DagModel.is_stale.is_(False) & DagModel.is_paused.is_(False)
        query = select(AssetModel).where(
            AssetModel.uri == f"{URI}{endpoint}",
            AssetModel.active.has(),
            AssetModel.scheduled_dags.any(DagScheduleAssetReference.dag.has(is_on)),
        )
        with create_session() as session:
            asset = session.scalars(query).first()
            if asset is None:
                return False
            asset_manager.register_asset_change(
                asset=asset, extra={"from_trigger": True, "payload": {"endpoint": endpoint}}, session=session
            )
        return True

    def secrets(self, conn_id: str) -> tuple[str, ...]:
        """Return the secrets of a Connection: its password, and those that stand under `secrets` in its extra.

        With a login, `LOGIN:PASSWORD` is one, too, as senders write it who sign in. Of an application's Connection
        it is the client secret, by which some providers sign.

        :raises LookupError: there is no such Connection, or none of it is a secret
        """
        if conn_id.startswith(PREFIX):
            return _stored_secrets(conn_id)
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
            raise NoSecret(f"the Connection `{conn_id}` has no password")
        return secrets

    def link_secrets(self, connector: str, tenant: str) -> tuple[str, ...]:
        """Return the webhook secrets that a tenant's link holds, of which there may be none."""
        from flowmate_airflow.auth import origins
        from flowmate_airflow.store.linked import find
        from flowmate_airflow.store.store import open_store

        linked = find(open_store(), tenant, connector)
        found = None if linked is None else origins.find(linked.conn_id, wrapped=origins.configured())
        return () if found is None else link_secrets_in(found.stored.extra)

    def starting(self) -> frozenset[str]:
        """Return the endpoints whose events start runs."""
        from airflow.models.asset import AssetModel
        from airflow.utils.session import create_session
        from sqlalchemy import select

        query = select(AssetModel.uri).where(
            AssetModel.uri.startswith(URI, autoescape=True), AssetModel.scheduled_dags.any()
        )
        with create_session() as session:
            return frozenset(str(uri).removeprefix(URI) for uri in session.scalars(query))

    def ended(self, runs: Collection[Run]) -> Mapping[Run, bool]:
        """Return of some runs those that are over, and whether they went well; one that is gone did not."""
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session
        from sqlalchemy import select, tuple_

        states: dict[Run, str] = {}
        with create_session() as session:
            for group in groups(sorted(runs), _RUNS):
                query = select(DagRun.dag_id, DagRun.run_id, DagRun.state)
                rows = session.execute(query.where(tuple_(DagRun.dag_id, DagRun.run_id).in_(group))).all()
                states |= {(dag_id, run_id): str(getattr(state, "value", state)) for dag_id, run_id, state in rows}
        found = {run: states.get(run) for run in runs}
        return {run: state == "success" for run, state in found.items() if state in ("success", "failed", None)}

    def paused(self, flows: Collection[str]) -> frozenset[str]:
        """Return which of some flows are switched off."""
        from airflow.models.dag import DagModel
        from airflow.utils.session import create_session
        from sqlalchemy import select

        wanted = DagModel.dag_id.in_(flows), DagModel.is_paused.is_(True), DagModel.is_stale.is_(False)
        with create_session() as session:
            return frozenset(map(str, session.scalars(select(DagModel.dag_id).where(*wanted))))


def secrets_in(login: str | None, password: str | None, extra: Any) -> tuple[str, ...]:
    """Return the secrets that the parts of a Connection are: see :meth:`Directory.secrets`."""
    more = extra.get("secrets") if isinstance(extra, Mapping) else None
    listed = [text for text in more if isinstance(text, str)] if isinstance(more, list) else []
    pair = f"{login}:{password}" if login and password and password.strip() else None
    # Blanks are what somebody leaves who has no secret yet; anybody could guess them.
    return tuple(dict.fromkeys(text for text in (password, pair, *listed) if text and text.strip()))


def link_secrets_in(extra: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the webhook secrets in the extra of a link's Connection."""
    value = extra.get(LINK_SECRET)
    listed = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(text for text in listed if isinstance(text, str) and text.strip()))


def _stored_secrets(conn_id: str) -> tuple[str, ...]:
    """Return the secrets of a Connection of ours as it is stored: what tasks get of it has none, and may be renewed."""
    from flowmate_airflow.auth import origins

    found = origins.find(conn_id, wrapped=origins.configured())
    if found is None:
        raise LookupError(f"there is no Connection `{conn_id}`")
    secrets = secrets_in(found.stored.login, found.stored.password, found.stored.extra)
    if not secrets:
        raise NoSecret(f"the Connection `{conn_id}` has no password")
    return secrets
