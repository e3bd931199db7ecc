"""What a source shall read: the flow's field map, laid over the streams that the source says it has."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from flowmate_airflow.flows.fieldmaps import FieldMap
from flowmate_airflow.protocols.streams import SelectedStream, Stream, SyncMode
from flowmate_airflow.steps.catalogs import streams_from_json, streams_to_json
from flowmate_airflow.steps.drift import drift
from flowmate_airflow.steps.memory import Memory
from flowmate_airflow.steps.narrowing import common
from flowmate_airflow.steps.selection import SelectionError, select_streams
from flowmate_airflow.steps.steplog import Log

MAX_TOLD = 20
"""Changes of a source that are told one by one."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source is to read, as the flow says it.

    :param further: more field maps; only what all of them name is read
    """

    select: FieldMap | None = None
    mode: SyncMode = "incremental"
    cursors: Mapping[str, str] = field(default_factory=dict)
    further: tuple[FieldMap, ...] = ()

    def narrowed(self, *field_maps: FieldMap) -> Reading:
        """Return the same with field maps that may leave out more, and never add anything."""
        maps = [each for each in (self.select, *self.further, *field_maps) if each is not None]
        return replace(self, select=maps[0] if maps else None, further=tuple(maps[1:]))

    def chosen(self, streams: list[Stream] | None) -> list[SelectedStream]:
        """Return the streams and fields to read.

        :param streams: what the source has; None: it cannot say
        :raises SelectionError: a field map names what there is not, or all of them together leave nothing
        """
        chosen = select_streams(self.select, streams, mode=self.mode, cursors=self.cursors)
        for each in self.further:
            cursors = self.cursors if streams is not None else {k: v for k, v in self.cursors.items() if k in each}
            chosen = common(chosen, select_streams(each, streams, mode=self.mode, cursors=cursors), streams)
        return chosen


class Catalog:
    """The streams of one source with one account, remembered for a while.

    :param key: connector, Connection, and what else decides which streams there are
    :param ask: asks the source
    """

    def __init__(self, memory: Memory, key: tuple[str, str, str], ask: Callable[[], list[Stream]], log: Log) -> None:
        self._memory = memory
        self._key = key
        self._ask = ask
        self._log = log

    def chosen(self, reading: Reading) -> list[SelectedStream]:
        """Return what to read. The source is asked when that was long ago, or when it seems to lack something.

        :raises SelectionError: the flow names what there is not
        :raises StoreError: the memory fails
        """
        known = self._memory.catalog(*self._key)
        if known is not None and not known.is_old:
            try:
                return reading.chosen(streams_from_json(known.streams))
            except SelectionError:
                self._log(logging.INFO, "the step asks for what the source did not have when it was last asked")
        streams = self._ask()
        if known is not None:
            self._tell_changes(streams_from_json(known.streams), streams)
        self._memory.keep_catalog(*self._key, streams_to_json(streams))
        return reading.chosen(streams)

    def _tell_changes(self, before: list[Stream], now: list[Stream]) -> None:
        changes = drift(before, now)
        for change in changes[:MAX_TOLD]:
            self._log(logging.WARNING if change.breaking else logging.INFO, f"the source has changed: {change.text}")
        if len(changes) > MAX_TOLD:
            self._log(logging.WARNING, f"the source has changed in {len(changes) - MAX_TOLD:,} more places")
