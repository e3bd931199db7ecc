"""When a run is asked for: once for what waits, again when it goes on waiting, and not before it was quiet."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise

from flowmate_airflow.store.waiting import Waiting
from flowmate_airflow.triggers.webhook import AGAIN, LONGEST_AGAIN, PATIENCE, Asking, AskingAll

NOW = datetime(2026, 1, 31, tzinfo=timezone.utc)


def waiting(first: int = 1, *, count: int = 1, age: float = PATIENCE, quiet: float = 0) -> Waiting:
    return Waiting(
        endpoint="orders",
        tenant="",
        first_id=first,
        last_id=first + count - 1,
        count=count,
        first_at=NOW - timedelta(seconds=age),
        last_at=NOW - timedelta(seconds=quiet),
    )


def test_what_just_came_is_left_to_the_receiver():
    asking = Asking(debounce=0)
    assert not asking.should_ask(waiting(age=PATIENCE - 0.1), NOW, 0)
    assert asking.should_ask(waiting(age=PATIENCE), NOW, 1)


def test_a_burst_asks_once():
    asking = Asking(debounce=0)
    asked = [asking.should_ask(waiting(count=count), NOW, tick=count / 100) for count in range(1, 1000)]
    assert asked == [True] + [False] * 998


def test_what_comes_after_a_run_took_the_rest_asks_again():
    asking = AskingAll(debounce=0)
    assert asking.should_ask({"": waiting(1)}, NOW, 0)
    assert not asking.should_ask({"": waiting(1, count=5)}, NOW, 1)
    assert asking.should_ask({"": waiting(3, count=3)}, NOW, 2)  # a run took two of them
    assert not asking.should_ask({}, NOW, 3)
    assert asking.should_ask({"": waiting(3, count=1)}, NOW, 4)  # released: it was gone meanwhile


def test_what_nobody_takes_is_asked_for_again_ever_more_rarely():
    asking = Asking(debounce=0)
    asked = [tick for tick in range(20_000) if asking.should_ask(waiting(), NOW, tick)]
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert pauses[:3] == [AGAIN, 2 * AGAIN, 4 * AGAIN]
    assert max(pauses) == LONGEST_AGAIN
    assert pauses == sorted(pauses)


def test_a_flow_that_waits_for_quiet_starts_when_it_is_quiet():
    asking = Asking(debounce=5)
    assert not asking.should_ask(waiting(age=1, quiet=1), NOW, 0)
    assert not asking.should_ask(waiting(age=20, quiet=4.9), NOW, 1)
    assert asking.should_ask(waiting(age=20, quiet=5), NOW, 2)


def test_a_flow_that_waits_for_quiet_does_not_wait_for_ever():
    asking = Asking(debounce=5)
    assert not asking.should_ask(waiting(age=49, quiet=0), NOW, 0)
    assert asking.should_ask(waiting(age=50, quiet=0), NOW, 1)


def test_what_one_tenant_leaves_waiting_delays_no_other():
    asking = AskingAll(debounce=0)
    left = {"left": waiting(1)}
    assert asking.should_ask(left, NOW, 0)
    assert not asking.should_ask(left, NOW, 1)
    assert asking.should_ask(left | {"new": waiting(7)}, NOW, 2)
    assert not asking.should_ask(left | {"new": waiting(7)}, NOW, 3)
    assert asking.should_ask(left | {"new": waiting(7), "newer": waiting(8)}, NOW, 4)
    assert not asking.should_ask(left, NOW, 5)
    assert asking.should_ask(left | {"new": waiting(7)}, NOW, 6)  # released
    assert len(asking._asking) == 2
