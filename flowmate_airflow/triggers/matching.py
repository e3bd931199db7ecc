"""Whether an event that came is one that a deferred task waits for: looked at here, so that no other task is woken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowmate_airflow.steps.events import Matcher, message_of
from flowmate_airflow.store.deliveries import Wanted, find, payload_of
from flowmate_airflow.store.store import open_store

LOOK = 500
"""How many events one look goes through."""


def find_match(
    endpoint: str, after: int, match: str | None, messages: Sequence[Mapping[str, Any]] | None
) -> tuple[bool, int]:
    """Return whether an event that waits belongs to one of the messages, and the last delivery that was looked at.

    :param after: only deliveries after that one
    :param match: JSONata over `{event, message}`
    :param messages: those that wait; None: any event will do
    :raises ConfigFailure: the expression fails
    :raises StoreError: the store cannot be read
    """
    store = open_store()
    last = after
    matcher = None if match is None or messages is None else Matcher(match, [dict(each) for each in messages])
    for delivery in find(store, Wanted(endpoint=endpoint, status="received", after=after), limit=LOOK):
        last = delivery.id
        if matcher is None or matcher.offer(message_of(delivery, payload_of(store, delivery.id))):
            return True, last
    return False, last
