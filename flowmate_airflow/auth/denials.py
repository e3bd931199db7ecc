"""What who asks for a Connection gets where there are no credentials, and who would not look whether there are any.

FlowMate's own tasks look into a view for what is wrong. Any other task would send requests without a password, and fail
at the other system, or worse, not fail. So it gets an error, with an HTTP status that Airflow's client knows what to do
with: it tries again for a while, or ends the task.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from flowmate_airflow.auth.views import Problem

_LATER = {"pending": 1, "cooling": 30}
"""Seconds after which another try may bring more; for all else only people can do something."""


def denial(conn_id: str, problem: Problem) -> Exception:
    """Return the error at which Airflow stops, rather than to go on and hand out what is stored."""
    wait = _LATER.get(problem.kind)
    text = f"the Connection `{conn_id}` has no credentials{' just now' if wait else ''}: {problem.text}"
    error: Exception = _kind()(503 if wait else 403, text, None if wait is None else {"Retry-After": str(wait)})
    return error


@cache
def _kind() -> Any:
    from airflow.sdk.exceptions import AirflowSecretsBackendAccessDenied
    from starlette.exceptions import HTTPException

    class NoCredentials(AirflowSecretsBackendAccessDenied, HTTPException):
        """Stops Airflow's search, and makes the API server's answer."""

        def __init__(self, status: int, text: str, headers: dict[str, str] | None) -> None:
            HTTPException.__init__(self, status, {"reason": "no_credentials", "message": text}, headers)  # type: ignore[arg-type]
            self.text = text

        def __str__(self) -> str:
            return self.text

    return NoCredentials
