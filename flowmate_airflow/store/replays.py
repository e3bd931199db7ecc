"""Replaying dead letters: a run claims them, so that no other one takes them too, and settles each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flowmate_airflow.store.deadletters import MAX_ERROR, WAITING, Wanted, conditions
from flowmate_airflow.store.sql import groups
from flowmate_airflow.store.store import Store


@dataclass(frozen=True, slots=True)
class NewFailure:
    """A letter that failed again."""

    id: int
    error: str
    failure_type: str = "system"


def claim(store: Store, ids: Iterable[int], run_id: str) -> list[int]:
    """Take letters for a run and return those it has, in order; the ones it took in an earlier try belong to them.

    Without the others: they are gone, or another run replays them.

    :raises StoreError: the store cannot be written
    """
    table = store.tables.dead_letters
    taken: list[int] = []
    for group in groups(sorted(set(ids))):
        mine = (table.c.id.in_(group), table.c.claimed_by.is_(None) | (table.c.claimed_by == run_id))
        with store.write() as connection:
            rows = connection.execute(table.update().where(*mine).values(claimed_by=run_id).returning(table.c.id))
            taken.extend(sorted(rows.scalars()))
    return taken


def claim_waiting(store: Store, flow: str, step: str, run_id: str, tenant: str | None = None) -> int:
    """Take all letters of a step that wait; return how many of the step's the run has now.

    :param tenant: only this one's
    :raises StoreError: the store cannot be written
    """
    table = store.tables.dead_letters
    waiting = conditions(store, Wanted(flow, step, tenant, status=WAITING))
    mine = conditions(store, Wanted(flow, step, tenant, claimed_by=run_id))
    with store.write() as connection:
        connection.execute(table.update().where(*waiting).values(claimed_by=run_id))
        return len(connection.execute(table.select().with_only_columns(table.c.id).where(*mine)).all())


def settled(store: Store, run_id: str, done: Iterable[int] = (), failed: Iterable[NewFailure] = ()) -> None:
    """Remove what succeeded, and let what failed again wait with its new error. Only what the run claimed is touched.

    :param done: ids of the letters that succeeded
    :raises StoreError: the store cannot be written
    """
    from sqlalchemy import bindparam

    table = store.tables.dead_letters
    for group in groups(done):
        with store.write() as connection:
            connection.execute(table.delete().where(table.c.id.in_(group), table.c.claimed_by == run_id))
    again = (
        table.update()
        .where(table.c.id == bindparam("letter"), table.c.claimed_by == run_id)
        .values(
            error=bindparam("new_error"),
            failure_type=bindparam("new_type"),
            attempts=table.c.attempts + 1,
            claimed_by=None,
        )
    )
    for failures in groups(failed):
        rows = [
            {"letter": failure.id, "new_error": failure.error[:MAX_ERROR], "new_type": failure.failure_type}
            for failure in sorted(failures, key=lambda each: each.id)
        ]
        with store.write() as connection:
            connection.execute(again, rows)


def release(store: Store, run_id: str, flow: str | None = None) -> int:
    """Let what a run claimed and never settled wait again; return how many these are.

    :param flow: the run's, as two flows may have runs of one name
    :raises StoreError: the store cannot be written
    """
    table = store.tables.dead_letters
    with store.write() as connection:
        claimed = conditions(store, Wanted(flow, claimed_by=run_id))
        return connection.execute(table.update().where(*claimed).values(claimed_by=None)).rowcount
