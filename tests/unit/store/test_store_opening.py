"""Opening the store: where it is, its tables' version, and what is told when it cannot be opened."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy
from airflow.exceptions import AirflowConfigException
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from flowmate_airflow.store import schema, states, tables, urls
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.states import Place
from flowmate_airflow.store.store import Store, close_stores, open_store

pytestmark = pytest.mark.usefixtures("real_stores")

PLACE = Place("orders", "read")


def test_without_the_option_it_is_a_file_in_airflows_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.delitem(sys.modules, "airflow.configuration", raising=False)
    store = open_store()
    states.set_state(store, PLACE, 1)
    close_stores()
    assert stat.S_IMODE((tmp_path / "flowmate" / "store.db").stat().st_mode) == 0o600


def test_the_option_names_another_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", f"sqlite:///{tmp_path}/other.db")
    monkeypatch.delitem(sys.modules, "airflow.configuration", raising=False)
    open_store()
    close_stores()
    assert (tmp_path / "other.db").exists()


def test_airflows_ways_to_give_a_secret_option_work(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from flowmate_airflow.store.urls import configured_url; print(repr(configured_url()))"],
        env={
            "AIRFLOW_HOME": str(tmp_path),
            "PATH": "/usr/bin:/bin",
            "AIRFLOW__FLOWMATE__STORE_URL_CMD": "echo postgresql://from/command",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "'postgresql://from/command'"


def test_a_command_for_the_option_that_fails_is_told_without_what_it_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> str:
        raise AirflowConfigException("Cannot execute get-url. Error code is: 1. Output: password")

    monkeypatch.setattr(urls, "secret_setting", fail)
    with pytest.raises(StoreError, match="check its command or secrets backend") as caught:
        open_store()
    assert "password" not in str(caught.value)


def test_nothing_heavy_is_imported_before_it_is_opened_and_no_alembic_when_it_is_up_to_date(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    open_store(url)
    close_stores()
    code = (
        "import sys\n"
        "from flowmate_airflow.store import catalogs, deadletters, links, replays, results, secrets, states, store\n"
        "from flowmate_airflow.store import claims, deliveries, endpoints, replies\n"
        "print([name for name in ('sqlalchemy', 'alembic', 'airflow') if name in sys.modules])\n"
        f"store.open_store({url!r})\n"
        "print([name for name in ('sqlalchemy', 'alembic', 'airflow') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "['sqlalchemy']"]


def test_what_was_written_to_sqlite_outlives_a_loss_of_power(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/store.db").write() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    close_stores()


def test_the_migrations_make_the_tables_that_the_program_uses(store: Store) -> None:
    with store.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": schema.VERSION_TABLE, "compare_server_default": True}
        )
        assert compare_metadata(context, tables.metadata) == []


def test_the_version_is_that_of_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", "flowmate_airflow.store:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


@pytest.mark.parametrize("version", ["0004", "9999", "a1b2c3d4"])
def test_a_store_of_a_newer_program_is_refused(store: Store, url: str, version: str) -> None:
    with store.write() as connection:
        connection.exec_driver_sql(f"UPDATE {schema.VERSION_TABLE} SET version_num = '{version}'")
    close_stores()
    with pytest.raises(StoreError, match=rf"made by a newer FlowMate \(its tables have the version {version}"):
        open_store(url)


def test_a_migration_that_fails_leaves_nothing_behind(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import op

    with monkeypatch.context() as patched:
        patched.setattr(op, "create_index", lambda *_: sqlalchemy.bindparam("x").compile().nothing)
        with pytest.raises(AttributeError):
            open_store(url)
    store = open_store(url)
    states.set_state(store, PLACE, 1)
    assert states.read_state(store, PLACE) == 1


def test_the_tables_stand_beside_others(postgres_url: str) -> None:
    engine = sqlalchemy.create_engine(postgres_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num text)")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('of Airflow')")
    open_store(postgres_url)
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all() == ["of Airflow"]
        names = sqlalchemy.inspect(connection).get_table_names()
    engine.dispose()
    assert all(name.startswith("flowmate_") for name in names if name != "alembic_version")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("not a url", "is not a database's URL"),
        ("postgresql://user:hunter22@host:port/db", "is not a database's URL"),
        ("mysql://user:hunter22@host/db", "of the kind mysql"),
        ("postgresql://user:hunter@22@host/db", "write it as %40"),
        ("postgresql+nosuch://user:hunter22@host/db", "postgresql[+]nosuch"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///file::memory:?uri=true", "names no file"),
        ("sqlite:///store.db", "four slashes"),
        ("sqlite:////proc/nothing/store.db", "cannot be opened"),
    ],
)
def test_a_url_that_cannot_be_used(url: str, told: str) -> None:
    with pytest.raises(StoreError, match=told) as caught:
        open_store(url)
    assert "hunter" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_server_that_does_not_answer() -> None:
    pytest.importorskip("psycopg2")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        port = taken.getsockname()[1]
        with pytest.raises(StoreError, match="Connection refused") as caught:
            open_store(f"postgresql://user:hunter22@127.0.0.1:{port}/db?options=-csearch_path%3Dhunter33")
    assert caught.value.transient
    assert f"postgresql://user@127.0.0.1:{port}/db" in str(caught.value)
    assert "hunter" not in str(caught.value)


def test_a_wrong_password(postgres: str) -> None:
    url = sqlalchemy.make_url(postgres).set(password="hunter22")
    with pytest.raises(StoreError, match="password authentication failed") as caught:
        open_store(url.render_as_string(hide_password=False))
    assert "hunter22" not in str(caught.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_text("this is something else, and long enough to be taken for what it is not" * 10)
    with pytest.raises(StoreError, match=r"store\.db failed: file is not a database"):
        open_store(f"sqlite:///{tmp_path}/store.db")


def test_a_damaged_value(store: Store) -> None:
    states.set_state(store, PLACE, {"a": "x" * 5000})
    with store.write() as connection:
        connection.execute(tables.states.update().values(state=b"\1not compressed"))
    with pytest.raises(StoreError, match="the state of the step read of orders in the store is damaged"):
        states.read_state(store, PLACE)


def test_a_table_that_is_gone_is_told_without_values(store: Store) -> None:
    with store.write() as connection:
        connection.exec_driver_sql("DROP TABLE flowmate_states")
    with pytest.raises(StoreError, match=r"flowmate_states") as caught:
        states.set_state(store, Place("orders", "secretive"), {"token": "hunter22"})
    assert "hunter22" not in str(caught.value)
    assert "secretive" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
