"""What the modules of the store share to speak to both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Table

T = TypeVar("T")
GROUP = 500
"""How many rows, or values of a condition, one statement takes."""
GROUP_BYTES = 4 * 1024 * 1024
"""How much of people's data is read or written at a time."""


def now() -> datetime:
    """Return this moment."""
    return datetime.now(timezone.utc)


def groups(items: Iterable[T], size: int = GROUP) -> Iterator[list[T]]:
    """Yield items in lists of a size; the last may be shorter."""
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group


def sized_groups(items: Iterable[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield items in lists that are bounded by number and by the bytes that the items stand for."""
    group: list[T] = []
    size = 0
    for item in items:
        group.append(item)
        size += size_of(item)
        if len(group) >= GROUP or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    *,
    change: Sequence[str] | None = None,
    where: ColumnElement[bool] | None = None,
    in_order: bool = False,
) -> int:
    """Insert rows; those whose key is there already are changed.

    :param keys: the columns of the key
    :param change: the columns that change, all others by default
    :param where: which of the old rows may be changed
    :param in_order: whether the rows are written in the order given; else in that of their keys, the same for all, so
        that two transactions never wait for each other's rows
    :return: how many rows were written, for one row only; drivers do not count those of several
    """
    if not rows:
        return 0
    insert: Any
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert
    else:
        from sqlalchemy.dialects.postgresql import insert
    statement = insert(table)
    names = change if change is not None else [name for name in rows[0] if name not in keys]
    changes = {name: statement.excluded[name] for name in names}
    statement = statement.on_conflict_do_update(index_elements=list(keys), set_=changes, where=where)
    ordered = rows if in_order else sorted(rows, key=lambda row: tuple(row[key] for key in keys))
    result: Any = connection.execute(statement, list(ordered) if len(ordered) > 1 else ordered[0])
    return int(result.rowcount)
