"""Durations as people write them: `30s`, `10m`, `1h30m`, `2d`."""

from __future__ import annotations

import re
from datetime import timedelta

from flowmate_airflow.flows.errors import shown

_DURATION = re.compile(r"(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?")
PATTERN = r"^(?=[0-9])([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$"
"""The same as a JSON Schema pattern."""


def parse_duration(text: str) -> timedelta:
    """Return the length of a duration.

    :raises ValueError: it is not a duration, or zero, or longer than ten years
    """
    match = _DURATION.fullmatch(text) if 0 < len(text) <= 40 else None
    if match is None:
        raise ValueError(f"{shown(text)} is not a duration; write for example 30s, 10m, 1h30m or 2d")
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    try:
        length = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        length = timedelta.max
    if not timedelta(0) < length <= timedelta(days=3660):
        raise ValueError(f"the duration {shown(text)} must be between one second and ten years")
    return length
