"""When a credential should be renewed, and when it must not be handed out any more."""

from __future__ import annotations

import hashlib
import time

from flowmate_airflow.auth.grants import Grant

AHEAD_SECONDS = 300.0
AHEAD_SHARE = 0.1
"""How long before its end a credential is renewed: five minutes, or this share of its life, whichever is longer."""
MOST_SHARE = 0.5
"""But not before half of its life is over: one that lasts a minute would be renewed each time."""
LAST_SECONDS = 60.0
"""With less than this left, a task is better off waiting for the next one."""
_JITTER = 0.2


def is_due(conn_id: str, grant: Grant | None) -> bool:
    """Whether a credential should be renewed now."""
    if grant is None:
        return True
    return grant.expires_at is not None and grant.expires_at - time.time() < _ahead(conn_id, grant)


def is_valid(grant: Grant | None) -> bool:
    """Whether a credential is one still, as far as anybody knows."""
    return grant is not None and (grant.expires_at is None or grant.expires_at > time.time())


def lasts(grant: Grant | None) -> bool:
    """Whether a credential is good for a while."""
    if grant is None or grant.expires_at is None:
        return grant is not None
    least = min(LAST_SECONDS, _longest_ahead(grant) / 4)
    return grant.expires_at - time.time() > least


def _ahead(conn_id: str, grant: Grant) -> float:
    """Return how many seconds before its end it is renewed: not for all at the same moment, but the same each time."""
    digest = hashlib.sha256(f"{conn_id}\0{grant.expires_at}".encode()).digest()
    return _longest_ahead(grant) * (1 - _JITTER * digest[0] / 255)


def _longest_ahead(grant: Grant) -> float:
    life = (grant.expires_at or 0.0) - grant.obtained_at
    if not grant.obtained_at or life <= 0:
        return AHEAD_SECONDS
    return min(max(AHEAD_SECONDS, AHEAD_SHARE * life), MOST_SHARE * life)
