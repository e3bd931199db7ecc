"""Which deliveries a run could take now, as SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from flowmate_airflow.store.deliveryrows import CLAIMED, RECEIVED

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, FromClause, Table


def takeable(table: Table, moment: datetime) -> list[ColumnElement[bool]]:
    """Return the SQL of those that a run could take now."""
    # Without the first, the index of unfinished ones would not be used.
    return [table.c.finished_at.is_(None), table.c.status == RECEIVED, table.c.available_at <= moment]


def in_turn(table: Table, moment: datetime, only: Sequence[int] | None = None) -> ColumnElement[bool]:
    """Return the SQL of those that need not wait for another one with the same key.

    No database can guess how many there are; a join it would plan for one, and be slow with many. So it makes a set of
    the keys of which any rests, once, and only for those that are in it asks the index.

    :param only: ids of those that are taken together; None: all can be
    """
    from sqlalchemy import and_, case, exists, or_, select, true, tuple_

    def pauses(row: FromClause) -> list[ColumnElement[bool]]:
        return [row.c.available_at > moment, *([] if only is None else [row.c.id.not_in(only)])]

    keys = ("endpoint", "tenant", "order_key")
    rests, other = table.alias(), table.alias()
    resting = select(*(rests.c[name] for name in keys)).where(
        rests.c.finished_at.is_(None), rests.c.order_key.is_not(None), or_(rests.c.status == CLAIMED, *pauses(rests))
    )
    same = [other.c.finished_at.is_(None), *(other.c[name] == table.c[name] for name in keys)]
    is_taken = exists().where(*same, other.c.status == CLAIMED)
    # With the sum SQLite does not take the index of all that are open for this, and go through all that are earlier.
    is_behind = exists().where(*same, other.c.status == RECEIVED, other.c.id + 0 < table.c.id, or_(*pauses(other)))
    of_these = tuple_(*(table.c[name] for name in keys)).in_(resting)
    # As a case, not with NOT IN: for that SQLite would go through the whole set in search of a NULL.
    return case((of_these, and_(~is_taken, ~is_behind)), else_=true())
