"""What has changed between two catalogs of one source, and whether what reads it may break by that.

A change breaks when a record may have what the old catalog did not allow, or lack what it had.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from flowmate_airflow.protocols.streams import JsonSchema, Stream
from flowmate_airflow.steps.schemafields import ANY, MAX_DEPTH, MAX_WALK, Fields, fields_of
from flowmate_airflow.steps.selection import full_name

ChangeKind: TypeAlias = Literal[
    "table added",
    "table removed",
    "field added",
    "field removed",
    "type changed",
    "nullable changed",
    "key changed",
    "cursor changed",
    "incremental changed",
]
_YES, _NO = "yes", "no"
_GROWS = {("integer", "number")}
"""Types whose values another type has too."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    :param field: with dots where it is nested; None for the table itself
    :param breaking: whether what reads the table may fail or lose data by it
    """

    kind: ChangeKind
    table: str
    breaking: bool
    field: str | None = None
    before: str | None = None
    after: str | None = None

    @property
    def text(self) -> str:
        """The change in words."""
        what = f"field `{self.field}` of `{self.table}`" if self.field else f"table `{self.table}`"
        if self.kind.endswith("added"):
            return f"{what} is new" + (f": {self.after}" if self.after else "")
        if self.kind.endswith("removed"):
            return f"{what} is gone"
        if self.kind in _CHANGED:
            return f"{what} {_CHANGED[self.kind][self.after == _YES]}"
        return (
            f"{what}: its {self.kind.removesuffix(' changed')} was {self.before or 'none'}, is {self.after or 'none'}"
        )

    def as_json(self) -> dict[str, Any]:
        """Return the change for programs."""
        return {
            "kind": self.kind,
            "table": self.table,
            "field": self.field,
            "before": self.before,
            "after": self.after,
            "breaking": self.breaking,
        }


_CHANGED = {
    "nullable changed": ("is never null now", "may be null now"),
    "incremental changed": ("can be read in full only now", "can be read incrementally now"),
}


def drift(old: Iterable[Stream], new: Iterable[Stream]) -> list[Change]:
    """Return what changed, breaking changes first, each group by table and field.

    :param old: the streams as they were
    :param new: the streams as they are
    """
    before = {full_name(stream): stream for stream in old}
    after = {full_name(stream): stream for stream in new}
    changes: list[Change] = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            changes.append(Change("table removed", name, breaking=True))
        elif name not in before:
            changes.append(Change("table added", name, breaking=False))
        else:
            changes += _in_table(name, before[name], after[name])
    return sorted(changes, key=lambda change: (not change.breaking, change.table))


def _in_table(name: str, old: Stream, new: Stream) -> Iterator[Change]:
    if old.primary_key != new.primary_key:
        yield Change("key changed", name, True, before=", ".join(old.primary_key), after=", ".join(new.primary_key))
    if old.cursor != new.cursor:
        yield Change("cursor changed", name, True, before=old.cursor, after=new.cursor)
    if old.incremental != new.incremental:
        lost = not new.incremental
        yield Change("incremental changed", name, lost, before=_yes(old.incremental), after=_yes(new.incremental))
    if old.schema != new.schema:
        referred = _referred(old.schema) == _referred(new.schema)
        yield from _in_fields(name, fields_of(old.schema), fields_of(new.schema), quick=referred)


def _referred(schema: JsonSchema) -> dict[str, Any]:
    """Return what fields may refer to, such as definitions."""
    return {word: value for word, value in schema.items() if word != "properties"}


def _in_fields(table: str, old: Fields, new: Fields, *, quick: bool) -> Iterator[Change]:
    """Yield the changes below two objects; of a field that is new or gone, what is below it is not told.

    :param quick: whether fields that are described in the same words are the same
    """
    rest = [("", 0, old, new)]
    for _ in range(MAX_WALK):
        if not rest:
            return
        prefix, depth, before, after = rest.pop()
        names = sorted(before.children.keys() | after.children.keys())
        both: list[tuple[str, int, Fields, Fields]] = []
        for name in names:
            full = prefix + name
            if name not in after.children:
                yield Change("field removed", table, True, full, before=before.children[name].describe())
            elif name not in before.children:
                yield Change("field added", table, False, full, after=after.children[name].describe())
            else:
                one, other = before.children[name], after.children[name]
                if quick and one.is_same(other):
                    continue
                yield from _in_field(table, full, one, other)
                if depth < MAX_DEPTH and (one.children and other.children):
                    both.append((f"{full}.", depth + 1, one, other))
        rest += reversed(both)


def _in_field(table: str, name: str, old: Fields, new: Fields) -> Iterator[Change]:
    if old.labels != new.labels:
        breaking = not all(_is_allowed(label, old.labels) for label in new.labels)
        yield Change("type changed", table, breaking, name, old.describe(), new.describe())
    if old.nullable != new.nullable:
        yield Change("nullable changed", table, new.nullable, name, _yes(old.nullable), _yes(new.nullable))


def _is_allowed(label: str, known: frozenset[str]) -> bool:
    """Whether every value of a type had been allowed before."""
    plain = label.partition(" (")[0]  # a format only narrows what a value may be
    if {label, plain, ANY} & known or ("list" in known and plain.startswith("list ")):
        return True
    return any((plain, each) in _GROWS for each in known)


def _yes(value: bool) -> str:
    return _YES if value else _NO
