"""When a notice that could not be sent is tried again."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

WAITS = tuple(
    timedelta(seconds=seconds) for seconds in (5, 60, 300, 1800, 2 * 3600, 6 * 3600, 12 * 3600, 24 * 3600, 30 * 3600)
)
"""From one try to the next: ten tries in about 75 hours, as Standard Webhooks advises."""
SPREAD = 0.1
"""By how much of itself a wait may be longer, so that what failed together does not come again together."""
LONGEST = timedelta(hours=6)
"""That a target may ask for with Retry-After."""


def next_try(attempts: int, message_id: str, moment: datetime, asked: timedelta | None = None) -> datetime | None:
    """Return when a notice is tried again, None when it was tried often enough.

    :param attempts: how often it was tried
    :param message_id: by which the wait is spread, always in the same way
    :param asked: how long the target wants to be left alone
    """
    if attempts > len(WAITS):
        return None
    number = int.from_bytes(hashlib.sha256(f"{message_id}:{attempts}".encode()).digest()[:4], "big")
    wait = WAITS[max(attempts, 1) - 1] * (1 + SPREAD * number / 2**32)
    return moment + max(wait, asked or timedelta(0))


def retry_after(value: str | None, moment: datetime) -> timedelta | None:
    """Return what a header Retry-After asks for, in seconds or as a date; None when it asks for nothing."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return min(timedelta(seconds=min(int(text[:10]), 10**6)), LONGEST)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    until = until if until.tzinfo is not None else until.replace(tzinfo=timezone.utc)
    return min(max(until - moment, timedelta(0)), LONGEST)
