"""Who renews a Connection's credentials just now, and how the last try ended.

Renewing spends something: with many providers a refresh token is good for one use. So one process at a time may do it,
and before it does it writes down what it spends. A process that dies leaves a lease that runs out, and whoever takes it
over knows from that what may have happened.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from flowmate_airflow.store.sql import groups, now
from flowmate_airflow.store.store import Store

if TYPE_CHECKING:
    from sqlalchemy import Connection

GOOD = "good"
NEEDS_REAUTH = "needs_reauth"
FAILED = "failed"
FIRST_COOL_DOWN = 30.0
MAX_COOL_DOWN = 600.0
"""Seconds between two tries after failures: twice as many each time, up to these."""
MAX_RETRY_AFTER = 3600.0
"""Seconds that a provider may ask us to wait."""
MAX_ERROR = 1000
"""Characters of an error that are kept."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """What is known about the renewals of a Connection.

    :param status: `good`, `needs_reauth`, or `failed`: somebody must change something, though it is tried again later
    :param error: of the last try, for people; None: it was good
    :param owner: who renews just now, until `owned_until`
    :param spending: digest of the credentials that are being spent, or that the last try failed with
    :param failures: in a row
    :param next_at: no earlier try than this
    :param renewals: how many there were
    """

    conn_id: str
    status: str = GOOD
    error: str | None = None
    owner: str | None = None
    owned_until: datetime | None = None
    spending: bytes | None = field(default=None, repr=False)
    spent_at: datetime | None = None
    failures: int = 0
    next_at: datetime | None = None
    renewed_at: datetime | None = None
    renewals: int = 0
    updated_at: datetime | None = None

    def needs_login(self, spending: bytes) -> bool:
        """Whether these credentials are known to bring nothing any more."""
        return self.status == NEEDS_REAUTH and self.spending == spending

    def cools(self, spending: bytes, moment: datetime) -> bool:
        """Whether it is too early for another try with these credentials."""
        return self.spending == spending and self.next_at is not None and self.next_at > moment

    def rests(self, spending: bytes, moment: datetime) -> bool:
        """Whether nobody may try these credentials just now.

        :param moment: by the clock of the database: that of a machine may differ by any time
        """
        return self.owner is None and (self.needs_login(spending) or self.cools(spending, moment))


@dataclass(frozen=True, slots=True)
class Turn:
    """Whether a process may renew.

    :param kind: `taken`: it may; `busy`: another one does; `resting`: these credentials wait, or need a new login
    :param row: as it is now
    :param is_takeover: an earlier process has begun to spend the same credentials, and has not said how it ended
    """

    kind: Literal["taken", "busy", "resting"]
    row: Renewal
    is_takeover: bool = False


def status(store: Store, conn_id: str) -> Renewal | None:
    """Return what is known about a Connection's renewals; None: there was none.

    :raises StoreError: the store cannot be read
    """
    return statuses(store, [conn_id]).get(conn_id)


def status_now(store: Store, conn_id: str) -> tuple[Renewal | None, datetime]:
    """Return what is known about a Connection's renewals, and what time it is by the clock that it is known by.

    :raises StoreError: the store cannot be read
    """
    table = store.tables.renewals
    with store.read() as connection:
        row = connection.execute(table.select().where(table.c.conn_id == conn_id)).one_or_none()
        return None if row is None else Renewal(**row._mapping), _moment(connection)


def statuses(store: Store, conn_ids: Collection[str]) -> dict[str, Renewal]:
    """Return what is known about the renewals of some Connections, by conn_id.

    :raises StoreError: the store cannot be read
    """
    table = store.tables.renewals
    found: dict[str, Renewal] = {}
    with store.read() as connection:
        for group in groups(sorted(conn_ids)):
            for row in connection.execute(table.select().where(table.c.conn_id.in_(group))):
                found[row.conn_id] = Renewal(**row._mapping)
    return found


def take(
    store: Store,
    conn_id: str,
    owner: str,
    spending: bytes,
    seconds: float,
    is_gone: Callable[[str], bool] = lambda owner: False,
) -> Turn:
    """Take a Connection's renewal, unless somebody has it or these credentials are resting.

    :param owner: who asks; nobody else has this name
    :param spending: digest of the credentials that will be spent
    :param seconds: after which another one may take it over
    :param is_gone: whether an owner is known to live no more, whose turn need not run out then
    :raises StoreError: the store cannot be written
    """
    table = store.tables.renewals
    with store.write() as connection:
        moment = _moment(connection)
        _make_row(store, connection, conn_id, moment)
        row = Renewal(
            **connection.execute(table.select().where(table.c.conn_id == conn_id).with_for_update()).one()._mapping
        )
        if _is_owned(row, moment) and not is_gone(str(row.owner)):
            return Turn("busy", row)
        if row.rests(spending, moment):
            return Turn("resting", row)
        values = {
            **{"owner": owner, "owned_until": moment + timedelta(seconds=seconds)},
            **{"spending": spending, "spent_at": moment, "updated_at": moment},
        }
        if row.spending != spending:  # other credentials: what was wrong with the old ones says nothing about them
            values |= {"status": GOOD, "error": None, "failures": 0, "next_at": None}
        connection.execute(table.update().where(table.c.conn_id == conn_id).values(**values))
        return Turn("taken", row, is_takeover=row.owner is not None and row.spending == spending)


def succeed(store: Store, conn_id: str, owner: str) -> None:
    """Note that the new credentials are saved, and let go.

    :raises StoreError: the store cannot be written
    """
    table = store.tables.renewals
    _let_go(
        store,
        conn_id,
        owner,
        lambda moment: {
            **{"status": GOOD, "error": None, "spending": None, "spent_at": None, "failures": 0, "next_at": None},
            **{"renewed_at": moment, "renewals": table.c.renewals + 1},
        },
    )


def let_go(store: Store, conn_id: str, owner: str) -> None:
    """Let go without having spent anything.

    :raises StoreError: the store cannot be written
    """
    _let_go(store, conn_id, owner, lambda moment: {"spending": None, "spent_at": None})


def fail(
    store: Store,
    conn_id: str,
    owner: str,
    error: str,
    failures: int,
    *,
    retry_after: float | None = None,
    is_config: bool = False,
) -> None:
    """Note a failure, rest for a while, and let go.

    :param failures: how many there were in a row before
    :param retry_after: seconds that the provider wants us to wait
    :param is_config: whether somebody must change something
    :raises StoreError: the store cannot be written
    """
    rest = min(FIRST_COOL_DOWN * 2 ** min(failures, 20), MAX_COOL_DOWN)
    rest = max(rest, min(retry_after or 0.0, MAX_RETRY_AFTER))
    _let_go(
        store,
        conn_id,
        owner,
        lambda moment: {
            **{"status": FAILED if is_config else GOOD, "error": error[:MAX_ERROR]},
            **{"spent_at": None, "failures": failures + 1, "next_at": moment + timedelta(seconds=rest)},
        },
    )


def need_login(store: Store, conn_id: str, owner: str, error: str) -> None:
    """Note that only a new login helps, and let go.

    :raises StoreError: the store cannot be written
    """
    _let_go(
        store,
        conn_id,
        owner,
        lambda moment: {"status": NEEDS_REAUTH, "error": error[:MAX_ERROR], "spent_at": None, "next_at": None},
    )


def hold(store: Store, conn_id: str, owner: str, seconds: float) -> None:
    """Keep the turn for longer.

    :raises StoreError: the store cannot be written
    """
    table = store.tables.renewals
    with store.write() as connection:
        connection.execute(
            table.update()
            .where(table.c.conn_id == conn_id, table.c.owner == owner)
            .values(owned_until=_moment(connection) + timedelta(seconds=seconds))
        )


def reset(store: Store, conn_id: str) -> None:
    """Forget what was wrong: there was a new login. Who renews just now loses the turn, as it has old credentials.

    :raises StoreError: the store cannot be written
    """
    table = store.tables.renewals
    nothing = dict.fromkeys(("error", "owner", "owned_until", "spending", "spent_at", "next_at"))
    with store.write() as connection:
        values = {**nothing, "status": GOOD, "failures": 0, "updated_at": now()}
        connection.execute(table.update().where(table.c.conn_id == conn_id).values(**values))


def forget(store: Store, conn_id: str) -> None:
    """Remove all that is known: the Connection is removed.

    :raises StoreError: the store cannot be written
    """
    table = store.tables.renewals
    with store.write() as connection:
        connection.execute(table.delete().where(table.c.conn_id == conn_id))


def _is_owned(row: Renewal, moment: datetime) -> bool:
    return row.owner is not None and row.owned_until is not None and row.owned_until > moment


def _let_go(store: Store, conn_id: str, owner: str, values: Any) -> None:
    """Change a row that is still the owner's: whoever has taken it over knows better."""
    table = store.tables.renewals
    with store.write() as connection:
        moment = _moment(connection)
        connection.execute(
            table.update()
            .where(table.c.conn_id == conn_id, table.c.owner == owner)
            .values(**values(moment), owner=None, owned_until=None, updated_at=moment)
        )


def _make_row(store: Store, connection: Connection, conn_id: str, moment: datetime) -> None:
    insert: Any
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert
    else:
        from sqlalchemy.dialects.postgresql import insert
    row = {"conn_id": conn_id, "status": GOOD, "failures": 0, "renewals": 0, "updated_at": moment}
    connection.execute(insert(store.tables.renewals).values(**row).on_conflict_do_nothing())


def _moment(connection: Connection) -> datetime:
    """Return the time of the database's clock, which is the same for all: those of machines may differ."""
    if connection.dialect.name == "sqlite":
        return now()
    from sqlalchemy import func

    moment: datetime = connection.execute(func.clock_timestamp().select()).scalar_one()
    return moment
