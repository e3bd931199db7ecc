"""Where the store is: `[flowmate] store_url`, checked, and in a form that may be shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from flowmate_airflow.settings import airflow_home, secret_setting
from flowmate_airflow.store.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import URL

OPTION = "[flowmate] store_url"
DEFAULT_FILE = "flowmate/store.db"
POSTGRES = "postgresql"
SQLITE = "sqlite"
DRIVER = "postgresql+psycopg2"


def configured_url() -> str:
    """Return the option's value; where it is empty, the URL of a file in Airflow's home.

    :raises StoreError: Airflow cannot find out the value
    """
    try:
        text = secret_setting("store_url")
    except Exception as error:
        # Its text repeats what a command has printed.
        raise StoreError(
            f"Airflow cannot find out {OPTION} ({type(error).__name__}); check its command or secrets backend"
        ) from None
    return text or f"sqlite:///{(airflow_home() / DEFAULT_FILE).absolute()}"


def parse_url(text: str) -> URL:
    """Return the URL for SQLAlchemy, with the driver that PostgreSQL is used with.

    :raises StoreError: it is none, or one of a database that cannot be used; the text of the URL is not in it, as it
        holds a password
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise StoreError(
            f"{OPTION} is not a database's URL; write for example postgresql://user:password@host/database"
        ) from None
    if url.drivername in ("postgres", POSTGRES):  # SQLAlchemy's default differs from version to version
        url = url.set(drivername=DRIVER)
    name = url.get_backend_name()
    if name == SQLITE:
        return _checked_file(url)
    if name != POSTGRES:
        raise StoreError(f"{OPTION} names a database of the kind {name}; the store can be in PostgreSQL or SQLite")
    if "@" in (url.host or ""):
        raise StoreError(f"{OPTION} has a password with an @ in it; write it as %40")
    return url


def _checked_file(url: URL) -> URL:
    path = url.database or ""
    if path in ("", ":memory:") or path.startswith("file:"):
        raise StoreError(f"{OPTION} names no file; write for example sqlite:////srv/airflow/store.db")
    if not Path(path).is_absolute():
        raise StoreError(
            f"{OPTION} names the relative path {path}, which each process would take for another file; "
            "an absolute one has four slashes, such as sqlite:////srv/airflow/store.db"
        )
    return url


def is_made(text: str) -> bool:
    """Whether there may be a database at a URL: an SQLite file is made when it is opened first.

    :raises StoreError: it is none, or one of a database that cannot be used
    """
    url = parse_url(text)
    return url.get_backend_name() != SQLITE or Path(url.database or "").exists()


def shown(url: URL) -> str:
    """Return the URL for an error: without password and options."""
    if url.get_backend_name() == SQLITE:
        return str(url.database)
    user = f"{url.username}@" if url.username else ""
    port = f":{url.port}" if url.port else ""
    return f"{url.get_backend_name()}://{user}{url.host or ''}{port}/{url.database or ''}"


def secrets_in(url: URL) -> list[str]:
    """Return what must not be shown of a URL, should a driver's complaint repeat it."""
    options = [value for values in url.query.values() for value in ([values] if isinstance(values, str) else values)]
    return [text for text in (str(url.password or ""), *options) if len(text) > 3]


def make_file(path: Path) -> None:
    """Make the store's file, if it is not there, for its owner alone: messages may hold personal data.

    :raises StoreError: it cannot be made
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"the store's file {path} cannot be opened: {error.strerror}") from None
