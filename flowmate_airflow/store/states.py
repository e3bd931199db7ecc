"""What a step remembers between its runs.

What a run found out is *held* first, and becomes the state only when all that got the run's messages have succeeded.
Until then another run begins where the last one did: it repeats, and loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from flowmate_airflow.store.sql import now, upsert
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.values import MIB, pack, unpack

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Row, Table

MAX_STATE = 16 * MIB
KEEP_HELD = timedelta(days=90)
"""After this a state that was held, and never committed, is removed."""
_KEYS = ("tenant", "flow", "step")


@dataclass(frozen=True, slots=True)
class Place:
    """Whose state it is."""

    flow: str
    step: str
    tenant: str = ""

    def __str__(self) -> str:
        tenant = f" for the tenant {self.tenant}" if self.tenant else ""
        return f"the state of the step {self.step} of {self.flow}{tenant}"


@dataclass(frozen=True, slots=True)
class StateEntry:
    """A state as the store has it.

    :param run_id: of the run that asked for it; empty when it was set by hand
    :param held: it is not the state yet: the run has not succeeded so far
    """

    place: Place
    run_id: str
    updated_at: datetime
    held: bool
    state: Any = field(repr=False)


def read_state(store: Store, place: Place) -> Any | None:
    """Return the state, None when there is none.

    :raises StoreError: the store cannot be read
    """
    table = store.tables.states
    with store.read() as connection:
        packed = connection.execute(table.select().with_only_columns(table.c.state).where(*_at(table, place))).scalar()
    return None if packed is None else unpack(packed, str(place))


def generation(store: Store, place: Place) -> int:
    """Return how often the state was set or reset by hand, for :func:`hold_state`; to be read before the state.

    :raises StoreError: the store cannot be read
    """
    with store.read() as connection:
        return _generation(connection, store.tables.states, place)


def hold_state(store: Store, place: Place, run_id: str, state: Any, *, read_at: int | None = None) -> bool:
    """Keep what a step asked to keep until :func:`commit_state`; the last one of a run wins.

    :param state: any JSON value, up to :data:`MAX_STATE`
    :param read_at: the :func:`generation` of the state that the step began with; when the state was set or reset by
        hand since, nothing is held, as it would bring the old one back
    :return: whether it is held
    :raises StoreError: the state is not JSON or too large, or the store cannot be written
    """
    packed = pack(state, str(place), MAX_STATE)
    held = store.tables.held_states
    with store.write() as connection:
        if store.is_due("held_states"):
            connection.execute(held.delete().where(held.c.held_at < now() - KEEP_HELD))
        current = _generation(connection, store.tables.states, place)
        if read_at not in (None, current):
            return False
        row = {**_row(place), "run_id": run_id, "state": packed, "generation": current, "held_at": now()}
        upsert(connection, held, [row], [*_KEYS, "run_id"])
    return True


def commit_state(store: Store, place: Place, run_id: str) -> bool:
    """Make the held state of a run the state, and drop what earlier runs hold: it is older than this one.

    :return: whether there was one; False when this was done before
    :raises StoreError: the store cannot be written
    """
    states, held = store.tables.states, store.tables.held_states
    with store.write() as connection:
        rows = _lock_held(connection, held, place)
        mine = next((row for row in rows if row.run_id == run_id), None)
        if mine is None:
            return False
        query = held.select().with_only_columns(held.c.state).where(*_at(held, place), held.c.run_id == run_id)
        packed = connection.execute(query).scalar_one()
        # It may have been reset in the moment between the two things that a task does to hold it.
        unchanged = states.c.generation == mine.generation
        done = _put(connection, states, place, packed, run_id, generation=mine.generation, where=unchanged)
        over = [row.run_id for row in rows if row.held_at <= mine.held_at]
        connection.execute(held.delete().where(*_at(held, place), held.c.run_id.in_(over)))
    return done


def drop_held(store: Store, place: Place, run_id: str) -> None:
    """Drop what a run holds.

    :raises StoreError: the store cannot be written
    """
    held = store.tables.held_states
    with store.write() as connection:
        connection.execute(held.delete().where(*_at(held, place), held.c.run_id == run_id))


def set_state(store: Store, place: Place, state: Any) -> None:
    """Make a value the state by hand, and drop what runs hold.

    :raises StoreError: the state is not JSON or too large, or the store cannot be written
    """
    packed = pack(state, str(place), MAX_STATE)
    held = store.tables.held_states
    with store.write() as connection:
        _lock_held(connection, held, place)
        connection.execute(held.delete().where(*_at(held, place)))
        _put_by_hand(connection, store.tables.states, place, packed)


def reset_state(store: Store, place: Place) -> bool:
    """Forget the state and what runs hold: the next run begins from the start.

    :return: whether there was anything to forget
    :raises StoreError: the store cannot be written
    """
    states, held = store.tables.states, store.tables.held_states
    with store.write() as connection:
        query = states.select().with_only_columns(states.c.state).where(*_at(states, place))
        found = connection.execute(query).scalar() is not None
        _lock_held(connection, held, place)
        dropped = connection.execute(held.delete().where(*_at(held, place))).rowcount
        # The row stays without a value: it counts, so that a run that is still going cannot bring the old state back.
        _put_by_hand(connection, states, place, None)
    return found or dropped > 0


def list_states(
    store: Store, flow: str | None = None, step: str | None = None, tenant: str | None = None
) -> Iterator[StateEntry]:
    """Yield all states, and the held ones after that of their place.

    :param flow: only of this flow; likewise `step` and `tenant`, where the empty text is no tenant
    :raises StoreError: the store cannot be read
    """
    wanted = {name: value for name, value in (("flow", flow), ("step", step), ("tenant", tenant)) if value is not None}
    states, held = store.tables.states, store.tables.held_states
    with store.read() as connection:
        rows = [*_keys(connection, states, states.c.updated_at, wanted, states.c.state.is_not(None))]
        rows += _keys(connection, held, held.c.held_at, wanted)
    for row in sorted(rows, key=lambda row: (row.flow, row.step, row.tenant, row.held, row.moment)):
        entry = _entry(store, row)
        if entry is not None:
            yield entry


def list_places(store: Store) -> list[Place]:
    """Return whose states there are, held ones too, in order.

    :raises StoreError: the store cannot be read
    """
    states, held = store.tables.states, store.tables.held_states
    with store.read() as connection:
        rows = [*_keys(connection, states, states.c.updated_at, {}, states.c.state.is_not(None))]
        rows += _keys(connection, held, held.c.held_at, {})
    return sorted({Place(row.flow, row.step, row.tenant) for row in rows}, key=lambda at: (at.flow, at.step, at.tenant))


def _entry(store: Store, row: Row[Any]) -> StateEntry | None:
    """Return the state of a row, read now; None when it is gone."""
    place = Place(row.flow, row.step, row.tenant)
    held = bool(row.held)
    table: Table = store.tables.held_states if held else store.tables.states
    conditions = [*_at(table, place), *([table.c.run_id == row.run_id] if held else [])]
    with store.read() as connection:
        packed = connection.execute(table.select().with_only_columns(table.c.state).where(*conditions)).scalar()
    if packed is None:
        return None
    return StateEntry(place, row.run_id, row.moment, held, unpack(packed, str(place)))


def _keys(
    connection: Connection,
    table: Table,
    moment: ColumnElement[datetime],
    wanted: dict[str, str],
    *conditions: ColumnElement[bool],
) -> list[Row[Any]]:
    from sqlalchemy import literal, select

    names = (table.c[name] for name in (*_KEYS, "run_id"))
    held = literal(table.name == "flowmate_held_states").label("held")
    query = select(*names, moment.label("moment"), held).where(*conditions)
    return list(connection.execute(query.where(*(table.c[name] == value for name, value in wanted.items()))))


def _put(
    connection: Connection,
    table: Table,
    place: Place,
    packed: bytes | None,
    run_id: str,
    *,
    generation: int = 0,
    where: ColumnElement[bool] | None = None,
) -> bool:
    row = {**_row(place), "state": packed, "run_id": run_id, "generation": generation, "updated_at": now()}
    return upsert(connection, table, [row], _KEYS, change=["state", "run_id", "updated_at"], where=where) > 0


def _put_by_hand(connection: Connection, table: Table, place: Place, packed: bytes | None) -> None:
    _put(connection, table, place, packed, "")
    connection.execute(table.update().where(*_at(table, place)).values(generation=table.c.generation + 1))


def _lock_held(connection: Connection, table: Table, place: Place) -> list[Any]:
    """Return what runs hold, in one order for all, so that two transactions never wait for each other's rows."""
    query = table.select().with_only_columns(table.c.run_id, table.c.generation, table.c.held_at)
    return list(connection.execute(query.where(*_at(table, place)).order_by(table.c.run_id).with_for_update()))


def _generation(connection: Connection, table: Table, place: Place) -> int:
    query = table.select().with_only_columns(table.c.generation).where(*_at(table, place))
    return int(connection.execute(query).scalar() or 0)


def _at(table: Table, place: Place) -> list[ColumnElement[bool]]:
    return [table.c[name] == value for name, value in _row(place).items()]


def _row(place: Place) -> dict[str, str]:
    return {"tenant": place.tenant, "flow": place.flow, "step": place.step}
