"""A delivery as its row has it, and the SQL of which ones are wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flowmate_airflow.store.sql import groups

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Row, Table

RECEIVED, CLAIMED, DELIVERED, FAILED, REJECTED = "received", "claimed", "delivered", "failed", "rejected"
CLAIM = ("claim_flow", "claim_run", "claim_task", "claimed_at")
MAX_ERROR = 4096


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery as the store has it, without its payload.

    :param available_at: from when on a run may take it
    :param claim_run: the run that has it, or had it when it was finished
    :param attempts: runs that failed on it
    :param duplicates: how often it came again
    :param error: why the last run failed on it, or why the request was rejected
    :param size: of the payload as JSON
    :param is_purged: its payload is no longer kept
    """

    id: int
    endpoint: str
    tenant: str
    delivery_id: str | None
    event: str | None
    order_key: str | None
    status: str
    received_at: datetime
    available_at: datetime
    claim_flow: str | None
    claim_run: str | None
    claim_task: str | None
    claimed_at: datetime | None
    attempts: int
    duplicates: int
    error: str | None
    size: int
    is_encrypted: bool
    finished_at: datetime | None
    href: str | None
    is_purged: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which deliveries; what is None does not matter.

    :param ids: the store's
    :param delivery_id: the sender's
    :param repeated: only those that came again
    :param since: received at this moment or later
    :param until: received before this moment
    :param after: with a greater id than this one
    """

    endpoint: str | None = None
    tenant: str | None = None
    status: str | None = None
    ids: Sequence[int] | None = None
    delivery_id: str | None = None
    event: str | None = None
    repeated: bool = False
    since: datetime | None = None
    until: datetime | None = None
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """How many deliveries to an endpoint have a status."""

    endpoint: str
    tenant: str
    status: str
    count: int


def lock(connection: Connection, table: Table, which: Iterable[ColumnElement[bool]]) -> list[Any]:
    """Return id and attempts of deliveries that this transaction is going to change, in the order of their ids.

    They are locked in the order of their digests, as an insert does it: else the two may wait for each other.
    """
    query = table.select().with_only_columns(table.c.id, table.c.attempts).where(*which)
    rows = connection.execute(query.order_by(table.c.digest).with_for_update()).all()
    return sorted(rows, key=lambda row: row.id)


def columns(table: Table) -> list[Any]:
    """Return what :func:`from_row` needs."""
    named = [table.c[each.name] for each in fields(Delivery) if each.name != "is_purged"]
    return [*named, table.c.payload.is_(None).label("is_purged")]


def payload_columns(table: Table) -> list[Any]:
    """Return what :func:`flowmate_airflow.store.payloads.opened` needs."""
    return [table.c.payload, table.c.href, table.c.is_encrypted]


def from_row(row: Row[Any]) -> Delivery:
    """Return the delivery of a row."""
    return Delivery(**{each.name: getattr(row, each.name) for each in fields(Delivery)})


def kept(table: Table) -> list[ColumnElement[bool]]:
    """Return the SQL of finished ones that are not purged, as their index says it."""
    return [table.c.finished_at.is_not(None), table.c.payload.is_not(None)]


def pieces(table: Table, wanted: Wanted, newest_first: bool) -> Iterator[list[ColumnElement[bool]]]:
    """Yield the SQL of what is wanted, in pieces that are small enough where ids are named."""
    names = ("endpoint", "tenant", "status", "delivery_id", "event")
    which = [table.c[name] == getattr(wanted, name) for name in names if getattr(wanted, name) is not None]
    if wanted.repeated:
        which.append(table.c.duplicates > 0)
    if wanted.since is not None:
        which.append(table.c.received_at >= wanted.since)
    if wanted.until is not None:
        which.append(table.c.received_at < wanted.until)
    if wanted.after is not None:
        which.append(table.c.id > wanted.after)
    if wanted.ids is None:
        yield which
        return
    for group in groups(sorted(set(wanted.ids), reverse=newest_first)):
        yield [*which, table.c.id.in_(group)]
