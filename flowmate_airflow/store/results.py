"""What became of each record of one task, so that a retry sends only what has not succeeded yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flowmate_airflow.store.sql import groups, now, upsert
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.values import MIB, digest, pack, unpack

if TYPE_CHECKING:
    from sqlalchemy import Connection

KEEP = timedelta(days=30)
"""Longer than any retry waits."""
MAX_PARTIAL = 16 * MIB


@dataclass(frozen=True, slots=True)
class TaskKey:
    """A task of a run: all its tries."""

    flow: str
    run_id: str
    step: str
    map_index: int = -1
    tenant: str = ""

    @property
    def digest(self) -> bytes:
        """What stands for it in the store."""
        return digest(self.flow, self.run_id, self.step, str(self.map_index), self.tenant)


@dataclass(frozen=True, slots=True)
class Result:
    """A record that the other system took.

    :param remote_id: the id it has there, where the connector tells it
    """

    message_id: str
    remote_id: str | None = None


def note_results(store: Store, key: TaskKey, results: Iterable[Result]) -> None:
    """Keep what succeeded, group by group, each in a transaction of its own.

    :raises StoreError: the store cannot be written
    """
    task = key.digest
    for group in groups(results):
        moment = now()
        rows = {
            result.message_id: {
                "task": task,
                "message": digest(result.message_id),
                "message_id": result.message_id,
                "remote_id": result.remote_id,
                "noted_at": moment,
            }
            for result in group
        }
        with store.write() as connection:
            _sweep(store, connection)
            upsert(connection, store.tables.results, list(rows.values()), ["task", "message"])


def done_ids(store: Store, key: TaskKey) -> set[str]:
    """Return the ids of the messages that succeeded in earlier tries.

    :raises StoreError: the store cannot be read
    """
    table = store.tables.results
    query = table.select().with_only_columns(table.c.message_id).where(table.c.task == key.digest)
    with store.read() as connection:
        return set(connection.execute(query).scalars())


def keep_partial(store: Store, key: TaskKey, value: dict[str, Any]) -> None:
    """Keep the batch value of what a try has made; the last one wins.

    :raises StoreError: it is not JSON or too large, or the store cannot be written
    """
    packed = pack(value, f"the batch of the step {key.step} of {key.flow}", MAX_PARTIAL, nan=True)
    with store.write() as connection:
        _sweep(store, connection)
        row = {"task": key.digest, "value": packed, "noted_at": now()}
        upsert(connection, store.tables.partials, [row], ["task"])


def partial(store: Store, key: TaskKey) -> dict[str, Any] | None:
    """Return the batch value of what an earlier try made, None when there is none.

    :raises StoreError: the store cannot be read
    """
    table = store.tables.partials
    query = table.select().with_only_columns(table.c.value).where(table.c.task == key.digest)
    with store.read() as connection:
        packed = connection.execute(query).scalar()
    if packed is None:
        return None
    value: dict[str, Any] = unpack(packed, f"the batch of the step {key.step} of {key.flow}")
    return value


def forget(store: Store, key: TaskKey) -> None:
    """Remove all that is kept of a task: it is done.

    :raises StoreError: the store cannot be written
    """
    with store.write() as connection:
        for table in (store.tables.results, store.tables.partials):
            connection.execute(table.delete().where(table.c.task == key.digest))


def _sweep(store: Store, connection: Connection) -> None:
    if store.is_due("results"):
        for table in (store.tables.results, store.tables.partials):
            connection.execute(table.delete().where(table.c.noted_at < now() - KEEP))
