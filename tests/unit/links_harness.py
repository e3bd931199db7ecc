"""Airflow's table of Connections, a store and a connector, for tests of links."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.fernet import Fernet, MultiFernet
from nasty import Nasty

from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.store.store import Store, close_stores, open_store

CONNECTOR = """
import json
import urllib.error
import urllib.request
from flowmate_connector import ConfigError, Connector

connector = Connector("shop")


@connector.trigger("records")
def records(ctx):
    yield {"id": 1}


@connector.check
def check(ctx):
    if ctx.credentials.get("key") != "right-key":
        raise ConfigError(f"the key {ctx.credentials.get('key')} is not known")


if __name__ == "__main__":
    connector.main()
"""


@dataclass
class World:
    """What there is.

    :param folder: of the connectors
    """

    store: Store
    folder: Path
    catalog: Catalog

    def add_connector(self, name: str, auth: dict[str, Any], code: str = CONNECTOR) -> None:
        """Add a connector, or change it."""
        manifest = {
            **{"connector": 1, "name": name, "version": "1.0.0", "title": f"The {name}"},
            **{"image": f"example/{name}:1.0.0", "process": {"module": "connector"}},
            **{"auth": auth, "triggers": {"records": {"title": "Records"}}},
        }
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / name / "connector.yaml").write_text(yaml.safe_dump(manifest))
        (self.folder / name / "connector.py").write_text(code)
        self.catalog = Catalog(self.folder)

    def add_application(self, connector: str, nasty: Nasty) -> None:
        """Add the Connection of a connector's application."""
        from flowmate_airflow.auth.connections import ANY, Stored, write

        conn_id = f"flowmate.{connector}"
        write(Stored(conn_id, login=nasty.client_id, password=nasty.client_secret), expect=ANY)

    def raw(self) -> dict[str, dict[str, Any]]:
        """Return the rows of Airflow's table by their ids, as they are stored."""
        from airflow.models.connection import Connection
        from airflow.utils.session import create_session

        with create_session(scoped=False) as session:
            rows = session.execute(Connection.__table__.select()).mappings()
            return {row["conn_id"]: dict(row) for row in rows}


@contextmanager
def world(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Give an Airflow without Connections, an empty store, and a folder for connectors, below a folder."""
    # Before the environment is changed: Airflow's configuration is that of the home it sees first.
    from airflow import settings
    from airflow.models import crypto
    from airflow.models.connection import Connection
    from airflow.models.crypto import _RealFernet
    from sqlalchemy import create_engine
    from sqlalchemy.orm import scoped_session, sessionmaker
    from sqlalchemy.pool import NullPool

    from flowmate_airflow.auth import methods
    from flowmate_airflow.outgoing.announce import targets

    logging.getLogger("alembic").setLevel(logging.WARNING)  # it would tell of each table on standard output
    folder = home / "connectors"
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("AIRFLOW_HOME", str(home))
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", f"sqlite:///{home}/store.db")
    monkeypatch.setenv("AIRFLOW__FLOWMATE__CONNECTORS_FOLDER", str(folder))
    monkeypatch.setenv("AIRFLOW__FLOWMATE__RUNTIME", "process")
    monkeypatch.delitem(sys.modules, "airflow.configuration", raising=False)
    engine = create_engine(f"sqlite:///{home}/airflow.db", poolclass=NullPool, connect_args={"timeout": 30})
    tables: Any = [Connection.__table__]
    Connection.metadata.create_all(engine, tables=tables)
    monkeypatch.setattr(settings, "NonScopedSession", sessionmaker(engine))
    monkeypatch.setattr(settings, "Session", scoped_session(sessionmaker(engine)))
    key = _RealFernet(MultiFernet([Fernet(Fernet.generate_key())]))
    monkeypatch.setattr(crypto, "get_fernet", lambda: key)
    monkeypatch.setattr(methods, "_known", {})
    targets.forget()
    yield World(open_store(), folder, Catalog(folder))
    close_stores()
    engine.dispose()
