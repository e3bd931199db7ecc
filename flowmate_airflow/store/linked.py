"""Which tenant has linked which connector, and which tables and fields are read for them.

The credentials are not here: each link has a Connection of Airflow's, or uses that of another link (a symlink).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flowmate_airflow.auth.names import DEFAULT_TENANT
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.sql import now, upsert
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.values import MIB, pack, unpack

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Row

MAX_FIELD_MAP = MIB
MAX_PROBLEM = 1000
_KEYS = ("tenant", "connector")
_SHOWN_USERS = 10


@dataclass(frozen=True, slots=True)
class Linked:
    """One tenant's link to a connector.

    :param conn_id: of its Connection; of a symlink, that of the link whose credentials it uses; empty for a template
        of the tenant `default`, which has a field map and no credentials
    :param method: of the manifest's `auth`
    :param symlink: tenant and connector of the link whose credentials it uses
    :param field_map: which tables and fields are read, in the form of the key `select` of flows; None: as the
        tenant `default` or the flow says
    :param problem: what the last check said; None: all is well
    :param linked_at: when it was linked last, perhaps with another account
    """

    tenant: str
    connector: str
    conn_id: str
    method: str
    symlink: tuple[str, str] | None = None
    field_map: dict[str, Any] | None = None
    problem: str | None = None
    checked_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    linked_at: datetime | None = None

    @property
    def is_template(self) -> bool:
        """Whether it has no credentials."""
        return not self.conn_id

    def __str__(self) -> str:
        return f"the link of the tenant {self.tenant} to {self.connector}"


class SymlinkError(StoreError):
    """The link whose credentials are to be used cannot be used, or another one is in use by others.

    :param users: tenant and connector of the links that use it
    """

    def __init__(self, text: str, users: Collection[tuple[str, str]] = ()) -> None:
        super().__init__(text)
        self.users = tuple(users)

    def text_for(self, tenant: str) -> str:
        """Return what a tenant's own people are told, who hear of no other tenant."""
        if self.users and all(user == tenant for user, _ in self.users):
            return str(self)
        return "the credentials of this link are in use elsewhere, too; whoever sent you here can unlink it"


def find(store: Store, tenant: str, connector: str) -> Linked | None:
    """Return a link, None when there is none.

    :raises StoreError: the store cannot be read
    """
    with store.read() as connection:
        return _found(_row(connection, store, tenant, connector))


def of_tenant(store: Store, tenant: str) -> list[Linked]:
    """Return a tenant's links, in the order of their connectors.

    :raises StoreError: the store cannot be read
    """
    return find_all(store, tenant=tenant)


def of_connector(store: Store, connector: str) -> list[Linked]:
    """Return all tenants' links to a connector, in the order of the tenants.

    :raises StoreError: the store cannot be read
    """
    return find_all(store, connector=connector)


def find_all(store: Store, tenant: str | None = None, connector: str | None = None) -> list[Linked]:
    """Return all links, in order.

    :param tenant: only theirs
    :param connector: only those to it
    :raises StoreError: the store cannot be read
    """
    table = store.tables.linked
    wanted = {"tenant": tenant, "connector": connector}
    conditions = [table.c[name] == value for name, value in wanted.items() if value is not None]
    query = table.select().where(*conditions).order_by(table.c.tenant, table.c.connector)
    with store.read() as connection:
        return [_linked(row) for row in connection.execute(query)]


def users_of(store: Store, tenant: str, connector: str) -> list[Linked]:
    """Return the links that use the credentials of a link.

    :raises StoreError: the store cannot be read
    """
    with store.read() as connection:
        row = _row(connection, store, tenant, connector)
        return [] if row is None else _users(connection, store, row)


def is_shared(store: Store, conn_id: str, connector: str) -> bool:
    """Whether a symlink lets a connector use a Connection, which is another one's.

    :raises StoreError: the store cannot be read
    """
    table = store.tables.linked
    query = table.select().where(
        table.c.conn_id == conn_id, table.c.connector == connector, table.c.symlink.is_not(None)
    )
    with store.read() as connection:
        return connection.execute(query.limit(1)).first() is not None


def tenants_with(store: Store, connectors: Collection[str]) -> list[str]:
    """Return the tenants that have linked all of some connectors, in order, without :data:`DEFAULT_TENANT`.

    :raises StoreError: the store cannot be read
    """
    from sqlalchemy import func, select

    names = sorted(set(connectors))
    if not names:
        return []
    table = store.tables.linked
    query = select(table.c.tenant).where(table.c.connector.in_(names), table.c.tenant != DEFAULT_TENANT)
    query = query.group_by(table.c.tenant).having(func.count() == len(names))
    with store.read() as connection:
        return sorted(connection.execute(query).scalars())


def save(store: Store, linked: Linked) -> Linked:
    """Keep a link, and return it as it is kept; one that was there before is replaced, its field map and age are not.

    What the last check said is forgotten.

    :raises SymlinkError: the link whose credentials it is to use is none, or uses another one's; or it is to use
        another one's itself, while others use those that it has
    :raises StoreError: the store cannot be written
    """
    moment = now()
    row = {name: getattr(linked, name) for name in ("tenant", "connector", "conn_id", "method")}
    row |= {"symlink": None if linked.symlink is None else json.dumps(linked.symlink).encode()}
    row |= {"problem": _short(linked.problem), "checked_at": linked.checked_at}
    row |= {"field_map": _packed(linked, linked.field_map), "created_at": moment}
    row |= {"linked_at": moment, "updated_at": moment}
    kept = ["created_at", *([] if linked.field_map is not None else ["field_map"]), *_KEYS]
    with store.write() as connection:
        if linked.symlink is not None:
            linked = _following(connection, store, linked)
            row["conn_id"] = linked.conn_id
        upsert(connection, store.tables.linked, [row], _KEYS, change=[name for name in row if name not in kept])
        saved = _found(_row(connection, store, linked.tenant, linked.connector))
    assert saved is not None
    return saved


def note_check(store: Store, tenant: str, connector: str, problem: str | None) -> bool:
    """Keep what a check has said, and return whether there is such a link.

    :param problem: None: all is well
    :raises StoreError: the store cannot be written
    """
    return _change(store, tenant, connector, {"problem": _short(problem), "checked_at": now()})


def set_field_map(store: Store, tenant: str, connector: str, field_map: Mapping[str, Any] | None) -> bool:
    """Keep which tables and fields are read for a link, and return whether there is such a link.

    :param field_map: checked already; None: as the tenant `default` or the flow says
    :raises StoreError: it is too large, or the store cannot be written
    """
    packed = _packed(f"the link of the tenant {tenant} to {connector}", field_map)
    return _change(store, tenant, connector, {"field_map": packed, "updated_at": now()})


def set_method(store: Store, tenant: str, connector: str, method: str) -> bool:
    """Let a link say what its Connection says, and return whether there is such a link.

    :raises StoreError: the store cannot be written
    """
    return _change(store, tenant, connector, {"method": method, "updated_at": now()})


def remove(store: Store, tenant: str, connector: str, *, force: bool = False) -> Linked | None:
    """Remove a link, and return it; None when there was none.

    :param force: those that use its credentials, too
    :raises SymlinkError: others use its credentials
    :raises StoreError: the store cannot be written
    """
    table = store.tables.linked
    with store.write() as connection:
        row = _row(connection, store, tenant, connector, lock=True)
        if row is None:
            return None
        users = _users(connection, store, row)
        if users and not force:
            raise _in_use(_linked(row), users)
        for each in [*users, _linked(row)]:
            connection.execute(table.delete().where(*_at(store, each.tenant, each.connector)))
    return _linked(row)


def _following(connection: Connection, store: Store, linked: Linked) -> Linked:
    """Return a symlink with the conn_id of the link that it uses, which nobody removes in this transaction."""
    assert linked.symlink is not None
    # Both, in the same order for all: two that want each other's credentials would wait for ever.
    rows = {key: _row(connection, store, *key, lock=True) for key in sorted({linked.symlink, _key(linked)})}
    target, own = rows[linked.symlink], rows[_key(linked)]
    tenant, connector = linked.symlink
    if linked.symlink == _key(linked):
        raise SymlinkError(f"{linked} cannot use its own credentials")
    if target is None or not target.conn_id:
        raise SymlinkError(f"the tenant {tenant} has not linked {connector}: there are no credentials to use")
    if target.symlink is not None:
        further = "/".join(json.loads(target.symlink))
        raise SymlinkError(f"the link of the tenant {tenant} to {connector} uses those of {further} itself; name that")
    users = [] if own is None else _users(connection, store, own)
    if own is not None and users:
        raise _in_use(_linked(own), users)
    return replace(linked, conn_id=target.conn_id)


def _in_use(linked: Linked, users: list[Linked]) -> SymlinkError:
    keys = [_key(user) for user in users]
    names = ", ".join("/".join(key) for key in keys[:_SHOWN_USERS])
    more = f" and {len(keys) - _SHOWN_USERS} more" if len(keys) > _SHOWN_USERS else ""
    return SymlinkError(f"the credentials of {linked} are used by {names}{more}", keys)


def _users(connection: Connection, store: Store, row: Row[Any]) -> list[Linked]:
    if row.symlink is not None:
        return []
    table = store.tables.linked
    query = table.select().where(table.c.conn_id == row.conn_id, table.c.symlink.is_not(None))
    found = [_linked(each) for each in connection.execute(query.order_by(table.c.tenant, table.c.connector))]
    return [each for each in found if each.symlink == (row.tenant, row.connector)]


def _change(store: Store, tenant: str, connector: str, values: dict[str, Any]) -> bool:
    table = store.tables.linked
    with store.write() as connection:
        return connection.execute(table.update().where(*_at(store, tenant, connector)).values(values)).rowcount > 0


def _row(connection: Connection, store: Store, tenant: str, connector: str, lock: bool = False) -> Row[Any] | None:
    query = store.tables.linked.select().where(*_at(store, tenant, connector))
    return connection.execute(query.with_for_update() if lock else query).one_or_none()


def _found(row: Row[Any] | None) -> Linked | None:
    return None if row is None else _linked(row)


def _linked(row: Row[Any]) -> Linked:
    values = dict(row._mapping)
    what = f"the link of the tenant {row.tenant} to {row.connector}"
    if values["symlink"] is not None:
        tenant, connector = json.loads(values["symlink"])
        values["symlink"] = (tenant, connector)
    if values["field_map"] is not None:
        values["field_map"] = unpack(values["field_map"], f"the field map of {what}")
    return Linked(**values)


def _packed(what: object, field_map: Mapping[str, Any] | None) -> bytes | None:
    return None if field_map is None else pack(field_map, f"the field map of {what}", MAX_FIELD_MAP)


def _short(problem: str | None) -> str | None:
    return None if problem is None else problem[:MAX_PROBLEM]


def _key(linked: Linked) -> tuple[str, str]:
    return linked.tenant, linked.connector


def _at(store: Store, tenant: str, connector: str) -> list[ColumnElement[bool]]:
    columns = store.tables.linked.c
    return [columns.tenant == tenant, columns.connector == connector]
