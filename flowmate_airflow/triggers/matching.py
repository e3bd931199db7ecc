"""Whether an event that came is one that a deferred task waits for: looked at here, so that no other task is woken."""

from __future__ import annotations

from collections.abc import Sequence

from flowmate_airflow.batches.message import Message
from flowmate_airflow.steps.events import Matcher
from flowmate_airflow.steps.waiting import events_after
from flowmate_airflow.store.store import open_store
from flowmate_airflow.triggers.looking import warn

LOOK = 500
"""How many events one look goes through."""


def find_match(
    endpoint: str, tenant: str, after: int, match: str | None, messages: Sequence[Message] | None
) -> tuple[bool, int]:
    """Return whether an event that waits belongs to one of the messages, and the last delivery that was looked at.

    :param after: only deliveries after that one
    :param match: JSONata over `{event, message}`
    :param messages: those that wait; None: any event will do
    :raises StoreError: the store cannot be read
    """
    last, is_found = after, False
    matcher = None if match is None or messages is None else Matcher(match, messages)
    for number, event in events_after(open_store(), endpoint, tenant, after=after, limit=LOOK):
        last = number
        is_found = matcher is None or (event is not None and matcher.offer(event))
        if is_found:
            break
    if matcher is not None and matcher.failure is not None:
        warn(f"No event of {endpoint} belongs to a message where `match` fails", matcher.failure)
    return is_found, last
