"""The fields of a record that a step's `select` asks for, for sources that send more than they were asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from flowmate_airflow.protocols.streams import SelectedStream

Tree: TypeAlias = "dict[str, Tree | None]"
"""Names of fields; None behind a name means all that is below it."""


class Projection:
    """Cuts records to the wanted streams and fields.

    :param selected: the streams that are wanted
    """

    def __init__(self, selected: Iterable[SelectedStream]) -> None:
        self._trees = {each.stream.name: None if each.fields is None else tree_of(each.fields) for each in selected}
        # Where a source has but one stream, its messages need not name it.
        self._only = next(iter(self._trees)) if len(self._trees) == 1 else None
        self.changes_nothing = not self._trees

    def wants(self, stream: str | None) -> bool:
        """Whether a message's stream is wanted."""
        return (stream or self._only) in self._trees

    def cut(self, stream: str | None, data: Any) -> tuple[Any, bool]:
        """Return a record's wanted fields, and whether that is less than it had."""
        tree = self._trees[stream or self._only or ""]
        if tree is None or not isinstance(data, dict):
            return data, False
        kept = _cut(data, tree)
        return kept, True


def tree_of(fields: Iterable[str]) -> Tree:
    """Return fields with dots as nested names."""
    tree: Tree = {}
    for field in sorted(fields):
        place = tree
        *parents, last = field.split(".")
        for parent in parents:
            inner = place.setdefault(parent, {})
            if inner is None:  # the whole of it is wanted already
                break
            place = inner
        else:
            place[last] = None
    return tree


def _cut(data: Mapping[str, Any], tree: Tree) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, inner in tree.items():
        if name not in data:
            continue
        value = data[name]
        if inner is not None and isinstance(value, dict):
            value = _cut(value, inner)
        elif inner is not None and isinstance(value, list):
            value = [_cut(each, inner) if isinstance(each, dict) else each for each in value]
        kept[name] = value
    return kept
