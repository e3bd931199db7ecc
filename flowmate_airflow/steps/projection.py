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


_UNWANTED = Cut(frozenset(), frozenset())


class Projection:
    """Cuts records to the wanted streams and fields.

    :param selected: the streams that are wanted
    """

    def __init__(self, selected: Iterable[SelectedStream]) -> None:
        self._cuts: dict[tuple[str | None, str | None], Cut | None] = {}
        for each in selected:
            cut = None if each.fields is None else cut_to(each.fields)
            self._cuts[each.stream.name, each.stream.namespace] = cut
            self._cuts.setdefault((each.stream.name, None), cut)
        names = {name for name, _ in self._cuts}
        # Where a source has but one stream, its messages need not name it.
        self._only = next(iter(names)) if len(names) == 1 else None

    def cut(self, stream: str | None, namespace: str | None, data: Any) -> tuple[bool, Any]:
        """Return whether a record is wanted, and its wanted fields.

        :param stream: as the message names it
        :returns: the very same `data` where all of it is wanted
        """
        name = stream or self._only
        cut = self._cuts.get((name, namespace), _UNWANTED)
        if cut is _UNWANTED:
            cut = self._cuts.get((name, None), _UNWANTED)
        if cut is _UNWANTED:
            return False, None
        if cut is None or not isinstance(data, dict):
            return True, data
        return True, _kept(data, cut, "")


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
