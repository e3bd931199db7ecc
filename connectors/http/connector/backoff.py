"""When to try again, and how long to wait before."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
LONGEST_RETRY_AFTER = 120.0


def wait_seconds(attempt: int, retry_after: str | None) -> float | None:
    """Return how long to wait after a failed attempt.

    :param attempt: the number of the attempt that failed, from 0
    :param retry_after: the header of that name: seconds or an HTTP date
    :returns: seconds; None when the server asks for more than it is worth to wait inside of a run
    """
    asked = _parse_retry_after(retry_after)
    if asked is None:
        return float(min(FIRST_WAIT * 2**attempt, LONGEST_WAIT))
    return asked if asked <= LONGEST_RETRY_AFTER else None


def retry_status(method: str, status: int, retry_after: str | None) -> bool:
    """Return whether a request may be sent again after this status.

    A POST or PATCH might have been carried out in spite of an error, so it is sent again only where the
    server asks for that.
    """
    if method in IDEMPOTENT:
        return status == 429 or status >= 500
    return status in (429, 503) and _parse_retry_after(retry_after) is not None


def retry_failure(method: str, error: requests.RequestException) -> bool:
    """Return whether a request may be sent again after a broken connection."""
    if isinstance(error, requests.exceptions.SSLError):
        return False
    return method in IDEMPOTENT or never_sent(error)


def never_sent(error: requests.RequestException) -> bool:
    """Return whether the connection was not even made, so that the server cannot have seen the request."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


def _parse_retry_after(value: str | None) -> float | None:
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError):
        return None
    return max(0.0, at.timestamp() - time.time())
