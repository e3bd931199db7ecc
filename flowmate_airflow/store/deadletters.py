"""Messages that failed, kept with their error until they are replayed or dropped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from flowmate_airflow.store.sql import groups, now, sized_groups, upsert
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.values import MIB, digest, pack, unpack

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Row

WAITING, REPLAYING = "waiting", "replaying"
MAX_MESSAGE = 64 * MIB
MAX_ERROR = 16 * 1024
_INDEXED = 10_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that a step could not deal with.

    :param id: the store's; 0 for one that is to be kept
    :param run_id: of the run in which it failed first
    :param attempts: how often it was tried: once, and once more with each replay
    :param status: :data:`WAITING`, or :data:`REPLAYING` while a run has it
    :param claimed_by: that run
    """

    flow: str
    step: str
    run_id: str
    message_id: str
    message: Mapping[str, Any] = field(repr=False)
    error: str
    failure_type: str = "system"
    tenant: str = ""
    id: int = 0
    created_at: datetime = field(default_factory=now)
    attempts: int = 1
    status: str = WAITING
    claimed_by: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters; what is None does not matter.

    :param claimed_by: the run that replays them
    """

    flow: str | None = None
    step: str | None = None
    tenant: str | None = None
    run_id: str | None = None
    status: str | None = None
    claimed_by: str | None = None
    older_than: timedelta | None = None


@dataclass(frozen=True, slots=True)
class StepCount:
    """How many letters a step has, and when the oldest was kept."""

    flow: str
    step: str
    tenant: str
    waiting: int
    replaying: int
    oldest: datetime


def keep(store: Store, letters: Iterable[DeadLetter]) -> int:
    """Keep letters, group by group, each in a transaction of its own, and return how many were given.

    One that is kept already (the same flow, step, tenant, run and message id) gets the new error and message; while a
    run replays it, it is left alone.

    :raises StoreError: a message is not JSON or too large, or the store cannot be written
    """
    table = store.tables.dead_letters
    count = 0
    for rows in sized_groups(map(_new_row, letters), itemgetter("size")):
        count += len(rows)
        unique = {row["digest"]: row for row in rows}
        with store.write() as connection:
            upsert(
                connection,
                table,
                list(unique.values()),
                ["digest"],
                change=["message", "size", "error", "failure_type"],
                where=table.c.claimed_by.is_(None),
                in_order=True,
            )
    return count


def find(
    store: Store,
    flow: str | None = None,
    step: str | None = None,
    tenant: str | None = None,
    run_id: str | None = None,
    ids: Iterable[int] | None = None,
    limit: int | None = None,
    *,
    status: str | None = None,
    claimed_by: str | None = None,
) -> Iterator[DeadLetter]:
    """Yield letters in the order they were kept. Only a few are in memory at a time, and no transaction stays open.

    What is None does not matter; an empty `tenant` is none.

    :param run_id: of the run in which they failed first
    :param limit: at most so many
    :param status: :data:`WAITING` or :data:`REPLAYING`
    :param claimed_by: the run that replays them
    :raises StoreError: the store cannot be read
    """
    wanted = Wanted(flow, step, tenant, run_id, status, claimed_by)
    table = store.tables.dead_letters
    left = limit
    for group in sized_groups(_index(store, wanted, ids), itemgetter("size")):
        if left is not None:
            group = group[:left]
            left -= len(group)
        query = table.select().where(table.c.id.in_([row["id"] for row in group])).order_by(table.c.id)
        with store.read() as connection:
            rows = connection.execute(query).all()
        yield from map(_letter, rows)
        if left is not None and left <= 0:
            return


def count_by_step(
    store: Store, flow: str | None = None, step: str | None = None, tenant: str | None = None
) -> list[StepCount]:
    """Return how many letters each step has, the steps in order.

    :raises StoreError: the store cannot be read
    """
    from sqlalchemy import func, select

    columns = store.tables.dead_letters.c
    places = (columns.flow, columns.step, columns.tenant)
    counts = (func.count(), func.count(columns.claimed_by), func.min(columns.created_at))
    query = (
        select(*places, *counts)
        .where(*conditions(store, Wanted(flow, step, tenant)))
        .group_by(*places)
        .order_by(*places)
    )
    with store.read() as connection:
        rows = connection.execute(query).all()
    return [
        StepCount(flow, step, tenant, total - claimed, claimed, oldest)
        for flow, step, tenant, total, claimed, oldest in rows
    ]


def drop(
    store: Store,
    flow: str | None = None,
    step: str | None = None,
    tenant: str | None = None,
    run_id: str | None = None,
    ids: Iterable[int] | None = None,
    older_than: timedelta | None = None,
) -> int:
    """Remove letters, all when nothing says which, and return how many there were; those that a run replays stay.

    :raises StoreError: the store cannot be written
    """
    table = store.tables.dead_letters
    which = conditions(store, Wanted(flow, step, tenant, run_id, WAITING, older_than=older_than))
    removed = 0
    for group in groups(ids) if ids is not None else [None]:
        chosen = which if group is None else [*which, table.c.id.in_(group)]
        with store.write() as connection:
            removed += connection.execute(table.delete().where(*chosen)).rowcount
    return removed


def conditions(store: Store, wanted: Wanted) -> list[ColumnElement[bool]]:
    """Return the SQL of what is wanted."""
    columns = store.tables.dead_letters.c
    names = ("flow", "step", "tenant", "run_id", "claimed_by")
    found = [columns[name] == getattr(wanted, name) for name in names if getattr(wanted, name) is not None]
    if wanted.status is not None:
        found.append(columns.claimed_by.is_(None) if wanted.status == WAITING else columns.claimed_by.is_not(None))
    if wanted.older_than is not None:
        found.append(columns.created_at < now() - wanted.older_than)
    return found


def _index(store: Store, wanted: Wanted, ids: Iterable[int] | None) -> Iterator[dict[str, Any]]:
    """Yield id and size of the letters, in order."""
    table = store.tables.dead_letters
    query = table.select().with_only_columns(table.c.id, table.c.size).where(*conditions(store, wanted))
    query = query.order_by(table.c.id).limit(_INDEXED)
    if ids is not None:
        for group in groups(sorted(set(ids))):
            with store.read() as connection:
                found = connection.execute(query.where(table.c.id.in_(group))).all()
            yield from ({"id": row.id, "size": row.size} for row in found)
        return
    last = 0
    while True:
        with store.read() as connection:
            found = connection.execute(query.where(table.c.id > last)).all()
        yield from ({"id": row.id, "size": row.size} for row in found)
        if len(found) < _INDEXED:
            return
        last = found[-1].id


def _new_row(letter: DeadLetter) -> dict[str, Any]:
    packed = pack(letter.message, f"the failed message {letter.message_id[:100]}", MAX_MESSAGE, nan=True)
    return {
        "digest": digest(letter.flow, letter.step, letter.tenant, letter.run_id, letter.message_id),
        "flow": letter.flow,
        "step": letter.step,
        "tenant": letter.tenant,
        "run_id": letter.run_id,
        "message_id": letter.message_id,
        "message": packed,
        "size": len(packed),
        "error": letter.error[:MAX_ERROR],
        "failure_type": letter.failure_type,
        "created_at": letter.created_at,
        "attempts": letter.attempts,
    }


def _letter(row: Row[Any]) -> DeadLetter:
    names = ("flow", "step", "tenant", "run_id", "message_id", "error", "failure_type", "id", "created_at", "attempts")
    return DeadLetter(
        message=unpack(row.message, f"the dead letter {row.id}"),
        status=WAITING if row.claimed_by is None else REPLAYING,
        claimed_by=row.claimed_by,
        **{name: getattr(row, name) for name in names},
    )
