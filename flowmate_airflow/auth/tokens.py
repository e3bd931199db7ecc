"""What a provider answers to a login, as a grant and what else it tells."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from flowmate_airflow.auth.answers import at, metadata
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.grants import Grant
from flowmate_airflow.auth.http import Answer
from flowmate_airflow.catalog.oauth import OAuth2

MAX_TOKEN = 256 * 1024
"""Characters of a token; some, which hold what they allow, have a hundred thousand."""
LONGEST = 20 * 366 * 86400.0
"""Seconds that a token is taken to be valid, whatever the answer says."""
_NAMES = ("access_token", "refresh_token", "expires_in", "expires_at", "scope", "token_type")
_UNFIT = re.compile(r"[^\x20-\x7e]")
"""What no header can carry."""


@dataclass(frozen=True, slots=True)
class Login:
    """What a login has brought.

    :param metadata: what else was told, by the part of the Connection that keeps it, such as `extra.instance_url`
    """

    grant: Grant
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)


def login_of(method: OAuth2, answer: Answer, value: Any, before: Grant | None = None) -> Login:
    """Return what the answer of a token address brings.

    :param value: what the answer holds
    :param before: the grant that was renewed, whose refresh token and scope stay where no others come
    :raises LoginError: it has no access token
    """
    tokens = value if method.token_path is None else at(value, method.token_path)
    names: dict[str, str] = {name: name for name in _NAMES}
    names.update((name, path) for name, path in method.token_names.items())
    found = {name: at(tokens, path) for name, path in names.items()}
    access = token_text(found["access_token"], answer.host, "access token")
    refresh = found["refresh_token"] or (before.refresh_token if before is not None else None)
    grant = Grant(
        access_token=access,
        refresh_token=token_text(refresh, answer.host, "refresh token") if refresh else None,
        token_type=str(found["token_type"] or "Bearer")[:50],
        scope=_scope(method, found["scope"], before),
        expires_at=_expires_at(method, answer, found),
        obtained_at=answer.started,
    )
    return Login(grant, metadata(value, method.token_metadata, answer.host))


def token_text(value: Any, host: str, what: str) -> str:
    """Return a token.

    :raises LoginError: it is none that a header can carry
    """
    if not isinstance(value, str) or not value:
        raise LoginError(f"the answer of {host} has no {what}")
    if len(value) > MAX_TOKEN:
        raise LoginError(f"the {what} of {host} is longer than {MAX_TOKEN // 1024} KiB")
    if _UNFIT.search(value):
        raise LoginError(f"the {what} of {host} has characters that no header can carry")
    return value


def moment_of(value: Any, unit: str, answer: Answer) -> float | None:
    """Return the moment that an answer names, by our clock; None when it names none.

    The provider's clock may be wrong: what it says is taken as time from the answer's `Date`, where there is one.

    :param unit: `s` or `ms`, since 1970; a text may be a date of RFC 3339
    """
    seconds = number_of(value)
    if seconds is not None:
        seconds = seconds / 1000 if unit == "ms" else seconds
    elif isinstance(value, str):
        seconds = _date(value)
    if seconds is None:
        return None
    moment = seconds + (answer.started - _their_clock(answer))
    return min(moment, answer.started + LONGEST)


def number_of(value: Any) -> float | None:
    """Return a number that may be written as a text; None for all else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _scope(method: OAuth2, value: Any, before: Grant | None) -> str:
    """Return what was granted: an answer that does not say means what was asked (RFC 6749, 5.1)."""
    if isinstance(value, list):
        value = " ".join(each for each in value if isinstance(each, str))
    if not isinstance(value, str):
        return " ".join(method.scopes) if before is None else before.scope
    # Some ask for blanks between and answer with commas.
    between = r"[\s,+]+" if method.scope_separator == "+" else r"[\s,]+"
    return " ".join(part for part in re.split(between, value) if part)[:10_000]


def _expires_at(method: OAuth2, answer: Answer, found: Mapping[str, Any]) -> float | None:
    seconds = number_of(found["expires_in"])
    if seconds is not None and seconds > 0:  # 0 and less mean, where they are said, that nobody knows
        seconds = seconds / 1000 if method.expires_unit == "ms" else seconds
        return answer.started + min(seconds, LONGEST)
    moment = moment_of(found["expires_at"], method.expires_unit, answer) if found["expires_at"] else None
    if moment is not None:
        return moment
    return None if method.expires_in is None else answer.started + method.expires_in


def _their_clock(answer: Answer) -> float:
    try:
        return parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        return answer.started


def _date(text: str) -> float | None:
    # As Python 3.10 takes it: without fractions, and with a colon in the zone.
    plain = re.sub(r"[.,][0-9]+", "", text.strip()[:40])
    plain = re.sub(r"([+-][0-9]{2})([0-9]{2})$", r"\1:\2", re.sub(r"[zZ]$", "+00:00", plain))
    try:
        found = datetime.fromisoformat(plain)
    except ValueError:
        return None
    return (found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)).timestamp()
