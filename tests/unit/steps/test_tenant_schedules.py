"""Schedules of tenants' own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from flowmate_airflow.steps.tenantschedules import Clock, next_time
from flowmate_airflow.store import tenants
from flowmate_airflow.store.store import Store, close_stores, open_store

UTC, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 27, 12, tzinfo=timezone.utc)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    yield open_store(f"sqlite:///{tmp_path}/store.db")
    close_stores()


def _clock(store: Store, now: datetime, schedule: str | None = "@hourly") -> Clock:
    return Clock(store, "orders", schedule, "UTC", tenants.tenants_of(store, "orders"), now)


def _due(store: Store, now: datetime, *names: str, schedule: str | None = "@hourly") -> dict[str, datetime]:
    """Return who is due, and start them."""
    clock = _clock(store, now, schedule)
    found = clock.due(names).since
    clock.started(found)
    return found


def _at(**later: int) -> datetime:
    return NOON + timedelta(**later)


def test_tenants_without_a_schedule_run_by_the_flows(store: Store) -> None:
    assert _due(store, _at(minutes=30), "acme", "globex") == {}  # it is new: the next full hour is its first
    assert _due(store, _at(minutes=59), "acme", "globex") == {}
    assert _due(store, _at(minutes=61), "acme", "globex") == dict.fromkeys(["acme", "globex"], _at(hours=1))
    assert _due(store, _at(minutes=62), "acme", "globex") == {}


def test_one_of_their_own_counts_for_them_alone(store: Store) -> None:
    tenants.set_flow(store, "acme", "orders", schedule="*/10 * * * *")
    tenants.set_flow(store, "globex", "orders", schedule="none")
    names = ("acme", "globex", "initech")
    assert _due(store, _at(minutes=1), *names) == {}
    assert _due(store, _at(minutes=10), *names) == {"acme": _at(minutes=10)}
    assert _due(store, _at(minutes=11), *names) == {}
    assert _due(store, _at(minutes=60), *names) == {"acme": _at(minutes=20), "initech": _at(hours=1)}
    assert _due(store, _at(minutes=61), *names) == {}  # what was missed is not made up for


def test_the_template_is_what_others_inherit(store: Store) -> None:
    tenants.set_flow(store, "default", "orders", schedule="*/10 * * * *")
    assert _due(store, _at(minutes=1), "acme") == {}
    assert _due(store, _at(minutes=10), "acme") == {"acme": _at(minutes=10)}


def test_who_was_not_started_is_still_due(store: Store) -> None:
    assert _due(store, _at(minutes=1), "acme") == {}
    assert _clock(store, _at(hours=1)).due(["acme"]).since == {"acme": _at(hours=1)}
    assert _clock(store, _at(hours=1, minutes=1)).due(["acme"]).since == {"acme": _at(hours=1)}


def test_another_schedule_of_the_flow_counts_at_once(store: Store) -> None:
    assert _due(store, _at(minutes=1), "acme", schedule="@monthly") == {}
    assert _due(store, _at(minutes=2), "acme", schedule="*/5 * * * *") == {}
    assert _due(store, _at(minutes=5), "acme", schedule="*/5 * * * *") == {"acme": _at(minutes=5)}


def test_a_flow_without_a_schedule_is_due_for_nobody(store: Store) -> None:
    assert _due(store, _at(minutes=1), "acme", schedule=None) == {}
    assert _due(store, _at(days=400), "acme", schedule=None) == {}


def test_a_wrong_one_is_that_tenants_failure_alone(store: Store) -> None:
    tenants.set_flow(store, "acme", "orders", schedule="every day")
    _due(store, _at(minutes=1), "globex")
    found = _clock(store, _at(hours=1)).due(["acme", "globex"])
    assert list(found.since) == ["globex"]
    assert "the schedule is wrong" in found.failed["acme"]


@pytest.mark.parametrize(
    ("schedule", "zone", "now", "expected"),
    [
        ("15m", UTC, _at(minutes=50), _at(hours=1)),
        ("1h30m", UTC, NOON - timedelta(minutes=1), _at(minutes=90)),
        ("0 6 * * *", BERLIN, NOON, datetime(2026, 11, 28, 6, tzinfo=BERLIN)),
        ("@quarterly", UTC, NOON, datetime(2027, 1, 1, tzinfo=UTC)),
        ("30 2 * * *", BERLIN, datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 3, 29, 3, tzinfo=BERLIN)),
        (None, UTC, NOON, None),
        ("none", UTC, NOON, None),
    ],
)
def test_the_next_time(schedule: str | None, zone: ZoneInfo, now: datetime, expected: datetime | None) -> None:
    assert next_time(schedule, zone, NOON, now) == expected


@pytest.mark.parametrize("schedule", ["@once", "@continuous", "x", "* * * *", "61 * * * *"])
def test_what_is_no_schedule_of_tenants(schedule: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        next_time(schedule, UTC, NOON, NOON)
