"""Deliveries and the runs that deal with them: each is in one run at a time, and comes back when the run fails."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from flowmate_airflow.store.deliveryrows import (
    CLAIM,
    CLAIMED,
    DELIVERED,
    FAILED,
    MAX_ERROR,
    RECEIVED,
    Delivery,
    columns,
    from_row,
    lock,
)
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.payloads import opened
from flowmate_airflow.store.sql import groups, now, sized_groups
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.turns import in_turn, takeable
from flowmate_airflow.store.values import MIB, digest

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Row, Table

    Place: TypeAlias = Sequence[ColumnElement[bool]]

MAX_CLAIM = 10_000
"""Deliveries that one claim takes at most."""
PARTS = 10
"""Into how many claims those are parted that failed together, lest one of them spoil the others for ever."""
MAX_DELAY = timedelta(days=1)
_MAX_DOUBLED = 16


@dataclass(frozen=True, slots=True)
class Owner:
    """Who deals with deliveries.

    :param task: of a run that waits in several
    """

    flow: str
    run_id: str
    task: str = ""

    def __str__(self) -> str:
        task = f", task {self.task}" if self.task else ""
        return f"the run {self.run_id} of {self.flow}{task}"


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of an owner's deliveries."""

    delivered: int = 0
    released: int = 0
    failed: int = 0


def claim(
    store: Store,
    owner: Owner,
    endpoint: str,
    tenant: str = "",
    *,
    limit: int,
    max_bytes: int = 64 * MIB,
    ordered: bool = False,
    ids: Iterable[int] | None = None,
) -> list[int]:
    """Take deliveries for a run, the oldest first, and return their ids in order; nobody else gets them.

    What the run took in an earlier try it gets again and nothing else, also when it was finished since: then it was
    cleared. With `ids` it takes these beside what it has, and only what is new is returned. An empty list: there is
    nothing to take now.

    Those that a run has failed with are taken apart from new ones, and in :data:`PARTS` parts of those that failed
    together: so the one that is to blame is found, and the others succeed.

    :param limit: at most so many, and never more than :data:`MAX_CLAIM`
    :param max_bytes: at most so much JSON, but one delivery at least
    :param ordered: not those with a key of which another run has one, or an earlier one waits for its next try
    :param ids: only of these; when they are more than :data:`MAX_CLAIM`, of the oldest
    :raises StoreError: a payload that the run had is no longer kept, or the store cannot be written
    """
    table = store.tables.deliveries
    place = [table.c.endpoint == endpoint, table.c.tenant == tenant]
    only = sorted(set(ids))[:MAX_CLAIM] if ids is not None else None
    with store.write() as connection:
        _lock_endpoint(connection, endpoint, tenant)
        had = _claim_again(connection, table, owner, place)
        if had and only is None:
            return had
        moment = now()
        columns = (table.c.id, table.c.size, table.c.attempts, table.c.available_at)
        query = table.select().with_only_columns(*columns).where(*place, *takeable(table, moment))
        if ordered:
            query = query.where(in_turn(table, moment, only))
        if only is not None:
            query = query.where(table.c.id.in_(only))
        query = query.order_by(table.c.id).limit(max(0, min(limit, MAX_CLAIM)))
        chosen = _up_to(max_bytes, connection.execute(query), are_parted=only is None)
        return _take(connection, table, owner, chosen)


def read_claimed(store: Store, owner: Owner) -> Iterator[tuple[Delivery, bytes]]:
    """Yield what an owner has, in order, with the JSON of the payloads; only a few are in memory at a time.

    :raises StoreError: a payload cannot be read or decrypted, or the store cannot be read
    """
    table = store.tables.deliveries
    which = [*_of(table, owner), table.c.status == CLAIMED]
    index = table.select().with_only_columns(table.c.id, table.c.size).where(*which).order_by(table.c.id)
    query = table.select().with_only_columns(*columns(table), table.c.payload).order_by(table.c.id)
    with store.read() as connection:
        sizes = connection.execute(index).all()
    for group in sized_groups(sizes, attrgetter("size")):
        with store.read() as connection:
            rows = connection.execute(query.where(table.c.id.in_([row.id for row in group]))).all()
        for row in rows:
            yield from_row(row), opened(row, f"the payload of the delivery {row.id}")


def settle(
    store: Store,
    owner: Owner,
    *,
    ok: bool,
    error: str = "",
    max_attempts: int = 3,
    delay: timedelta = timedelta(seconds=30),
) -> Settled:
    """Say how the run of an owner ended. What it no longer has is left alone, so it may be said again.

    :param ok: its deliveries are done; else they wait for another run
    :param error: why it failed
    :param max_attempts: runs that may fail on a delivery before it is given up
    :param delay: how long they wait after the first failure; twice as long after each further one
    :raises StoreError: the store cannot be written
    """
    table = store.tables.deliveries
    mine = [*_of(table, owner), table.c.status == CLAIMED]
    moment = now()
    with store.write() as connection:
        rows = lock(connection, table, mine)
        if ok:
            done = {"status": DELIVERED, "finished_at": moment, "error": None}
            connection.execute(table.update().where(*mine).values(done))
            return Settled(delivered=len(rows))
        released = failed = 0
        for attempts, ids in _by_attempts(rows).items():
            values: dict[str, Any] = {"attempts": attempts + 1, "error": error[:MAX_ERROR]}
            these = [*mine, table.c.attempts == attempts]
            if attempts + 1 >= max_attempts:
                failed += len(ids)
                values |= {"status": FAILED, "finished_at": moment}
                connection.execute(table.update().where(*these).values(values))
                continue
            released += len(ids)
            values |= {"status": RECEIVED, **dict.fromkeys(CLAIM)}
            again = moment + min(MAX_DELAY, delay * 2 ** min(attempts, _MAX_DOUBLED))
            for number, part in enumerate(groups(ids, math.ceil(len(ids) / PARTS))):
                # What is available from the same microsecond on is a part: see `_part`.
                values["available_at"] = again + timedelta(microseconds=number)
                which = [*these, table.c.id.between(part[0], part[-1])]
                connection.execute(table.update().where(*which).values(values))
    return Settled(released=released, failed=failed)


def owners(store: Store) -> Mapping[str, list[Owner]]:
    """Return who has deliveries, by their endpoint, in order.

    :raises StoreError: the store cannot be read
    """
    table = store.tables.deliveries
    who = (table.c.endpoint, table.c.claim_flow, table.c.claim_run, table.c.claim_task)
    query = table.select().with_only_columns(*who).distinct().order_by(*who)
    found: dict[str, list[Owner]] = {}
    with store.read() as connection:
        for row in connection.execute(query.where(table.c.finished_at.is_(None), table.c.status == CLAIMED)):
            found.setdefault(row.endpoint, []).append(Owner(*row[1:]))
    return found


def _lock_endpoint(connection: Connection, endpoint: str, tenant: str) -> None:
    """Let others that claim at the same endpoint wait, so that none takes what is behind what another one takes."""
    if connection.dialect.name != "sqlite":  # there the transaction itself is the lock
        number = int.from_bytes(digest("claim", endpoint, tenant)[:8], "big", signed=True)
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({number})")


def _claim_again(connection: Connection, table: Table, owner: Owner, place: Place) -> list[int]:
    """Return what the owner took in an earlier try; it has it again."""
    mine = [*_of(table, owner), *place]
    rows = lock(connection, table, mine)
    if not rows:
        return []
    purged = table.select().with_only_columns(table.c.id).where(*mine, table.c.payload.is_(None))
    gone = len(connection.execute(purged).all())
    if gone:
        raise StoreError(f"{owner} took {len(rows)} deliveries, and the payloads of {gone} are no longer kept")
    again = {"status": CLAIMED, "claimed_at": now(), "finished_at": None}
    connection.execute(table.update().where(*mine, table.c.status != CLAIMED).values(again))
    return [row.id for row in rows]


def _take(connection: Connection, table: Table, owner: Owner, ids: list[int]) -> list[int]:
    if not ids:
        return []
    which = [table.c.id.in_(ids), table.c.status == RECEIVED]
    rows = lock(connection, table, which)
    values = {"claim_flow": owner.flow, "claim_run": owner.run_id, "claim_task": owner.task}
    connection.execute(table.update().where(*which).values(values | {"status": CLAIMED, "claimed_at": now()}))
    return [row.id for row in rows]


def _by_attempts(rows: Iterable[Row[Any]]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for row in rows:
        found.setdefault(row.attempts, []).append(row.id)
    return found


def _part(row: Row[Any]) -> datetime | None:
    """Return what those have in common that are to be tried together again; None: no run has failed with it."""
    moment: datetime | None = row.available_at if row.attempts else None
    return moment


def _up_to(max_bytes: int, rows: Iterable[Row[Any]], *, are_parted: bool) -> list[int]:
    """Return the ids of the first rows that are together not larger, and of one part; of one at least."""
    first: Row[Any] | None = None
    ids: list[int] = []
    left = max_bytes
    for row in rows:
        first = first or row
        left -= row.size
        if ids and (left < 0 or (are_parted and _part(row) != _part(first))):
            break
        ids.append(row.id)
    return ids


def _of(table: Table, owner: Owner) -> Place:
    values = (owner.flow, owner.run_id, owner.task)
    return [table.c[name] == value for name, value in zip(CLAIM, values, strict=False)]
