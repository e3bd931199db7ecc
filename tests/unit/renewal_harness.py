"""Airflow's table of Connections and a store, in either database, with a linked connector, for tests of renewals."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
import yaml
from cryptography.fernet import Fernet, MultiFernet
from nasty import Nasty

from flowmate_airflow.auth.connections import ANY, Stored, read, write
from flowmate_airflow.auth.grants import MARK, TOKEN, Grant
from flowmate_airflow.auth.refusals import looking_name, split_name
from flowmate_airflow.auth.renewal import Fresh
from flowmate_airflow.auth.renewing import WAIT_SECONDS, Renewer
from flowmate_airflow.catalog.oauth import OAuth2
from flowmate_airflow.store.store import Store, close_stores, open_store

ROOT = Path(__file__).resolve().parents[2]
CONN_ID = "flowmate.shop.acme"
MANY = 30.0


@pytest.fixture(scope="session")
def renewal_postgres() -> Iterator[str]:
    """A PostgreSQL server's URL."""
    pytest.importorskip("psycopg2")
    sys.path.insert(0, str(ROOT / "scripts"))
    from local_postgres import LocalPostgres

    answer = subprocess.run([ROOT / "scripts" / "postgres", "find"], capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.skip("there is no PostgreSQL server on this machine; scripts/postgres installs one")
    with LocalPostgres(Path(answer.stdout.strip())) as url:
        yield url


@dataclass
class Linked:
    """An Airflow whose connector `shop` a tenant has linked at a played provider."""

    store: Store
    nasty: Nasty
    folder: Path

    def backend(self, **kwargs: Any) -> Any:
        """Return the secrets backend as Airflow makes it."""
        from airflow.models.connection import Connection

        from flowmate_airflow.auth.backend import FlowMateBackend

        backend = FlowMateBackend(**kwargs)
        backend._set_connection_class(Connection)
        return backend

    def ask(self, conn_id: str = CONN_ID, **kwargs: Any) -> Any:
        """Ask for a Connection as the API server does for a task of FlowMate's, which looks for what is wrong."""
        name = conn_id if split_name(conn_id)[1] else looking_name(conn_id)
        return self.backend(**kwargs).get_connection(conn_id=name, team_name=None)

    def manifest(self, **auth: Any) -> None:
        """Change the connector's manifest."""
        folder = self.folder / "shop"
        folder.mkdir(parents=True, exist_ok=True)
        manifest = {
            **{"connector": 1, "name": "shop", "version": "1.0.0", "title": "Shop", "image": "example/shop:1"},
            **{"auth": auth, "triggers": {"records": {"title": "Records"}}},
        }
        (folder / "connector.yaml").write_text(yaml.safe_dump(manifest))
        forget_manifests()

    def consented(self, *, left: float = -10.0, life: float = 3600.0) -> Grant:
        """Return what a consent at the provider has brought, a while ago.

        :param left: seconds until the access token is over
        """
        from flowmate_airflow.auth.oauth2 import Client, authorization_url, exchange

        method = OAuth2.model_validate(self.nasty.auth())
        client = Client(self.nasty.client_id, self.nasty.client_secret)
        url, verifier = authorization_url(method, {}, client, "https://f.example.com/back", "s")
        login = exchange(method, {}, client, "https://f.example.com/back", self.nasty.consent(url)["code"], verifier)
        return aged(login.grant, left, life)

    def link(self, grant: Grant | None, conn_id: str = CONN_ID, **parts: Any) -> Stored:
        """Store a linked Connection."""
        extra = {MARK: {"connector": "shop", "method": "consent", "tenant": "acme"}, **parts.pop("extra", {})}
        if grant is not None:
            extra[TOKEN] = grant.as_json()
        stored = Stored(conn_id, extra=extra, **parts)
        assert write(stored, expect=ANY)
        return stored

    @property
    def stored(self) -> Stored:
        """The linked Connection as it is now."""
        found = read(CONN_ID)
        assert found is not None
        return found

    @property
    def grant(self) -> Grant:
        """What the last login of it has brought."""
        grant = self.stored.grant
        assert grant is not None
        return grant


def aged(grant: Grant, left: float, life: float = 3600.0) -> Grant:
    """Return a grant as it would be if it were from earlier."""
    from dataclasses import replace

    end = time.time() + left
    return replace(grant, expires_at=end, obtained_at=end - life)


def forget_manifests() -> None:
    """Let manifests be read again."""
    from flowmate_airflow.auth import methods

    methods._known.clear()


def told(connection: Any) -> dict[str, Any]:
    """Return the problem that a task is told of; empty: there is none."""
    problem: dict[str, Any] = connection.extra_dejson[MARK].get("problem", {})
    return problem


class _Patient(Renewer):
    """Waits for a renewal longer than who is served may: most tests need its end, on a busy machine too."""

    def fresh(self, stored: Stored, wait: float = WAIT_SECONDS, refused: str | None = None) -> Fresh:
        return super().fresh(stored, 60 if wait == WAIT_SECONDS else wait, refused)


@contextmanager
def linked_airflow(
    home: Path, monkeypatch: pytest.MonkeyPatch, nasty: Nasty, postgres: str | None = None
) -> Iterator[Linked]:
    """Give an Airflow with the connector `shop` and its application, but no link yet.

    :param postgres: the URL of an empty database for all of it; None: SQLite
    """
    from airflow import settings
    from airflow.models import crypto
    from airflow.models.connection import Connection
    from airflow.models.crypto import _RealFernet
    from sqlalchemy.orm import sessionmaker
    from sqlalchemy.pool import NullPool

    from flowmate_airflow.auth import methods, origins, renewing

    folder = home / "connectors"
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", postgres or f"sqlite:///{home}/store.db")
    monkeypatch.setenv("AIRFLOW__FLOWMATE__CONNECTORS_FOLDER", str(folder))
    monkeypatch.setattr(origins, "configured", lambda: None)
    monkeypatch.setattr(methods, "_known", {})
    monkeypatch.setattr(renewing, "_renewer", _Patient(renewing.renew_stored))
    arguments = {} if postgres else {"connect_args": {"timeout": 30}}
    engine = sqlalchemy.create_engine(postgres or f"sqlite:///{home}/airflow.db", poolclass=NullPool, **arguments)
    tables: Any = [Connection.__table__]
    with engine.begin() as connection:
        if postgres:  # what Connections may belong to
            connection.exec_driver_sql("CREATE TABLE team (name VARCHAR(50) PRIMARY KEY)")
        Connection.metadata.create_all(connection, tables=tables)
    maker = sessionmaker(engine)
    monkeypatch.setattr(settings, "NonScopedSession", maker)
    monkeypatch.setattr(settings, "Session", maker)
    key = _RealFernet(MultiFernet([Fernet(Fernet.generate_key())]))
    monkeypatch.setattr(crypto, "get_fernet", lambda: key)
    world = Linked(open_store(), nasty, folder)
    world.manifest(consent=nasty.auth(optional={"region": "extra.region"}))
    write(Stored("flowmate.shop", login=nasty.client_id, password=nasty.client_secret), expect=ANY)
    yield world
    close_stores()
    engine.dispose()
