"""When what was not taken is tried again."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from flowmate_airflow.outgoing.retries import LONGEST, SPREAD, WAITS, next_try, retry_after

MOMENT = datetime(2026, 1, 31, 8, tzinfo=timezone.utc)


def test_ten_tries_take_about_75_hours() -> None:
    moment = MOMENT
    tries = 1
    while (again := next_try(tries, "msg_1", moment)) is not None:
        assert again > moment
        moment = again
        tries += 1
    assert tries == 10
    assert timedelta(hours=70) < moment - MOMENT < timedelta(hours=85)


@pytest.mark.parametrize("attempt", range(1, 10))
def test_waits_are_spread_by_the_id_always_in_the_same_way(attempt: int) -> None:
    waits = {next_try(attempt, f"msg_{number}", MOMENT) for number in range(20)}
    assert len(waits) > 10
    assert waits == {next_try(attempt, f"msg_{number}", MOMENT) for number in range(20)}
    shortest = MOMENT + WAITS[attempt - 1]
    assert all(each is not None and shortest <= each <= shortest + WAITS[attempt - 1] * SPREAD for each in waits)


def test_what_the_target_asks_for_counts_when_it_is_longer() -> None:
    assert next_try(1, "msg_1", MOMENT, timedelta(hours=1)) == MOMENT + timedelta(hours=1)
    later = next_try(9, "msg_1", MOMENT, timedelta(hours=1))
    assert later is not None
    assert later > MOMENT + timedelta(hours=29)
    assert next_try(10, "msg_1", MOMENT, timedelta(hours=1)) is None


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        (None, None),
        ("120", timedelta(seconds=120)),
        (" 0 ", timedelta(0)),
        ("99999999999999999999", LONGEST),
        ("Sat, 31 Jan 2026 08:05:00 GMT", timedelta(minutes=5)),
        ("Sat, 31 Jan 2026 07:00:00 GMT", timedelta(0)),
        ("Sat, 31 Jan 2099 07:00:00 GMT", LONGEST),
        ("Sat, 31 Jan 2026 08:05:00 -0000", timedelta(minutes=5)),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_bounded(header: str | None, asked: timedelta | None) -> None:
    assert retry_after(header, MOMENT) == asked
