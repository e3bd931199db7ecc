"""Whether credentials are right: the request of the manifest that shows it."""

from __future__ import annotations

from collections.abc import Mapping

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.catalog.auth import AuthMethod


def verify(method: AuthMethod, account: Account, values: Mapping[str, str]) -> dict[str, str]:
    """Send the method's request, with the credentials, and return what it tells, by the part that keeps it.

    :param account: the Connection as a task gets it, with fresh credentials
    :param values: what `{name}` stands for
    :raises LoginError: they are wrong (`refused`), or it could not be found out
    """
    raise NotImplementedError
