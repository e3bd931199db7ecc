"""The Connections in Airflow's database, as they are stored: read whole, and written by compare-and-set.

Never a transaction stays open between a read and the write that builds on it. The write names the row as it was read,
encrypted texts and all, and is repeated on the new one where somebody else was faster.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.auth.grants import MARK, TOKEN, Grant
from flowmate_airflow.auth.tokens import Login
from flowmate_airflow.store.encryption import decrypt, encrypt
from flowmate_airflow.store.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, RowMapping, Table
    from sqlalchemy.orm import Session

    from flowmate_airflow.store.store import Store

CONN_TYPE = "flowmate"
MAX_TRIES = 20
"""How often a write is repeated on what somebody else has written meanwhile."""
MAX_HOST = 500
"""Characters of Airflow's columns for the host, the schema and the type."""
_NEEDS_LOGIN = "Needs a new login: "
_END = " [FlowMate] "
_COLUMNS = ("conn_type", "description", "login", "host", "port", "schema")


class _Any(Enum):
    ANY = "any"


ANY: Final = _Any.ANY
"""Whatever is there, or nothing."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A Connection as it is stored, with all that is secret."""

    conn_id: str
    conn_type: str = CONN_TYPE
    description: str | None = None
    login: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    host: str | None = field(default=None, repr=False)
    port: int | None = field(default=None, repr=False)
    schema: str | None = field(default=None, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def account(self) -> Account:
        """Return its parts under the names that manifests use, without the grant."""
        extra = {key: value for key, value in self.extra.items() if key != TOKEN}
        return Account(self.conn_id, self.login, self.password, self.host, self.port, self.schema, extra)

    @property
    def mark(self) -> Mapping[str, Any]:
        """Whose it is: `connector`, `method` and `tenant`; empty for a Connection that is none of ours."""
        found = self.extra.get(MARK)
        return found if isinstance(found, Mapping) else {}

    @property
    def grant(self) -> Grant | None:
        """What the last login has brought."""
        return Grant.from_json(self.extra.get(TOKEN))

    def with_login(self, login: Login) -> Stored:
        """Return it with what a login has brought."""
        changed = replace(self, extra={**self.extra, TOKEN: login.grant.as_json()})
        for part, text in login.metadata.items():
            changed = changed.with_part(part, text)
        return changed

    def with_part(self, part: str, text: str) -> Stored:
        """Return it with a part filled in that a login may fill: `login`, `host`, or `extra.NAME`."""
        if part.startswith("extra."):
            return replace(self, extra={**self.extra, part.removeprefix("extra."): text})
        return replace(self, login=text) if part == "login" else replace(self, host=text)

    def told(self, text: str | None) -> Stored:
        """Return it with a description that says why a new login is needed, before what it said; None: no longer."""
        own = self.description or ""
        if own.startswith(_NEEDS_LOGIN) and _END in own:
            own = own.partition(_END)[2]
        words = f"{_NEEDS_LOGIN}{text.replace(_END, ' ')}{_END}" if text else ""
        return replace(self, description=f"{words}{own}" or None)


def read(conn_id: str) -> Stored | None:
    """Return a Connection of Airflow's database; None where there is none.

    :raises StoreError: the database cannot be read, or what is encrypted there cannot be decrypted
    """
    with _session() as session:
        row = _row(session, conn_id)
    return None if row is None else _stored(row)


def write(stored: Stored, *, expect: Stored | _Any | None) -> bool:
    """Write a Connection whole and return whether it was done.

    :param expect: what must be there: this one, nothing (None), or :data:`ANY`
    :raises StoreError: the database cannot be written, or takes no such Connection
    """
    for _ in range(MAX_TRIES):
        with _session() as session:
            row = _row(session, stored.conn_id)
        if expect is not ANY and (None if row is None else _stored(row)) != expect:
            return False
        if _insert(stored) if row is None else _update(row, stored):
            return True
    raise _busy(stored.conn_id)


def change(conn_id: str, edit: Callable[[Stored], Stored | None]) -> Stored | None:
    """Change a Connection to what a function makes of it, and return that; None where it is not there.

    :param edit: is called again when somebody else was faster; None: nothing shall change, and None is returned
    :raises StoreError: the database cannot be written, or takes no such Connection
    """
    for _ in range(MAX_TRIES):
        with _session() as session:
            row = _row(session, conn_id)
        if row is None:
            return None
        old = _stored(row)
        new = edit(old)
        if new is None:
            return None
        if new == old or _update(row, new):
            return new
    raise _busy(conn_id)


def remove(conn_id: str, *, unless: Callable[[], bool] = lambda: False) -> bool:
    """Remove a Connection and return whether there is none now.

    :param unless: is asked, perhaps more than once, and says that it shall stay; when it says so only once the
        Connection is gone, that is put back
    :raises StoreError: the database cannot be written
    """
    table = _table()
    for _ in range(MAX_TRIES):
        with _session() as session:
            row = _row(session, conn_id)
        if unless():
            return False
        if row is None:
            return True
        with _session() as session:
            done: Any = session.execute(table.delete().where(*_same(table, row)))
        if done.rowcount and unless():  # whoever wrote it has said so after we had asked, and seen it there
            _insert_row({name: value for name, value in row.items() if name != "id"})
    raise _busy(conn_id)


def save_login(conn_id: str, login: Login, store: Store | None = None) -> Stored | None:
    """Keep what a person's login has brought, and forget what was wrong before; None: there is no such Connection.

    :raises StoreError: Airflow's database or the store cannot be written
    """
    from flowmate_airflow.store import renewals
    from flowmate_airflow.store.secrets import forget_changed
    from flowmate_airflow.store.store import open_store

    saved = change(conn_id, lambda old: old.with_login(login).told(None))
    if saved is not None:
        store = store or open_store()
        renewals.reset(store, conn_id)
        forget_changed(store, conn_id, str(saved.mark.get("connector")))
    return saved


def _table() -> Table:
    from airflow.models.connection import Connection

    table: Table = Connection.__table__
    return table


@contextmanager
def _session() -> Iterator[Session]:
    """Give a transaction in Airflow's database, of its own also where the thread has another one open."""
    from airflow.utils.session import create_session
    from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
    from sqlalchemy.exc import TimeoutError as PoolTimeout

    try:
        with create_session(scoped=False) as session:
            yield session
    except SQLAlchemyError as error:
        transient = isinstance(error, OperationalError | InterfaceError | PoolTimeout)
        # Only the first line: the others repeat values.
        reason = (str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines() or ["?"])[0]
        raise StoreError(f"Airflow's database failed: {reason[:300]}", transient=transient) from None


def _row(session: Session, conn_id: str) -> RowMapping | None:
    from sqlalchemy import select

    table = _table()
    return session.execute(select(table).where(table.c.conn_id == conn_id)).mappings().one_or_none()


def _stored(row: RowMapping) -> Stored:
    what = f"the Connection {row['conn_id']}"
    password, extra = (_plain(row[name], bool(row[flag]), what) for name, flag in _SECRET)
    return Stored(row["conn_id"], **{name: row[name] for name in _COLUMNS}, password=password, extra=object_in(extra))


_SECRET = (("password", "is_encrypted"), ("extra", "is_extra_encrypted"))


def _plain(text: str | None, is_encrypted: bool, what: str) -> str | None:
    return text and decrypt(text.encode(), is_encrypted, what).decode()


def object_in(text: str | None) -> dict[str, Any]:
    """Return the JSON object that an extra is; none where it is something else."""
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _columns(stored: Stored) -> dict[str, Any]:
    """Return a row's values."""
    what = f"the Connection {stored.conn_id}"
    values: dict[str, Any] = {name: getattr(stored, name) for name in _COLUMNS}
    for name in ("conn_type", "host", "schema"):
        if len(values[name] or "") > MAX_HOST:
            raise StoreError(
                f"{what} cannot have a {name} of {len(values[name]):,} characters; {MAX_HOST} are possible"
            )
    extra = json.dumps(dict(stored.extra)) if stored.extra else None
    for (name, flag), text in zip(_SECRET, (stored.password, extra), strict=True):
        values[name], values[flag] = text, False
        if text:
            data, values[flag] = encrypt(text.encode(), what)
            values[name] = data.decode()
    return values


def _insert(stored: Stored) -> bool:
    """Insert a row; False when there is one meanwhile."""
    from airflow.models.connection import sanitize_conn_id

    if sanitize_conn_id(stored.conn_id) != stored.conn_id:
        raise StoreError(f"{stored.conn_id[:300]!r} cannot be a Connection's id in Airflow")
    return _insert_row({"conn_id": stored.conn_id, **_columns(stored)})


def _insert_row(values: Mapping[str, Any]) -> bool:
    from sqlalchemy.exc import IntegrityError

    with _session() as session:
        try:
            session.execute(_table().insert().values(**values))
            session.flush()
        except IntegrityError:
            session.rollback()
            return False
    return True


def _update(row: RowMapping, stored: Stored) -> bool:
    """Change a row; False when it is no longer as it was read."""
    table = _table()
    values = _columns(stored)
    with _session() as session:
        # A statement that begins with writing: SQLite refuses one that comes after a read which is old.
        done: Any = session.execute(table.update().where(*_same(table, row)).values(**values))
        return bool(done.rowcount)


def _same(table: Table, row: RowMapping) -> list[ColumnElement[bool]]:
    """Return what holds for a row as long as nobody has changed it."""
    return [table.c[name].is_not_distinct_from(row[name]) for name in ("id", *_COLUMNS, "password", "extra")]


def _busy(conn_id: str) -> StoreError:
    return StoreError(f"the Connection {conn_id} is being changed all the time; try again", transient=True)
