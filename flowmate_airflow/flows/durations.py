"""Durations as people write them: `30s`, `10m`, `1h30m`, `2d`."""

from __future__ import annotations

import re
from datetime import timedelta

_DURATION = re.compile(r"^(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$")
PATTERN = r"^(?=[0-9])([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$"
"""The same as a JSON Schema pattern."""


def parse_duration(text: str) -> timedelta:
    """Return the length of a duration.

    :raises ValueError: it is not a duration, or zero, or longer than ten years
    """
    match = _DURATION.match(text)
    if match is None or not text:
        raise ValueError(f"{text!r} is not a duration; write for example 30s, 10m, 1h30m or 2d")
    if len(text) > 40:
        raise ValueError("the duration is too long to read")
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    try:
        length = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        length = timedelta.max
    if not timedelta(0) < length <= timedelta(days=3660):
        raise ValueError(f"the duration {text!r} must be between one second and ten years")
    return length
