"""What several field maps have in common: a tenant's may leave out more than the flow's, and never add anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from flowmate_airflow.protocols.streams import SelectedStream, Stream
from flowmate_airflow.steps.selection import SelectionError


def common(
    first: Sequence[SelectedStream], second: Sequence[SelectedStream], streams: Sequence[Stream] | None
) -> list[SelectedStream]:
    """Return what two selections of the same streams have in common.

    :param streams: what the source offers; None: nobody knows, and then an empty selection is one of everything
    :raises SelectionError: they have no table in common
    """
    if streams is None and not (first and second):
        return [*first, *second]
    others = {each.stream.key: each for each in second}
    both = [
        replace(each, fields=_common_fields(each.fields, others[each.stream.key].fields))
        for each in first
        if each.stream.key in others
    ]
    if not both:
        raise SelectionError(["no table is left to be read: what is chosen for the run is nothing that the step reads"])
    return both


def _common_fields(first: frozenset[str] | None, second: frozenset[str] | None) -> frozenset[str] | None:
    if first is None or second is None:
        return first if second is None else second
    return frozenset(
        name
        for names, others in ((first, second), (second, first))
        for name in names
        if name in others or not others.isdisjoint(_parents(name))
    )


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name
