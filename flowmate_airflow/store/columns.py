"""Column types that are the same in SQLite and PostgreSQL."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from sqlalchemy import DateTime, Dialect, String, Text
from sqlalchemy.types import TypeDecorator

from flowmate_airflow.store.errors import StoreError

MAX_NAME = 250
"""As long as Airflow's own ids may be."""
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_TO_ESCAPE = re.compile("[\\\\\x00\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(\\|u[0-9a-f]{4})")


class Name(TypeDecorator[str]):
    """A name that people chose, such as a flow's or a tenant's."""

    impl = String(MAX_NAME)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the name as it is.

        :raises StoreError: no database takes it
        """
        if value is not None and (len(value) > MAX_NAME or _UNSTORABLE.search(value)):
            why = f"has more than {MAX_NAME} characters" if len(value) > MAX_NAME else "holds a character that is none"
            raise StoreError(f"the name {value[:60]!r} {why}")
        return value


class Exact(TypeDecorator[str]):
    """A text of another system, such as an id, given back as it came. PostgreSQL takes no NUL, nothing half a pair."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the text with what cannot be stored escaped, and the backslash that marks it."""
        return value and _TO_ESCAPE.sub(lambda match: "\\\\" if match[0] == "\\" else f"\\u{ord(match[0]):04x}", value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the text as it was."""
        return value and _ESCAPED.sub(lambda match: "\\" if match[1] == "\\" else chr(int(match[1][1:], 16)), value)


class Time(TypeDecorator[datetime]):
    """A moment, in UTC, with its zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment as the database takes it: SQLite knows no zones."""
        if value is None:
            return None
        moment = value.astimezone(timezone.utc)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)
