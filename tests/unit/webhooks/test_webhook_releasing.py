"""What ended runs have taken at endpoints where a step waits goes to others, as Airflow's own tables tell of runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

from flowmate_airflow.store.claims import Owner, claim, owners
from flowmate_airflow.store.deliveries import NewDelivery, get, insert
from flowmate_airflow.store.store import Store, close_stores, open_store
from flowmate_airflow.webhooks.directory import Directory
from flowmate_airflow.webhooks.endpoints import URI
from flowmate_airflow.webhooks.inbox import Inbox
from flowmate_airflow.webhooks.releasing import Run, release

MOMENT = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    yield open_store(f"sqlite:///{tmp_path}/store.db")
    close_stores()


class Runs:
    """Runs that a test has ended.

    :param over: whether each went well
    """

    def __init__(self, over: Mapping[Run, bool]) -> None:
        self.over = over
        self.asked = 0

    def starting(self) -> frozenset[str]:
        return frozenset({"orders"})

    def ended(self, runs: Collection[Run]) -> Mapping[Run, bool]:
        self.asked += 1
        return {run: self.over[run] for run in runs if run in self.over}


def taken(store: Store, endpoint: str, owner: Owner) -> int:
    """Let a run take a delivery, and return its number."""
    (stored,) = insert(store, [NewDelivery(endpoint=endpoint, digest=str(owner).encode(), payload=b"{}")])
    assert claim(store, owner, endpoint, limit=1) == [stored.id]
    return stored.id


def statuses(store: Store, numbers: Mapping[str, int]) -> dict[str, str]:
    found = {name: get(store, number) for name, number in numbers.items()}
    return {name: delivery.status for name, delivery in found.items() if delivery is not None}


def test_what_ended_runs_have_another_one_gets(store: Store) -> None:
    waiting = "payments~paid"
    numbers = {
        name: taken(store, endpoint, Owner("payments", name, "paid"))
        for name, endpoint in {"failed": waiting, "well": waiting, "runs": waiting, "starts": "orders"}.items()
    }
    runs = Runs({("payments", name): name == "well" for name in ("failed", "well", "starts")})
    assert release(Inbox(lambda: store, ""), runs) == 2
    # What starts runs is the triggerer's to settle, which counts the runs that fail with it.
    assert statuses(store, numbers) == {
        "failed": "received",
        "well": "delivered",
        "runs": "claimed",
        "starts": "claimed",
    }
    released = get(store, numbers["failed"])
    assert released is not None
    assert released.error == "the run failed of payments, task paid is over"
    assert claim(store, Owner("payments", "next", "paid"), waiting, limit=9) == [numbers["failed"]]


def test_an_event_that_run_after_run_takes_and_fails_is_given_up(store: Store) -> None:
    number = taken(store, "payments~paid", Owner("payments", "0", "paid"))
    runs = Runs({("payments", str(each)): False for each in range(3)})
    for each in range(3):
        owner = Owner("payments", str(each), "paid")
        assert claim(store, owner, "payments~paid", limit=1) == [number]
        assert release(Inbox(lambda: store, ""), runs) == 1
    assert statuses(store, {"it": number}) == {"it": "failed"}
    assert owners(store) == {}


def test_airflow_is_asked_only_where_something_is_taken(store: Store) -> None:
    runs = Runs({})
    assert release(Inbox(lambda: store, ""), runs) == 0
    assert runs.asked == 0


@pytest.fixture
def airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A database with those of Airflow's tables that tell of runs and of what they are scheduled on."""
    from airflow import settings
    from airflow.models import import_all_models
    from airflow.models.asset import AssetModel, DagScheduleAssetReference
    from airflow.models.dagrun import DagRun

    import_all_models()  # their tables refer to one another
    engine = create_engine(f"sqlite:///{tmp_path}/airflow.db", poolclass=NullPool)
    tables: Any = [DagRun.__table__, AssetModel.__table__, DagScheduleAssetReference.__table__]
    DagRun.metadata.create_all(engine, tables=tables)
    monkeypatch.setattr(settings, "Session", scoped_session(sessionmaker(engine)))
    monkeypatch.setattr(settings, "NonScopedSession", sessionmaker(engine))
    yield engine
    engine.dispose()


def test_airflow_tells_which_runs_are_over(airflow: Any) -> None:
    from airflow.models.dagrun import DagRun

    states = {"well": "success", "bad": "failed", "on": "running", "waits": "queued"}
    rows = [
        {
            **{"dag_id": "payments", "run_id": run_id, "state": state, "run_type": "manual"},
            **{"run_after": MOMENT, "conf": {}, "clear_number": 0, "log_template_id": None},
        }
        for run_id, state in states.items()
    ]
    with airflow.begin() as connection:
        connection.execute(DagRun.__table__.insert(), rows)
    asked = {("payments", name) for name in (*states, "gone")} | {("other", "well")}
    assert Directory().ended(asked) == {
        ("payments", "well"): True,
        ("payments", "bad"): False,
        ("payments", "gone"): False,
        ("other", "well"): False,
    }
    many = {("payments", f"gone {number}") for number in range(1200)}
    assert Directory().ended(many) == dict.fromkeys(many, False)


def test_airflow_tells_which_endpoints_start_runs(airflow: Any) -> None:
    from airflow.models.asset import AssetModel, DagScheduleAssetReference

    with airflow.begin() as connection:
        for number, uri in enumerate((f"{URI}orders", f"{URI}payments~paid", "s3://bucket/orders"), 1):
            moments = {"created_at": MOMENT, "updated_at": MOMENT}
            row = {"id": number, "name": uri, "uri": uri, "group": "g", "extra": {}, **moments}
            connection.execute(AssetModel.__table__.insert(), row)
            if "~" not in uri:
                reference = {"asset_id": number, "dag_id": "orders", **moments}
                connection.execute(DagScheduleAssetReference.__table__.insert(), reference)
    assert Directory().starting() == {"orders"}
