"""What flows answer to senders that wait: the run writes it, the receiver asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.sql import groups, now, upsert
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.values import MIB

MAX_REPLY = MIB
KEEP = timedelta(hours=1)
"""Longer than any sender waits."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    :param status: HTTP's
    """

    status: int
    content_type: str
    body: bytes = field(repr=False)


def put_reply(store: Store, delivery: int, status: int, content_type: str, body: bytes) -> None:
    """Keep the answer to a delivery; the last one counts.

    :raises StoreError: it is too large, or the store cannot be written
    """
    if len(body) > MAX_REPLY:
        raise StoreError(
            f"the answer to the delivery {delivery} is too large: {len(body):,} bytes; {MAX_REPLY:,} are allowed"
        )
    row = {"delivery": delivery, "status": status, "content_type": content_type, "body": body, "replied_at": now()}
    if store.is_due("replies", KEEP.total_seconds()):
        forget_old(store)
    with store.write() as connection:
        upsert(connection, store.tables.replies, [row], ["delivery"])


def get_replies(store: Store, ids: Iterable[int]) -> dict[int, Reply]:
    """Return the answers to those deliveries that have one.

    :raises StoreError: the store cannot be read
    """
    table = store.tables.replies
    found: dict[int, Reply] = {}
    for group in groups(ids):
        query = table.select().where(table.c.delivery.in_(group))
        with store.read() as connection:
            for row in connection.execute(query):
                found[row.delivery] = Reply(row.status, row.content_type, bytes(row.body))
    return found


def forget_old(store: Store) -> None:
    """Remove the answers that nobody waits for any more.

    :raises StoreError: the store cannot be written
    """
    table = store.tables.replies
    with store.write() as connection:
        connection.execute(table.delete().where(table.c.replied_at < now() - KEEP))
