"""Where a Connection comes from: another secrets backend, the environment of this process, or Airflow's database.

Airflow asks in this order, and takes the first that has it. Here all of it is there, with what is secret: for those
parts of FlowMate that renew credentials or log in, never for a task.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from flowmate_airflow.auth.connections import Stored, object_in
from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.auth.names import PREFIX, app_conn_id
from flowmate_airflow.store.errors import StoreError

log = logging.getLogger(__name__)

Place = Literal["backend", "environment", "database"]


@dataclass(frozen=True, slots=True)
class Found:
    """A Connection with where it comes from.

    :param connection: Airflow's object
    """

    stored: Stored = field(repr=False)
    connection: Any = field(repr=False)
    place: Place


def find(conn_id: str, *, wrapped: Any = None, team: str | None = None) -> Found | None:
    """Return a Connection from the first place that has it.

    :param wrapped: the secrets backend that is asked first, besides which Airflow has its own
    :param team: of the task that asks, where Airflow has teams
    :raises StoreError: Airflow's database cannot be read, or the Connection there cannot be decrypted
    :raises AirflowSecretsBackendAccessDenied: a backend says that nobody may have it
    """
    from airflow.secrets.metastore import MetastoreBackend

    for place, backend in _before_database(wrapped):
        connection = _asked(backend, conn_id, team)
        if connection is not None:
            return Found(stored_of(connection), connection, place)
    try:
        connection = call(MetastoreBackend().get_connection, conn_id, team)
        return None if connection is None else Found(stored_of(connection), connection, "database")
    except Exception as error:
        # Not its text, which may repeat values.
        raise StoreError(
            f"the Connection {conn_id} cannot be read in Airflow's database ({type(error).__name__})", transient=True
        ) from None


def application(connector: str) -> Account | None:
    """Return the parts of a connector's application, in the Connection `flowmate.CONNECTOR`; None: there is none.

    :raises StoreError: it cannot be read
    """
    found = find(app_conn_id(connector), wrapped=configured())
    return None if found is None else found.stored.account()


def is_application(conn_id: str) -> bool:
    """Whether a conn_id is that of an application: no task may have its secret."""
    # As Airflow looks it up in the environment: what differs by that only is the same there.
    name, prefix = conn_id.upper(), PREFIX.upper()
    return name.startswith(prefix) and "." not in name.removeprefix(prefix)


def configured() -> Any:
    """Return the secrets backend of Airflow's configuration, without ours around it; None where there is none."""
    from airflow.configuration import ensure_secrets_loaded
    from airflow.secrets import DEFAULT_SECRETS_SEARCH_PATH

    for backend in ensure_secrets_loaded():
        name = f"{type(backend).__module__}.{type(backend).__name__}"
        if name not in DEFAULT_SECRETS_SEARCH_PATH:
            return getattr(backend, "wrapped", None) if name.startswith(f"{__package__}.") else backend
    return None


def call(method: Callable[..., Any], name: str, team: str | None) -> Any:
    """Call a method of a secrets backend, with the team where it takes one: older ones do not."""
    parameters = inspect.signature(method).parameters
    takes_team = "team_name" in parameters or any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    return method(name, team_name=team) if takes_team else method(name)


def _before_database(wrapped: Any) -> Iterator[tuple[Place, Any]]:
    from airflow.models.connection import Connection
    from airflow.secrets.environment_variables import EnvironmentVariablesBackend

    if wrapped is not None:
        yield "backend", wrapped
    environment = EnvironmentVariablesBackend()
    environment._set_connection_class(Connection)
    yield "environment", environment


def _asked(backend: Any, conn_id: str, team: str | None) -> Any:
    """Return what a backend has; what goes wrong counts as nothing, as it does with Airflow."""
    from airflow.sdk.exceptions import AirflowSecretsBackendAccessDenied

    try:
        return call(backend.get_connection, conn_id, team)
    except AirflowSecretsBackendAccessDenied:
        raise
    except Exception as error:
        log.debug("%s has no Connection %s: %s", type(backend).__name__, conn_id, type(error).__name__)
        return None


def stored_of(connection: Any) -> Stored:
    """Return the parts of an object of Airflow's."""
    names = ("conn_type", "description", "login", "password", "host", "port", "schema")
    parts: dict[str, Any] = {name: getattr(connection, name, None) for name in names}
    return Stored(str(connection.conn_id), **parts, extra=object_in(connection.extra))
