"""A store, and an application that is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from outgoing_harness import SECRET, Application, Tell, application

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.outgoing.announce import targets
from flowmate_airflow.outgoing.targets import Target, target_of
from flowmate_airflow.store.store import Store, close_stores, open_store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The configured store, empty."""
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", f"sqlite:///{tmp_path}/store.db")
    yield open_store()
    close_stores()


@pytest.fixture
def app() -> Iterator[Application]:
    """An application that is told."""
    with application() as running:
        yield running


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tell]:
    """Makes applications targets."""
    names: list[str] = []
    monkeypatch.setenv("AIRFLOW__FLOWMATE__OUTGOING", "")
    targets.forget()

    def add(conn_id: str, app: Application, *, password: str = SECRET, **extra: Any) -> Target:
        names.append(conn_id)
        monkeypatch.setenv("AIRFLOW__FLOWMATE__OUTGOING", ", ".join(names))
        extra = {"allow_private": True, **extra}
        value = {"conn_type": "generic", "host": app.url, "password": password, "extra": extra}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(value))
        return target_of(Account(conn_id, None, password, app.url, None, None, extra))

    yield add
    targets.forget()
