"""Notices to other applications: each waits here until its target has taken it, and stays a while for the log."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from flowmate_airflow.store.sql import groups, now
from flowmate_airflow.store.store import Store

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Row

WAITING, SENT, FAILED = "waiting", "sent", "failed"
STATUSES = (WAITING, SENT, FAILED)
KEEP = timedelta(days=30)
"""How long a notice stays after it was sent or has failed for good, and how long one waits for somebody to send it."""
MAX_ERROR = 500
_PAGE = 200


@dataclass(frozen=True, slots=True)
class NewNotice:
    """What a target shall be told.

    :param target: the conn_id of its Connection
    :param message_id: the same for the same news, however often it is given: it is kept once
    :param payload: the body of the request
    """

    target: str
    event: str
    message_id: str
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice as it is kept.

    :param status: :data:`WAITING`, :data:`SENT`, or :data:`FAILED` for good
    :param attempts: how often it was begun to be sent, since it was last replayed
    :param next_at: when it is due; once it has ended, when that was
    """

    id: int
    target: str
    event: str
    message_id: str
    payload: bytes = field(repr=False)
    status: str
    attempts: int
    next_at: datetime
    created_at: datetime
    finished_at: datetime | None
    response_status: int | None
    error: str | None
    claimed_by: str | None
    claimed_until: datetime | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which notices; what is None does not matter."""

    target: str | None = None
    event: str | None = None
    status: str | None = None
    ids: Collection[int] | None = None


def put(store: Store, notices: Sequence[NewNotice]) -> int:
    """Keep notices, to be sent at once, and return how many were new.

    :raises StoreError: the store cannot be written
    """
    if not notices:
        return 0
    moment = now()
    fixed = {"status": WAITING, "attempts": 0, "next_at": moment, "created_at": moment}
    table = store.tables.outgoing
    with store.write() as connection:
        insert: Any
        if connection.dialect.name == "sqlite":
            from sqlalchemy.dialects.sqlite import insert
        else:
            from sqlalchemy.dialects.postgresql import insert
        statement = insert(table).on_conflict_do_nothing(index_elements=["target", "message_id"])
        # One by one, as drivers do not count the rows of several; in one order, so that two never wait for each other.
        ordered = sorted(notices, key=lambda each: (each.target, each.message_id))
        return sum(connection.execute(statement, {**asdict(each), **fixed}).rowcount for each in ordered)


def newest_due(store: Store) -> datetime | None:
    """Return when the notice became due that did so last, of those that wait for somebody to send them.

    None when there is none, or when somebody is sending, who will see to them.

    :raises StoreError: the store cannot be read
    """
    from sqlalchemy import func, select

    table = store.tables.outgoing
    moment = now()
    newest = select(func.max(table.c.next_at)).where(*_due(store, moment))
    claimed = select(table.c.id).where(table.c.status == WAITING, table.c.claimed_until > moment).limit(1)
    with store.read() as connection:
        found: datetime | None = connection.execute(newest).scalar()
        if found is None or connection.execute(claimed).first() is not None:
            return None
        return found


def due_targets(store: Store) -> set[str]:
    """Return the targets of the notices that are due and that nobody sends.

    :raises StoreError: the store cannot be read
    """
    table = store.tables.outgoing
    query = table.select().with_only_columns(table.c.target).where(*_due(store, now())).distinct()
    with store.read() as connection:
        return set(connection.execute(query).scalars())


def claim(store: Store, worker: str, target: str, *, seconds: float, limit: int = 1) -> list[Notice]:
    """Take notices that are due, the oldest first; nobody else takes them within the time.

    :param worker: who takes them
    :param seconds: by then they are sent, or whoever took them is taken for dead
    :raises StoreError: the store cannot be written
    """
    table = store.tables.outgoing
    moment = now()
    oldest = (
        table.select()
        .with_only_columns(table.c.id)
        .where(*_due(store, moment), table.c.target == target)
        .order_by(table.c.next_at, table.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken = {
        "claimed_by": worker,
        "claimed_until": moment + timedelta(seconds=seconds),
        "attempts": table.c.attempts + 1,
    }
    with store.write() as connection:
        ids = list(connection.execute(oldest).scalars())
        if not ids:
            return []
        rows = connection.execute(table.update().where(table.c.id.in_(ids)).values(**taken).returning(*table.c)).all()
    return sorted(map(_notice, rows), key=lambda notice: notice.id)


def settle_sent(store: Store, notice: Notice, response_status: int) -> bool:
    """Note that a target has taken a notice; False when whoever claimed it has lost it to another one meanwhile.

    :raises StoreError: the store cannot be written
    """
    moment = now()
    return _settle(
        store,
        notice,
        {"status": SENT, "next_at": moment, "finished_at": moment, "response_status": response_status, "error": None},
    )


def settle_failed(
    store: Store, notice: Notice, error: str, response_status: int | None, again_at: datetime | None
) -> bool:
    """Note that a notice could not be sent; False when whoever claimed it has lost it to another one meanwhile.

    :param error: why, in one line
    :param again_at: when it is tried again; None: never
    :raises StoreError: the store cannot be written
    """
    moment = now()
    known = {"error": error[:MAX_ERROR], "response_status": response_status}
    if again_at is not None:
        return _settle(store, notice, {**known, "next_at": again_at})
    return _settle(store, notice, {**known, "status": FAILED, "next_at": moment, "finished_at": moment})


def postpone(store: Store, target: str, until: datetime) -> int:
    """Let all notices of a target wait at least until then, and return how many that changed.

    :raises StoreError: the store cannot be written
    """
    table = store.tables.outgoing
    which = (table.c.status == WAITING, table.c.target == target, table.c.next_at < until)
    with store.write() as connection:
        return connection.execute(table.update().where(*which).values(next_at=until)).rowcount


def drop_strangers(store: Store, targets: Collection[str], error: str) -> int:
    """Let those notices fail whose target is told nothing any more, and return how many these are.

    :param targets: that are told something
    :raises StoreError: the store cannot be written
    """
    table = store.tables.outgoing
    moment = now()
    which = (*_due(store, moment), table.c.target.not_in(list(targets)))
    ended = {"status": FAILED, "error": error[:MAX_ERROR], "next_at": moment, "finished_at": moment}
    with store.write() as connection:
        return connection.execute(table.update().where(*which).values(**ended)).rowcount


def find(store: Store, wanted: Wanted, limit: int | None = None) -> Iterator[Notice]:
    """Yield notices, the newest first. Only a few are in memory at a time, and no transaction stays open.

    :param limit: at most so many
    :raises StoreError: the store cannot be read
    """
    table = store.tables.outgoing
    left, last = limit, None
    while left is None or left > 0:
        size = _PAGE if left is None else min(left, _PAGE)
        query = table.select().where(*_conditions(store, wanted)).order_by(table.c.id.desc()).limit(size)
        if last is not None:
            query = query.where(table.c.id < last)
        with store.read() as connection:
            rows = connection.execute(query).all()
        yield from map(_notice, rows)
        if len(rows) < size:
            return
        last = rows[-1].id
        left = None if left is None else left - size


def counts(store: Store) -> dict[tuple[str, str], int]:
    """Return how many notices there are by target and status.

    :raises StoreError: the store cannot be read
    """
    from sqlalchemy import func, select

    table = store.tables.outgoing
    by = (table.c.target, table.c.status)
    query = select(*by, func.count()).group_by(*by).order_by(*by)
    with store.read() as connection:
        return {(target, status): number for target, status, number in connection.execute(query)}


def replay(store: Store, wanted: Wanted) -> int:
    """Let notices that have ended wait anew, with the same ids, and return how many these are.

    :raises StoreError: the store cannot be written
    """
    table = store.tables.outgoing
    again = {"status": WAITING, "attempts": 0, "next_at": now(), "finished_at": None, "response_status": None}
    ended = (*_conditions(store, Wanted(wanted.target, wanted.event, wanted.status)), table.c.status != WAITING)
    changed = 0
    for group in groups(sorted(set(wanted.ids))) if wanted.ids is not None else [None]:
        which = ended if group is None else (*ended, table.c.id.in_(group))
        with store.write() as connection:
            changed += connection.execute(table.update().where(*which).values(**again, error=None)).rowcount
    return changed


def purge(store: Store) -> int:
    """Remove notices that have ended :data:`KEEP` ago, or that nobody has sent since then; return how many there were.

    :raises StoreError: the store cannot be written
    """
    table = store.tables.outgoing
    old = (table.c.status.in_(STATUSES), table.c.next_at < now() - KEEP)
    with store.write() as connection:
        return connection.execute(table.delete().where(*old)).rowcount


def _due(store: Store, moment: datetime) -> list[ColumnElement[bool]]:
    columns = store.tables.outgoing.c
    is_free = columns.claimed_until.is_(None) | (columns.claimed_until <= moment)
    return [columns.status == WAITING, columns.next_at <= moment, is_free]


def _settle(store: Store, notice: Notice, values: dict[str, Any]) -> bool:
    table = store.tables.outgoing
    # The claim of one who was late, and whose notice was taken again, has another end.
    claim_of = (table.c.claimed_by == notice.claimed_by, table.c.claimed_until == notice.claimed_until)
    mine = (table.c.id == notice.id, table.c.status == WAITING, *claim_of)
    with store.write() as connection:
        free = {"claimed_by": None, "claimed_until": None}
        return bool(connection.execute(table.update().where(*mine).values(**values, **free)).rowcount)


def _conditions(store: Store, wanted: Wanted) -> list[ColumnElement[bool]]:
    columns = store.tables.outgoing.c
    names = ("target", "event", "status")
    found = [columns[name] == getattr(wanted, name) for name in names if getattr(wanted, name) is not None]
    if wanted.ids is not None:
        found.append(columns.id.in_(list(wanted.ids)))
    return found


def _notice(row: Row[Any]) -> Notice:
    return Notice(**row._mapping)
