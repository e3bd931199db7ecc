"""Comparing what two runs gave."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flowmate_airflow.authoring.conformance.seen import Record, Seen

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?")
_EPOCH = range(946_684_800, 4_102_444_800)
"""Seconds from 2000 to 2100."""


def differences(first: Seen, second: Seen) -> tuple[list[str], list[str]]:
    """Return how two reads differ that should be the same, and which fields hold the moment of reading.

    Records whose keys are the same may differ in fields that hold a moment: a source may write there when it was read.
    """
    if Counter(record.digest for record in first.records) == Counter(record.digest for record in second.records):
        return [], []
    wrong: list[str] = []
    moments: set[str] = set()
    for name in sorted({record.stream or "" for record in (*first.records, *second.records)}):
        before = [record for record in first.records if (record.stream or "") == name]
        after = [record for record in second.records if (record.stream or "") == name]
        label = f"stream `{name}`" if name else "messages"
        if len(before) != len(after):
            wrong.append(f"{label}: {len(before):,} records, then {len(after):,}")
            continue
        changed = _changed_fields(before, after, _key(first, second, name))
        if changed is None:
            wrong.append(f"{label}: the records are others the second time")
        elif unlike := sorted(field for field, moment in changed.items() if not moment):
            wrong.append(f"{label}: the fields {', '.join(f'`{each}`' for each in unlike[:5])} have other values")
        else:
            moments.update(f"{name}.{field}" if name else field for field in changed)
    return wrong, sorted(moments)


def missing(whole: Seen, parts: Sequence[Record]) -> list[str]:
    """Return how many records of a full read some others lack, by stream; records are the same if their keys are."""
    lacking: list[str] = []
    for name in sorted({record.stream or "" for record in whole.records}):
        stream = whole.streams.get(name)
        key = stream.primary_key if stream is not None else ()
        wanted = Counter(_identity(record, key) for record in whole.records if (record.stream or "") == name)
        got = Counter(_identity(record, key) for record in parts if (record.stream or "") == name)
        lost = sum(count for identity, count in wanted.items() if identity not in got)
        if lost:
            lacking.append(f"{lost:,} of {sum(wanted.values()):,}" + (f" records of `{name}`" if name else " messages"))
    return lacking


def repeated(first: Seen, second: Seen) -> list[str]:
    """Return which records came again although they are not at the boundary, where a source may read again."""
    told: list[str] = []
    for name in sorted({record.stream or "" for record in second.records}):
        stream = second.streams.get(name) or first.streams.get(name)
        cursor = stream.cursor if stream is not None else None
        before = [record for record in first.records if (record.stream or "") == name]
        known = {record.digest for record in before}
        last = _last(before, cursor)
        again = [
            record
            for record in second.records
            if (record.stream or "") == name and record.digest in known and not _is_last(record, cursor, last)
        ]
        if again:
            label = f"of `{name}`" if name else "of the trigger"
            told.append(f"{len(again):,} records {label}")
    return told


def value_at(data: Any, path: str | None) -> Any:
    """Return a field of a record, with dots where it is nested."""
    if path is None:
        return None
    if isinstance(data, Mapping) and path in data:
        return data[path]
    for part in path.split("."):
        if not isinstance(data, Mapping):
            return None
        data = data.get(part)
    return data


def _changed_fields(before: Sequence[Record], after: Sequence[Record], key: Sequence[str]) -> dict[str, bool] | None:
    """Return the fields that differ, and whether all their values are moments; None where records cannot be paired."""
    if any(record.data is None for record in (*before, *after)):
        return None
    if key:
        paired = {_identity(record, key): record for record in after}
        if any(_identity(record, key) not in paired for record in before):
            return None
        pairs = [(record, paired[_identity(record, key)]) for record in before]
    else:
        pairs = list(zip(before, after, strict=True))
    changed: dict[str, bool] = {}
    for old, new in pairs:
        if not isinstance(old.data, Mapping) or not isinstance(new.data, Mapping):
            return None
        for field in {*old.data, *new.data}:
            if old.data.get(field) != new.data.get(field):
                moment = _is_moment(old.data.get(field)) and _is_moment(new.data.get(field))
                changed[str(field)] = changed.get(str(field), True) and moment
    return changed


def _key(first: Seen, second: Seen, name: str) -> tuple[str, ...]:
    stream = first.streams.get(name) or second.streams.get(name)
    return stream.primary_key if stream is not None else ()


def _identity(record: Record, key: Sequence[str]) -> Any:
    if not key or record.data is None:
        return record.digest
    return repr([value_at(record.data, part) for part in key])


def _last(records: Iterable[Record], cursor: str | None) -> Any:
    values = [value_at(record.data, cursor) for record in records if record.data is not None]
    known = [value for value in values if isinstance(value, str | int | float)]
    kinds = {isinstance(value, str) for value in known}
    return max(known) if known and len(kinds) == 1 else None


def _is_last(record: Record, cursor: str | None, last: Any) -> bool:
    return last is not None and value_at(record.data, cursor) == last


def _is_moment(value: Any) -> bool:
    if isinstance(value, str):
        return bool(_MOMENT.fullmatch(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value in _EPOCH or int(value) // 1000 in _EPOCH
    return False
