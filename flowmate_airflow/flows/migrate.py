"""Older versions of the format, step by step to the newest.

A migration takes the plain value of a file of version `v` and returns it as version `v + 1`. Positions stay those of
the file as it was written, so a migration renames and moves keys but keeps the values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowmate_airflow.flows.errors import shown
from flowmate_airflow.flows.models import FORMAT

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Version to the function that makes the next version of it. Format 1 is the first: there is nothing to do yet."""


class UnknownFormat(Exception):
    """The file asks for a version of the format that this FlowMate does not know."""


def migrate(data: dict[str, Any]) -> dict[str, Any]:
    """Return a file's value in the newest format.

    :raises UnknownFormat: its version is not a whole number from 1 to the newest
    """
    version = data.get("flowmate")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= FORMAT:
        if version is None:
            raise UnknownFormat("the version of the flow format is missing")
        raise UnknownFormat(f"{shown(version)} is not a version of the flow format that this FlowMate knows")
    while version < FORMAT:
        data = MIGRATIONS[version](data)
        version += 1
    return data
