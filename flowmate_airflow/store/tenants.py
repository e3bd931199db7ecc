"""Tenants: what is said of each, and of each of their flows; and whose turn it is, where one run at a time may go."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

from typing_extensions import Unpack

from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.sql import groups, now, upsert
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.values import MIB, pack, unpack

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Row

MAX_CONFIG = MIB
MAX_MAPPING = MIB
_FLOW_KEYS = ("tenant", "flow")
_TURNS = 20
"""How often a turn that others take at the same moment is tried for."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant: someone for whom flows run with credentials of their own.

    :param config: what the application says of them, any JSON object
    """

    tenant: str
    config: dict[str, Any] = field(default_factory=dict, repr=False)
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TenantFlow:
    """What differs for a tenant in one flow.

    :param is_on: whether it runs for them
    :param schedule: when, in the words of flow files, `none` for never by itself; None: as the tenant `default` has
        it, else the flow
    :param next_at: when a schedule of their own is due
    :param mapping: their custom field mapping
    """

    tenant: str
    flow: str
    is_on: bool = True
    schedule: str | None = None
    next_at: datetime | None = None
    mapping: Any = field(default=None, repr=False)
    updated_at: datetime | None = None


class FlowChanges(TypedDict, total=False):
    """What :func:`set_flow` changes; see :class:`TenantFlow`."""

    is_on: bool
    schedule: str | None
    next_at: datetime | None
    mapping: Any


def find_tenant(store: Store, tenant: str) -> Tenant | None:
    """Return a tenant, None when nothing is known of them.

    :raises StoreError: the store cannot be read
    """
    table = store.tables.tenants
    with store.read() as connection:
        row = connection.execute(table.select().where(table.c.tenant == tenant)).one_or_none()
    return None if row is None else _tenant(row)


def list_tenants(store: Store) -> list[Tenant]:
    """Return all tenants, in order, without their configs.

    :raises StoreError: the store cannot be read
    """
    table = store.tables.tenants
    columns = (table.c.tenant, table.c.created_at, table.c.updated_at)
    with store.read() as connection:
        rows = connection.execute(table.select().with_only_columns(*columns).order_by(table.c.tenant)).all()
    return [Tenant(row.tenant, {}, row.created_at, row.updated_at) for row in rows]


def add_tenant(store: Store, tenant: str) -> bool:
    """Let there be a tenant, and return whether there was none.

    :raises StoreError: the store cannot be written
    """
    return _put_tenant(store, tenant, {}, change=False)


def save_config(store: Store, tenant: str, config: Mapping[str, Any]) -> None:
    """Keep what is said of a tenant, in place of what was said before.

    :raises StoreError: it is not JSON, or too large, or the store cannot be written
    """
    _put_tenant(store, tenant, config, change=True)


def find_flow(store: Store, tenant: str, flow: str) -> TenantFlow:
    """Return what differs for a tenant in a flow: nothing, where nothing was said.

    :raises StoreError: the store cannot be read
    """
    table = store.tables.tenant_flows
    with store.read() as connection:
        row = connection.execute(table.select().where(*_at(store, tenant, flow))).one_or_none()
    return TenantFlow(tenant, flow) if row is None else _flow(row)


def flows_of(store: Store, tenant: str) -> list[TenantFlow]:
    """Return what was said of a tenant's flows, in order.

    :raises StoreError: the store cannot be read
    """
    table = store.tables.tenant_flows
    with store.read() as connection:
        rows = connection.execute(table.select().where(table.c.tenant == tenant).order_by(table.c.flow)).all()
    return [_flow(row) for row in rows]


def tenants_of(store: Store, flow: str, tenants: Collection[str] | None = None) -> dict[str, TenantFlow]:
    """Return what was said of a flow, by the tenants of whom anything was.

    :param tenants: only these
    :raises StoreError: the store cannot be read
    """
    table = store.tables.tenant_flows
    query = table.select().where(table.c.flow == flow).order_by(table.c.tenant)
    with store.read() as connection:
        if tenants is None:
            rows = list(connection.execute(query))
        else:
            asked = groups(sorted(tenants))
            rows = [row for group in asked for row in connection.execute(query.where(table.c.tenant.in_(group)))]
    return {row.tenant: _flow(row) for row in rows}


def set_flow(store: Store, tenant: str, flow: str, **changes: Unpack[FlowChanges]) -> TenantFlow:
    """Change what differs for a tenant in a flow, and return it; what is not named stays.

    Another schedule has no time when it is due, unless one is given.

    :raises StoreError: the mapping is not JSON or too large, or the store cannot be written
    """
    values: dict[str, Any] = {**changes, "updated_at": now()}
    if "schedule" in changes:
        values.setdefault("next_at", None)
    if changes.get("mapping") is not None:
        what = f"the mapping of the tenant {tenant} for {flow}"
        values["mapping"] = pack(changes["mapping"], what, MAX_MAPPING)
    row = {"tenant": tenant, "flow": flow, "is_on": True, "schedule": None, "next_at": None, "mapping": None, **values}
    with store.write() as connection:
        upsert(connection, store.tables.tenant_flows, [row], _FLOW_KEYS, change=list(values))
        kept = connection.execute(store.tables.tenant_flows.select().where(*_at(store, tenant, flow))).one()
    return _flow(kept)


def note_next(store: Store, tenant: str, flow: str, schedule: str | None, next_at: datetime | None) -> bool:
    """Keep when a tenant's own schedule is due next, unless the schedule was changed since, and return whether it is.

    :param schedule: that it was reckoned by
    :raises StoreError: the store cannot be written
    """
    table = store.tables.tenant_flows
    same = table.c.schedule.is_(None) if schedule is None else table.c.schedule == schedule
    statement = table.update().where(*_at(store, tenant, flow), same).values(next_at=next_at)
    with store.write() as connection:
        return connection.execute(statement).rowcount > 0


def take_turn(store: Store, tenant: str, flow: str, run_id: str, is_over: Callable[[str], bool]) -> str | None:
    """Let it be a run's turn, if it is nobody's or that of a run that is over.

    :param is_over: says of a run whether it is over or gone; no transaction is open while it is asked
    :return: the run whose turn it is; None: it is this one's
    :raises StoreError: the store cannot be written
    """
    table = store.tables.tenant_turns
    row = {"tenant": tenant, "flow": flow, "run_id": run_id}
    for _ in range(_TURNS):
        with store.write() as connection:
            mine = upsert(
                connection,
                table,
                [{**row, "taken_at": now()}],
                _FLOW_KEYS,
                change=["run_id"],
                where=table.c.run_id == run_id,
            )
            if mine:
                return None
            holder = _holder(connection, store, tenant, flow)
        if holder is None:
            continue
        if not is_over(holder):
            return holder
        with store.write() as connection:
            over = table.delete().where(*_turn_at(store, tenant, flow), table.c.run_id == holder)
            connection.execute(over)
    raise StoreError(f"the turn of the tenant {tenant} in {flow} is taken again and again", transient=True)


def give_turn(store: Store, tenant: str, flow: str, run_id: str) -> bool:
    """Let a run's turn be over, and return whether it was its turn.

    :raises StoreError: the store cannot be written
    """
    table = store.tables.tenant_turns
    mine = table.delete().where(*_turn_at(store, tenant, flow), table.c.run_id == run_id)
    with store.write() as connection:
        return connection.execute(mine).rowcount > 0


def turns_of(store: Store, flow: str) -> dict[str, str]:
    """Return the runs whose turn it is in a flow, by tenant; they may be over.

    :raises StoreError: the store cannot be read
    """
    table = store.tables.tenant_turns
    query = table.select().with_only_columns(table.c.tenant, table.c.run_id).where(table.c.flow == flow)
    with store.read() as connection:
        return {row.tenant: row.run_id for row in connection.execute(query)}


def _holder(connection: Connection, store: Store, tenant: str, flow: str) -> str | None:
    table = store.tables.tenant_turns
    query = table.select().with_only_columns(table.c.run_id).where(*_turn_at(store, tenant, flow))
    return connection.execute(query).scalar()


def _put_tenant(store: Store, tenant: str, config: Mapping[str, Any], *, change: bool) -> bool:
    moment = now()
    packed = pack(config, f"the config of the tenant {tenant}", MAX_CONFIG)
    row = {"tenant": tenant, "config": packed, "created_at": moment, "updated_at": moment}
    table = store.tables.tenants
    with store.write() as connection:
        there = connection.execute(table.select().with_only_columns(table.c.tenant).where(table.c.tenant == tenant))
        is_new = there.scalar() is None
        if is_new or change:
            names = ["config", "updated_at"] if change else ["tenant"]
            upsert(connection, table, [row], ["tenant"], change=names)
    return is_new


def _tenant(row: Row[Any]) -> Tenant:
    config = unpack(row.config, f"the config of the tenant {row.tenant}")
    return Tenant(row.tenant, config, row.created_at, row.updated_at)


def _flow(row: Row[Any]) -> TenantFlow:
    values = dict(row._mapping)
    if values["mapping"] is not None:
        values["mapping"] = unpack(values["mapping"], f"the mapping of the tenant {row.tenant} for {row.flow}")
    return TenantFlow(**values)


def _at(store: Store, tenant: str, flow: str) -> list[ColumnElement[bool]]:
    columns = store.tables.tenant_flows.c
    return [columns.tenant == tenant, columns.flow == flow]


def _turn_at(store: Store, tenant: str, flow: str) -> list[ColumnElement[bool]]:
    columns = store.tables.tenant_turns.c
    return [columns.tenant == tenant, columns.flow == flow]
