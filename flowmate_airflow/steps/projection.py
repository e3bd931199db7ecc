"""The fields of a record that a step's `select` asks for, for sources that send more than they were asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flowmate_airflow.protocols.streams import SelectedStream

_MAX_LISTS = 20
"""Lists in lists that are looked through; deeper ones are left out."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Which fields of a record are kept.

    :param fields: with dots where they are nested; each is kept whole
    :param parents: the objects that they are in
    """

    fields: frozenset[str]
    parents: frozenset[str]


class Projection:
    """Cuts records to the wanted streams and fields.

    :param selected: the streams that are wanted
    """

    def __init__(self, selected: Iterable[SelectedStream]) -> None:
        self._cuts = {each.stream.name: None if each.fields is None else cut_to(each.fields) for each in selected}
        # Where a source has but one stream, its messages need not name it.
        self._only = next(iter(self._cuts)) if len(self._cuts) == 1 else None
        self.changes_nothing = not self._cuts

    def wants(self, stream: str | None) -> bool:
        """Whether a message's stream is wanted."""
        return (stream or self._only) in self._cuts

    def cut(self, stream: str | None, data: Any) -> tuple[Any, bool]:
        """Return a record's wanted fields, and whether that is less than it had."""
        cut = self._cuts[stream or self._only or ""]
        if cut is None or not isinstance(data, dict):
            return data, False
        return _kept(data, cut, ""), True


def cut_to(fields: frozenset[str]) -> Cut:
    """Return the cut that keeps some fields."""
    return Cut(fields, frozenset(parent for field in fields for parent in _parents(field)))


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _kept(data: Mapping[str, Any], cut: Cut, prefix: str) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    # By the record's own names, as one of them may have dots in it.
    for name, value in data.items():
        full = prefix + name
        if full in cut.fields:
            kept[name] = value
        elif full in cut.parents and _has_fields(value):
            kept[name] = _inner(value, cut, f"{full}.")
    return kept


def _has_fields(value: Any) -> bool:
    """Whether there may be fields in a value, or nothing at all: any other one is not what was asked for."""
    return value is None or isinstance(value, dict | list)


def _inner(value: Any, cut: Cut, prefix: str, depth: int = 0) -> Any:
    if isinstance(value, dict):
        return _kept(value, cut, prefix)
    if isinstance(value, list):
        inner = value if depth < _MAX_LISTS else ()
        return [_inner(each, cut, prefix, depth + 1) for each in inner if _has_fields(each)]
    return value
