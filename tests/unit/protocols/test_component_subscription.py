"""The `SUBSCRIPTION` line: what is taken, and what is refused without a value in the text."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmate_airflow.protocols.base import Request
from flowmate_airflow.protocols.component import ComponentConversation, parse_line
from flowmate_airflow.protocols.events import ProtocolError, SubscriptionEvent


def parsed(**parts: Any) -> SubscriptionEvent:
    event = parse_line(orjson.dumps({"type": "SUBSCRIPTION", **parts}))
    assert isinstance(event, SubscriptionEvent)
    return event


@pytest.mark.parametrize("verb", ["subscribe", "unsubscribe"])
def test_the_function_is_named(verb: Any) -> None:
    launch = ComponentConversation(Request(verb=verb, function="order_created")).launch()
    assert launch.arguments == (verb, "order_created")


@pytest.mark.parametrize("subscription", [None, 5, "hook", {"id": 1}, [1, {"a": None}], {}])
def test_any_json_is_a_subscription(subscription: Any) -> None:
    assert parsed(subscription=subscription) == SubscriptionEvent(subscription)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T08:00:00Z", datetime(2026, 1, 31, 8, tzinfo=timezone.utc)),
        ("2026-01-31t08:00:00.9356913z", datetime(2026, 1, 31, 8, 0, 0, 935691, timezone.utc)),
        ("2026-01-31T08:00:00.5", datetime(2026, 1, 31, 8, 0, 0, 500000, timezone.utc)),
        ("2026-01-31 08:00:00+0200", datetime(2026, 1, 31, 6, tzinfo=timezone.utc)),
        ("2026-01-31T08:00-05:30", datetime(2026, 1, 31, 13, 30, tzinfo=timezone.utc)),
    ],
)
def test_times_as_providers_write_them(text: str, expected: datetime) -> None:
    assert parsed(subscription=1, expires_at=text, secret="s").expires_at == expected


@given(st.datetimes(timezones=st.timezones()))
def test_any_time_of_python_is_taken(moment: datetime) -> None:
    if not timedelta(days=2) < moment.replace(tzinfo=None) - datetime.min < datetime.max - datetime.min - timedelta(2):
        return  # in UTC it would be no year of the calendar
    offset = moment.utcoffset() or timedelta()
    text = (moment - timedelta(seconds=offset.seconds % 60)).isoformat() if offset.seconds % 60 else moment.isoformat()
    if text[-6] in "+-":  # seconds in an offset have no ISO form
        assert parsed(subscription=1, expires_at=text).expires_at == datetime.fromisoformat(text)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"expires_at": "2026-01-31T08:00:00Z"},
        {"subscription": "x" * (64 * 1024)},
        {"subscription": 1, "expires_at": "tomorrow-hidden"},
        {"subscription": 1, "expires_at": 1700000000},
        {"subscription": 1, "expires_at": "2026-02-31T08:00:00Z"},
        {"subscription": 1, "expires_at": "0001-01-01T00:00:00+14:00"},
        {"subscription": 1, "secret": ""},
        {"subscription": 1, "secret": ["hidden"]},
        {"subscription": 1, "secret": "hidden" * 1000},
    ],
)
def test_what_is_none_is_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as error:
        parsed(**parts)
    assert "hidden" not in str(error.value)


def test_what_is_nested_too_deep_is_refused() -> None:
    with pytest.raises(ProtocolError, match="nested too deep"):
        parse_line(b'{"type":"SUBSCRIPTION","subscription":' + b"[" * 500 + b"]" * 500 + b"}")
