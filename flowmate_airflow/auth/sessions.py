"""Sessions: a request logs in, its answer has a token that is over at some time."""

from __future__ import annotations

from collections.abc import Mapping

from flowmate_airflow.auth.grants import Grant
from flowmate_airflow.auth.tokens import Login
from flowmate_airflow.catalog.auth import SessionAuth


def log_in(method: SessionAuth, values: Mapping[str, str]) -> Login:
    """Return the token of a new session.

    :raises LoginError: there is none; `needs_reauth` when the other system does not know what people filled in
    """
    raise NotImplementedError


def log_out(method: SessionAuth, values: Mapping[str, str], grant: Grant) -> bool:
    """End a session and return whether the other system did; False where the method has no way to.

    :raises LoginError: it could not be asked, or said no
    """
    raise NotImplementedError
