"""The secrets backend, `[secrets] backend = flowmate_airflow.auth.backend.FlowMateBackend`.

Airflow asks it first for each Connection, in the processes that have Airflow's database. What is none of our business
it leaves to Airflow, or to the backend that it is wrapped around.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

from airflow.secrets import BaseSecretsBackend

log = logging.getLogger(__name__)

_NOT_ASKED: Any = object()
_TASK_RUNNER = "airflow.sdk.execution_time.task_runner"


class FlowMateBackend(BaseSecretsBackend):
    """Hands out fresh credentials of Connections that FlowMate looks after, and never what brings them.

    :param backend: the class of another secrets backend, which is asked for all else
    :param backend_kwargs: its parameters, as an object or its JSON
    """

    def __init__(self, backend: str | None = None, backend_kwargs: Mapping[str, Any] | str | None = None) -> None:
        super().__init__()
        self.wrapped = _made(backend, backend_kwargs) if backend else None

    def __repr__(self) -> str:
        return f"FlowMateBackend({type(self.wrapped).__name__ if self.wrapped else ''})"

    def _set_connection_class(self, conn_class: type) -> None:
        super()._set_connection_class(conn_class)
        if self.wrapped is not None:
            self.wrapped._set_connection_class(conn_class)

    def get_connection(self, conn_id: str, team_name: Any = _NOT_ASKED) -> Any:
        """Return a Connection with fresh credentials; None where Airflow shall look for it itself.

        :raises AirflowSecretsBackendAccessDenied: there are no credentials, and who asks would not look into a view
            for why; or it cannot be known whether it is one of ours. With any other exception Airflow would go on and
            hand out what is stored
        """
        team = None if team_name is _NOT_ASKED else team_name
        if not _is_before_database(team_name):
            return self._of_wrapped(conn_id, team)
        try:
            return self._handed_out(conn_id, team)
        except PermissionError:
            raise
        except Exception as error:
            raise _denied(conn_id, error) from None

    def _handed_out(self, conn_id: str, team: str | None) -> Any:
        """Return what a task may have; None where Airflow shall look for it itself."""
        from flowmate_airflow.auth.connections import Stored
        from flowmate_airflow.auth.denials import denial
        from flowmate_airflow.auth.grants import MARK
        from flowmate_airflow.auth.leaving import has_left
        from flowmate_airflow.auth.names import PREFIX
        from flowmate_airflow.auth.refusals import split_name
        from flowmate_airflow.auth.serving import is_ours, view_of_found
        from flowmate_airflow.auth.views import Problem, problem_in, problem_view

        conn_id, refused = split_name(conn_id)
        try:
            found = self._found(conn_id, team)
        except PermissionError:
            if refused is None or not conn_id.startswith(PREFIX):
                raise
            # Ours by its name: a task that is told why asks again, one that gets an error takes it for missing.
            return self._connection(problem_view(Stored(conn_id), Problem("cooling", "it cannot be read just now")))
        if found is None:
            return None
        if not is_ours(found.stored):
            # Airflow has its own way to the environment, and its order.
            return None if found.place == "environment" or refused else found.connection
        if has_left(found):
            return None
        view = view_of_found(found, refused=refused)
        problem = problem_in(view.extra.get(MARK))
        if problem is not None and refused is None:
            raise denial(conn_id, problem)
        return self._connection(view)

    def get_conn_value(self, conn_id: str, team_name: str | None = None) -> str | None:
        """Return nothing: a Connection as it is stored would be more than a task may have."""
        return None

    def get_variable(self, key: str, team_name: str | None = None) -> str | None:
        """Return a Variable of the other backend."""
        from flowmate_airflow.auth.origins import call

        return None if self.wrapped is None else call(self.wrapped.get_variable, key, team_name)

    def get_config(self, key: str) -> str | None:
        """Return an option of Airflow's configuration from the other backend."""
        return None if self.wrapped is None else self.wrapped.get_config(key)

    def _of_wrapped(self, conn_id: str, team: str | None) -> Any:
        """Return what the other backend has, where Airflow's database is not at hand; the API server has the rest."""
        from flowmate_airflow.auth.origins import call, stored_of
        from flowmate_airflow.auth.serving import is_ours

        connection = None if self.wrapped is None else call(self.wrapped.get_connection, conn_id, team)
        return None if connection is None or is_ours(stored_of(connection)) else connection

    def _found(self, conn_id: str, team: str | None) -> Any:
        """Return where a Connection comes from; None where there is none.

        :raises AirflowSecretsBackendAccessDenied: it cannot be known
        """
        from airflow.sdk.exceptions import AirflowSecretsBackendAccessDenied

        from flowmate_airflow.auth.origins import find

        try:
            return find(conn_id, wrapped=self.wrapped, team=team)
        except AirflowSecretsBackendAccessDenied:
            raise
        except Exception as error:
            raise _denied(conn_id, error) from None

    def _connection(self, stored: Any) -> Any:
        """Return a Connection of the class that Airflow wants here."""
        names = ("conn_id", "conn_type", "login", "host", "port", "schema")
        extra = json.dumps(dict(stored.extra)) if stored.extra else None
        connection = self._get_connection_class()(**{name: getattr(stored, name) for name in names}, extra=extra)
        # Not as it is made: Airflow would then tell its masker, which forgets nothing, and takes the longer for each
        # text the more it has. An API server sees thousands of tokens a day, and writes none of them to a log.
        connection.password = stored.password
        connection.get_uri()  # Airflow does this next, and goes on to what is stored where it fails
        return connection


def _denied(conn_id: str, error: Exception) -> Exception:
    """Return what Airflow stops at, rather than to go on to what is stored."""
    from flowmate_airflow.auth.denials import denial
    from flowmate_airflow.auth.views import Problem

    log.warning("The Connection %s cannot be handed out: %s", conn_id, type(error).__name__)
    return denial(conn_id, Problem("cooling", "it cannot be read, so that it is handed to nobody"))


def _is_before_database(team_name: Any) -> bool:
    """Whether Airflow would look into its database next, rather than ask the API server.

    It does in `airflow.models.Connection`, which names a team, if none, and in processes that are marked as servers
    (`airflow.sdk.execution_time.supervisor.ensure_secrets_backend_loaded`). A task has a channel to its supervisor.
    """
    if getattr(sys.modules.get(_TASK_RUNNER), "SUPERVISOR_COMMS", None) is not None:
        return False
    return team_name is not _NOT_ASKED or os.environ.get("_AIRFLOW_PROCESS_CONTEXT") == "server"


def _made(name: str, kwargs: Mapping[str, Any] | str | None) -> Any:
    """Return the backend that is wrapped. What is wrong with it is told as Airflow would."""
    from importlib import import_module

    module, _, attribute = name.rpartition(".")
    if not module:
        raise ValueError(f"[secrets] backend_kwargs: `backend` is {name!r}, not the dotted name of a class")
    values = json.loads(kwargs) if isinstance(kwargs, str) else kwargs
    if values is not None and not isinstance(values, Mapping):
        raise ValueError("[secrets] backend_kwargs: `backend_kwargs` is an object with the other backend's parameters")
    return getattr(import_module(module), attribute)(**(values or {}))
