"""What a step that waits has of the events that it waits for."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flowmate_airflow.batches.message import Message
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.events import Matcher, claimed_messages, message_of
from flowmate_airflow.store.claims import Owner, claim
from flowmate_airflow.store.deliveries import Wanted, find, payload_of
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What a look for events has brought.

    :param pairs: the messages that have their event, with it
    :param left: the messages that have none yet
    :param last: the number of the last delivery that was looked at
    :param failure: how the expression failed with an event, if it did
    """

    pairs: list[tuple[Message, Message]]
    left: list[Message]
    last: int
    failure: ConfigFailure | None = None


def find_events(
    store: Store, owner: Owner, endpoint: str, tenant: str, match: str, messages: Sequence[Message]
) -> Found:
    """Take the events that belong to messages, for a run alone, and return what it has by now.

    :param match: JSONata over `{event, message}`
    :raises StoreError: the store cannot be read or written
    """
    matcher = Matcher(match, messages)
    claim(store, owner, endpoint, tenant, limit=0)
    for event in claimed_messages(store, owner):  # what it took before
        matcher.offer(event)
    last = 0
    for number, waiting in events_after(store, endpoint, tenant):
        if not matcher.left:
            break
        last = number
        is_found = waiting is not None and matcher.offer(waiting)
        if is_found and last not in claim(store, owner, endpoint, tenant, limit=1, ids=[last]):
            matcher.take_back()  # another run was faster
    return Found(matcher.pairs, matcher.left, last, matcher.failure)


def events_after(
    store: Store, endpoint: str, tenant: str = "", after: int | None = None, limit: int | None = None
) -> Iterator[tuple[int, Message | None]]:
    """Yield the numbers of the deliveries that wait, with their events; None for one that cannot be read any more.

    :param after: only those after this one
    :param limit: at most so many
    :raises StoreError: the store cannot be read now
    """
    wanted = Wanted(endpoint=endpoint, tenant=tenant, status="received", after=after)
    for delivery in find(store, wanted, limit=limit):
        try:
            yield delivery.id, message_of(delivery, payload_of(store, delivery.id))
        except StoreError as error:
            if error.transient:
                raise
            log.warning("An event is left out: %s", error)  # the others do not wait for it
            yield delivery.id, None
