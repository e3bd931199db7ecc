"""The `SUBSCRIPTION` line: what a component answers when it has registered a flow's address with the other system."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any

import orjson

from flowmate_airflow.protocols.events import ProtocolError, SubscriptionEvent

MAX_SUBSCRIPTION = 64 * 1024
"""Bytes of what a component may want to be told again."""
MAX_SECRET = 4096
"""Characters of the secret that the other system signs with."""

# Microsoft Graph writes seven digits of a second, which datetime does not take; Python 3.10 knows no Z.
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,6})\d*)? ?([Zz]|[+-]\d\d:?\d\d)?")


def parse_subscription(value: dict[str, Any]) -> SubscriptionEvent:
    """Return the event of a line.

    :raises ProtocolError: it is malformed, or asks to keep too much; none of its values is in the text
    """
    if "subscription" not in value:
        raise ProtocolError("a SUBSCRIPTION line of its output has no key `subscription`")
    check_size(value["subscription"])
    secret = value.get("secret")
    if secret is not None and (not isinstance(secret, str) or not 0 < len(secret) <= MAX_SECRET):
        raise ProtocolError(
            f"the `secret` of a SUBSCRIPTION line is no text of at most {MAX_SECRET:,} characters (or null)"
        )
    return SubscriptionEvent(value["subscription"], _expiry(value.get("expires_at")), secret)


def check_size(subscription: Any) -> None:
    """Check that a subscription can be kept.

    :raises ProtocolError: it is too large, or nested too deep
    """
    try:
        size = len(orjson.dumps(subscription))
    except orjson.JSONEncodeError:
        raise ProtocolError("it asks to keep a subscription that is nested too deep") from None
    if size > MAX_SUBSCRIPTION:
        raise ProtocolError(f"it asks to keep a subscription of {size:,} bytes; {MAX_SUBSCRIPTION:,} are allowed")


def _expiry(value: Any) -> datetime | None:
    if value is None:
        return None
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    try:
        if found is None:
            raise ValueError
        day, time, fraction, zone = found.groups()
        moment = datetime.fromisoformat(f"{day}T{time}{f'.{fraction:0<6}' if fraction else ''}{_offset(zone)}")
        return moment.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise ProtocolError(
            "the `expires_at` of a SUBSCRIPTION line is no ISO time such as 2026-01-31T08:00:00Z (or null)"
        ) from None


def _offset(zone: str | None) -> str:
    if zone is None or zone in "Zz":
        return "+00:00"
    return zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
