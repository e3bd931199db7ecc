"""What tasks get of Connections: a view with fresh credentials, or why there are none. Never what is stored."""

from __future__ import annotations

import logging
from typing import Any

from flowmate_airflow.auth import origins
from flowmate_airflow.auth.ages import is_due, is_valid
from flowmate_airflow.auth.connections import Stored
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.grants import TOKEN
from flowmate_airflow.auth.methods import method_of
from flowmate_airflow.auth.origins import Found, is_application
from flowmate_airflow.auth.renewing import WAIT_SECONDS, fresh
from flowmate_airflow.auth.values import Client, client_of
from flowmate_airflow.auth.views import Problem, problem_view, view_of
from flowmate_airflow.catalog.auth import RENEWED
from flowmate_airflow.catalog.authmethod import AuthMethod
from flowmate_airflow.catalog.oauth import OAuth1

log = logging.getLogger(__name__)


def is_ours(stored: Stored) -> bool:
    """Whether a task may get no more than a view of a Connection."""
    return bool(stored.mark) or TOKEN in stored.extra or is_application(stored.conn_id)


def view(conn_id: str, wait: float = WAIT_SECONDS) -> Stored | None:
    """Return what a task gets of one of our Connections, as Airflow finds it in this process; None: there is none.

    :param wait: seconds that a renewal may take
    :raises StoreError: it cannot be read
    """
    found = origins.find(conn_id, wrapped=origins.configured())
    return None if found is None else view_of_found(found, wait)


def view_of_found(found: Found, wait: float = WAIT_SECONDS, refused: str | None = None) -> Stored:
    """Return what a task gets of one of our Connections; whatever is wrong is told in it.

    :param wait: seconds that a renewal may take
    :param refused: digest of a token that the other system has refused
    """
    stored = found.stored
    if not is_ours(stored):
        return stored
    if is_application(stored.conn_id):
        text = f"the Connection `{stored.conn_id}` is that of an application, whose secret no task may have"
        return problem_view(stored, Problem("failed", text))
    try:
        return _view(found, wait, refused)
    except LoginError as error:
        return problem_view(stored, Problem("failed", error.text))
    except Exception as error:
        # Fail closed: with an exception Airflow would go on to what is stored.
        log.warning("No credentials can be handed out of the Connection %s: %s", stored.conn_id, _said(error))
        text = f"the credentials of the Connection `{stored.conn_id}` cannot be handed out just now"
        return problem_view(stored, Problem("cooling", text))


def _view(found: Found, wait: float, refused: str | None) -> Stored:
    stored, problem = found.stored, None
    method = method_of(stored)
    if isinstance(method, RENEWED):
        stored, problem = _renewed(found, wait, refused)
    if problem is None and isinstance(method, OAuth1) and method.legs == 3 and stored.grant is None:
        problem = Problem("needs_reauth", "nobody has consented yet")
    return view_of(stored, method, _client(stored, method)) if problem is None else problem_view(stored, problem)


def _renewed(found: Found, wait: float, refused: str | None) -> tuple[Stored, Problem | None]:
    stored = found.stored
    if found.place == "database":
        result = fresh(stored, wait, refused)
        return result.stored, result.problem
    if is_due(stored.conn_id, stored.grant) and not is_valid(stored.grant):
        where = "the environment" if found.place == "environment" else "another secrets backend"
        text = (
            f"the Connection `{stored.conn_id}` comes from {where}, where new credentials cannot be written; "
            "link it in Airflow's database"
        )
        return stored, Problem("failed", text)
    return stored, None


def _client(stored: Stored, method: AuthMethod) -> Client | None:
    """Return the application whose secret signs requests.

    :raises LoginError: there is none
    """
    if not isinstance(method, OAuth1) or method.legs != 3:
        return None
    return client_of(method, stored.account(), origins.application(str(stored.mark.get("connector"))))


def _said(error: Exception) -> Any:
    """Return what may be shown of an error: the text only of those that we make, which hold no secret."""
    from flowmate_airflow.store.errors import StoreError

    return error if isinstance(error, StoreError) else type(error).__name__
