"""The version of the store's tables: checked at each opening, brought up to date where it is older."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowmate_airflow.store.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from flowmate_airflow.store.store import Store

HEAD = "0003"
"""The newest migration. Their numbers are as long as this, so that a newer one compares greater."""
VERSION_TABLE = "flowmate_version"
# Any number that nobody else uses for an advisory lock of PostgreSQL; Airflow's own are small.
_LOCK = 0x666C6F776D617465


def prepare(store: Store) -> None:
    """Make the tables, or bring them up to date; when they are, nothing is imported and one row is read.

    :raises StoreError: a newer FlowMate has made them
    """
    with store.read() as connection:
        version = _checked_version(connection, store)
    if version != HEAD:
        with store.write() as connection:
            _upgrade(connection, store)


def _upgrade(connection: Connection, store: Store) -> None:
    """Run the migrations that are missing, all in this transaction; whoever comes second waits and finds them done."""
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    if connection.dialect.name != "sqlite":  # there the transaction itself is the lock
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    if _checked_version(connection, store) == HEAD:
        return
    config = Config()
    config.set_main_option("script_location", "flowmate_airflow.store:migrations")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, HEAD)
    except CommandError as error:
        raise StoreError(f"the tables of the store {store.name} cannot be brought up to date: {error}") from None


def _checked_version(connection: Connection, store: Store) -> str | None:
    from sqlalchemy import column, inspect, select, table

    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version = connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE))).scalar()
    if version is not None and not (len(version) == len(HEAD) and version <= HEAD):
        raise StoreError(
            f"the store {store.name} was made by a newer FlowMate (its tables have the version {version}, "
            f"this program knows {HEAD}); upgrade FlowMate here, too"
        )
    return str(version) if version else None
