"""What a step that waits has of the events that it waits for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowmate_airflow.batches.message import Message
from flowmate_airflow.steps.events import Matcher, claimed_messages, message_of
from flowmate_airflow.store.claims import Owner, claim
from flowmate_airflow.store.deliveries import Wanted, find, payload_of
from flowmate_airflow.store.store import Store


@dataclass(frozen=True, slots=True)
class Found:
    """What a look for events has brought.

    :param pairs: the messages that have their event, with it
    :param left: the messages that have none yet
    :param last: the number of the last delivery that was looked at
    """

    pairs: list[tuple[Message, Message]]
    left: list[Message]
    last: int


def find_events(
    store: Store, owner: Owner, endpoint: str, tenant: str, match: str, messages: Sequence[Message]
) -> Found:
    """Take the events that belong to messages, for a run alone, and return what it has by now.

    :param match: JSONata over `{event, message}`
    :raises ConfigFailure: the expression fails
    :raises StoreError: the store cannot be read or written
    """
    matcher = Matcher(match, messages)
    claim(store, owner, endpoint, tenant, limit=0)
    for event in claimed_messages(store, owner):  # what it took before
        matcher.offer(event)
    last = 0
    for delivery in find(store, Wanted(endpoint=endpoint, tenant=tenant, status="received")):
        if not matcher.left:
            break
        last = delivery.id
        event = message_of(delivery, payload_of(store, last))
        if matcher.offer(event) and last not in claim(store, owner, endpoint, tenant, limit=1, ids=[last]):
            matcher.take_back()  # another run was faster
    return Found(matcher.pairs, matcher.left, last)
