"""Puts this folder on the path, where `played` is for the tests of several packages, and that of played providers."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "providers"))

from provider_fixtures import nasty, oauth1_server, oidc, running_oidc

from flowmate_airflow.store import schema
from flowmate_airflow.store.store import Store

__all__ = ["nasty", "oauth1_server", "oidc", "quick_stores", "running_oidc"]


@pytest.fixture(scope="session", autouse=True)
def quick_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make the tables of an SQLite store once and copy that file: making them takes most of the time of many tests."""
    prepare, made = schema.prepare, tmp_path_factory.mktemp("store") / "made.db"

    def quick(store: Store) -> None:
        name = store.engine.url.database
        file = Path(name) if name and store.engine.dialect.name == "sqlite" else None
        if file is None or file.exists():
            prepare(store)
        elif made.exists():
            shutil.copyfile(made, file)
            prepare(store)  # which finds that all is there
        else:
            prepare(store)
            with store.engine.connect() as connection:
                connection.exec_driver_sql(f"VACUUM INTO '{made}'")

    schema.prepare = quick
    yield
    schema.prepare = prepare
