"""The state of an Airbyte source: one for each stream, one for all, or one of the old kind."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from flowmate_airflow.protocols.airbyte_names import StreamKey, descriptor_key
from flowmate_airflow.protocols.events import ProtocolError, RequestError

_KEYS = {"STREAM": "stream", "GLOBAL": "global", "LEGACY": "data"}


class SourceState:
    """All that a source must be told at its next start.

    :param stored: what was kept after an earlier run
    :param streams: the streams that will be read
    :raises RequestError: that is no state of an Airbyte source
    """

    def __init__(self, stored: Any, streams: Collection[StreamKey] = ()) -> None:
        self._streams: dict[StreamKey, dict[str, Any]] = {}
        self._global: dict[str, Any] | None = None
        self._legacy: dict[str, Any] | None = None
        self._told: set[StreamKey] = set()
        for entry in _stored_entries(stored, streams):
            try:
                self._set(entry)
            except ProtocolError:
                raise _unusable() from None

    def take(self, entry: Mapping[str, Any]) -> StreamKey | None:
        """Take a state that the source sent.

        :returns: the stream it is about; None: it is about all
        :raises ProtocolError: it is no state
        """
        kind = kind_of(entry)
        if kind == "GLOBAL" and self._global is None:
            # The source has changed from a state for each stream to one for all. It must not get both next time.
            self._streams = {key: value for key, value in self._streams.items() if key in self._told}
        key = self._set(entry)
        if key is not None:
            self._told.add(key)
        return key

    def whole(self) -> list[dict[str, Any]]:
        """Return the whole state, as it is kept."""
        entries = [] if self._legacy is None else [self._legacy]
        entries += [] if self._global is None else [self._global]
        return [*entries, *self._streams.values()]

    def for_source(self) -> Any:
        """Return the state as the source takes it; None: there is none."""
        if self._legacy is not None:
            return self._legacy["data"]
        return self.whole() or None

    def _set(self, entry: Mapping[str, Any]) -> StreamKey | None:
        kind = kind_of(entry)
        if kind == "LEGACY":
            self._legacy = {"type": kind, "data": entry["data"]}
            self._global, self._streams = None, {}
            return None
        self._legacy = None
        part = entry[_KEYS[kind]]
        if kind == "GLOBAL":
            # What it leaves out is gone: a stream that comes back later has to be read from its beginning.
            self._global = {"type": kind, "global": part}
            return None
        key = descriptor_key(part.get("stream_descriptor"))
        self._streams[key] = {"type": kind, "stream": part}
        return key


def kind_of(entry: Mapping[str, Any]) -> str:
    """Return whether a state is `STREAM`, `GLOBAL` or `LEGACY`; sources of old leave that out.

    :raises ProtocolError: it is none of them
    """
    told = entry.get("type")
    for kind, key in _KEYS.items():
        if told in (None, kind) and isinstance(entry.get(key), dict):
            return kind
    raise ProtocolError("a state is neither about a stream nor about all streams nor of the old kind")


def _stored_entries(stored: Any, streams: Collection[StreamKey]) -> list[Mapping[str, Any]]:
    if stored is None or stored == [] or stored == {}:
        return []
    if isinstance(stored, Mapping):
        return [stored] if stored.get("type") in _KEYS else _entries_of_old(stored, streams)
    if isinstance(stored, list) and all(isinstance(each, Mapping) for each in stored):
        return stored
    raise _unusable()


def _entries_of_old(stored: Mapping[str, Any], streams: Collection[StreamKey]) -> list[Mapping[str, Any]]:
    """Return the entries that an object of the old kind stands for: by name of the stream, for most sources."""
    if "bookmarks" in stored:  # Singer's
        raise _unusable()
    known = {key.name: key for key in streams}
    if not all(name in known and isinstance(state, Mapping) for name, state in stored.items()):
        return [{"type": "LEGACY", "data": dict(stored)}]
    return [
        {"type": "STREAM", "stream": {"stream_descriptor": known[name].descriptor, "stream_state": state}}
        for name, state in stored.items()
    ]


def _unusable() -> RequestError:
    return RequestError(
        "the stored state is not one of an Airbyte source, or of a version that is not known: reset it with "
        "`flowmate state reset`, or set the one that the source wrote"
    )
