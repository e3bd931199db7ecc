"""Where news is handed in: a notice is kept in the store for each target that wants it."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from flowmate_airflow.outgoing.news import News
from flowmate_airflow.outgoing.targets import Target, TargetError, find_target, target_names
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.outgoing import NewNotice, put
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import open_store

log = logging.getLogger(__name__)

FRESH = 60.0
"""Seconds that a process knows the targets without asking for their Connections again."""


def announce(event: str, data: Mapping[str, Any], *, message_id: str | None = None) -> int:
    """Tell all targets that want it, and return how many these are.

    What cannot be kept for them is logged, and does not fail whoever announces it.

    :param event: one of :data:`flowmate_airflow.outgoing.news.EVENTS`
    :param data: a JSON object; `flow` in it is the flow that the news is about
    :param message_id: for news that may be announced twice: what makes it one
    :raises ValueError: there is no such event, or the data cannot be told
    """
    news = News(event, data, now(), message_id or f"msg_{secrets.token_hex(16)}")
    try:
        return keep(news, targets.all())
    except StoreError as error:
        log.error("%s is not told: %s", event, error)
    except Exception as error:  # a secrets backend raises what it likes
        log.error("%s is not told: the Connections of the targets cannot be read (%s)", event, type(error).__name__)
    return 0


def keep(news: News, told: Iterable[Target]) -> int:
    """Keep a notice of some news for each of the targets that wants it, and return how many these are.

    :raises StoreError: the store cannot be written
    :raises ValueError: the data cannot be told
    """
    notices = [
        NewNotice(target.conn_id, news.event, news.message_id, news.body(target.payload))
        for target in told
        if target.wants(news)
    ]
    if notices:
        put(open_store(), notices)
    return len(notices)


class Targets:
    """The targets, as last read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: tuple[str, ...] = ()
        self._found: tuple[Target, ...] = ()
        self._read_at: float | None = None

    def all(self) -> tuple[Target, ...]:
        """Return all targets; those whose Connections are wrong are logged and left out.

        :raises SettingError: the option is wrong
        """
        names = target_names()
        if not names:
            return ()
        with self._lock:
            read_at = self._read_at
            if self._names == names and read_at is not None and time.monotonic() - read_at < FRESH:
                return self._found
        found = tuple(target for target in map(_find, names) if target is not None)
        with self._lock:
            self._names, self._found, self._read_at = names, found, time.monotonic()
        return found

    def forget(self) -> None:
        """Read them anew the next time."""
        with self._lock:
            self._read_at = None


def _find(conn_id: str) -> Target | None:
    try:
        return find_target(conn_id)
    except TargetError as error:
        log.error("It is not told: %s", error)
        return None


targets = Targets()
"""The targets of this process."""
