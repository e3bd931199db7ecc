"""How a task says, when it asks for a Connection, that the token it had was refused before its time.

All that it can say to the API server is a conn_id. So a digest of the token follows the conn_id: only who has the
present token can have it renewed out of turn, and once. A digest of nothing says no more than that the task looks into
a view for what is wrong, as FlowMate's tasks do.
"""

from __future__ import annotations

import hashlib
import time

from flowmate_airflow.auth.grants import Grant

_BETWEEN = "!refused!"
_DIGITS = 32
YOUNGEST = 30.0
"""Seconds that a token is old at least before it is renewed out of turn: a new one that is refused, too, is not at
fault."""


def refused_name(conn_id: str, token: str) -> str:
    """Return what is asked for instead of a conn_id when the token of it was refused."""
    return f"{conn_id}{_BETWEEN}{_digest(token)}"


def looking_name(conn_id: str) -> str:
    """Return what is asked for instead of a conn_id by who looks whether there are credentials, and else why not."""
    return refused_name(conn_id, "")


def split_name(name: str) -> tuple[str, str | None]:
    """Return the conn_id that is asked for, and the digest of the token that was refused; None: nothing is said."""
    conn_id, between, digest = name.rpartition(_BETWEEN)
    return (conn_id, digest) if between and len(digest) == _DIGITS else (name, None)


def is_refused(grant: Grant | None, digest: str | None) -> bool:
    """Whether a token is the one that was refused, and may be renewed for that."""
    if grant is None or digest is None or _digest(grant.access_token) != digest:
        return False
    return time.time() - grant.obtained_at >= YOUNGEST


def _digest(token: str) -> str:
    return hashlib.sha256(f"refused\0{token}".encode(errors="surrogatepass")).hexdigest()[:_DIGITS]
