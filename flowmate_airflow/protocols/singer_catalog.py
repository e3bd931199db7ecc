"""A Singer catalog: what a tap can read, and what of it is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import orjson

from flowmate_airflow.protocols.events import ProtocolError
from flowmate_airflow.protocols.streams import OPEN_SCHEMA, SelectedStream, Stream

Breadcrumb: TypeAlias = tuple[str, ...]
"""Where a piece of metadata belongs: empty for the stream, `("properties", "customer", "properties", "email")`."""


def read_catalog(catalog: Mapping[str, Any]) -> list[Stream]:
    """Return the streams of a catalog.

    :raises ProtocolError: it is no catalog
    """
    entries = catalog.get("streams")
    if not isinstance(entries, list):
        raise ProtocolError("its catalog has no list `streams`")
    names = [_name(entry, number) for number, entry in enumerate(entries, start=1)]
    return [
        # Where two schemas of a database have a table of the same name, only the id tells them apart.
        _stream(entry, str(entry.get("tap_stream_id") or name) if names.count(name) > 1 else name)
        for name, entry in zip(names, entries, strict=True)
    ]


def selected_catalog(selected: Sequence[SelectedStream], *, classic: bool = False) -> dict[str, Any]:
    """Return the catalog that makes a tap read the selected streams and fields and nothing else.

    :param classic: for taps that look into the schemas (`--properties`) and not at the metadata
    """
    return {"streams": [_selected_entry(each, classic) for each in selected]}


class Wanted(NamedTuple):
    """What is wanted of a stream's records.

    :param name: what the stream is called in the field map
    :param left_out: fields that are not wanted, those of nested objects apart
    """

    name: str
    left_out: frozenset[str]


def wanted_records(selected: Sequence[SelectedStream], catalog: Mapping[str, Any]) -> dict[str, Wanted | None]:
    """Return what is wanted of the records, by the stream that they carry: taps write its name into them, or its id.

    None stands where a name means several streams.

    :param catalog: what :func:`selected_catalog` made of the selection
    """
    found: dict[str, Wanted | None] = {}
    for chosen, entry in zip(selected, catalog["streams"], strict=True):
        unwanted = frozenset(
            part["breadcrumb"][1]
            for part in entry["metadata"]
            if len(part["breadcrumb"]) == 2 and not part["metadata"].get("selected", True)
        )
        wanted = Wanted(chosen.stream.name, unwanted)
        for name in {chosen.stream.name, str(entry["stream"]), str(entry["tap_stream_id"])}:
            found[name] = None if name in found else wanted
    return found


def _name(entry: Any, number: int) -> str:
    name = (entry.get("stream") or entry.get("tap_stream_id")) if isinstance(entry, dict) else None
    if not isinstance(name, str):
        raise ProtocolError(f"entry {number} of its catalog has no name `stream`")
    return name


def _stream(entry: Mapping[str, Any], name: str) -> Stream:
    schema, metadata = entry.get("schema"), _metadata(entry)
    if not isinstance(schema, dict):
        raise ProtocolError(f"the stream `{name}` of its catalog has no object `schema`")
    root = metadata.get((), {})
    key = _first_list(root.get("table-key-properties"), entry.get("key_properties"), root.get("view-key-properties"))
    inclusions = {dotted(place): _inclusion(part, metadata.get(place)) for place, part in _properties(schema)}
    cursor = _cursor(entry, root)
    method = root.get("forced-replication-method") or root.get("replication-method") or entry.get("replication_method")
    return Stream(
        name=name,
        schema=_without(schema, {path for path, inclusion in inclusions.items() if inclusion == "unsupported"}),
        primary_key=tuple(key),
        cursor=cursor,
        automatic=frozenset(path for path, inclusion in inclusions.items() if inclusion == "automatic"),
        incremental=(cursor is not None and not (_forced(root) and method == "FULL_TABLE")) or method == "LOG_BASED",
        raw=entry,
    )


def _selected_entry(chosen: SelectedStream, classic: bool) -> dict[str, Any]:
    stream = chosen.stream
    entry: dict[str, Any] = orjson.loads(orjson.dumps(stream.raw)) if isinstance(stream.raw, dict) else {}
    entry.setdefault("tap_stream_id", stream.name)
    entry.setdefault("stream", stream.name)
    schema = entry.setdefault("schema", dict(stream.schema or OPEN_SCHEMA))
    metadata = _metadata(entry)
    root = metadata.setdefault((), {})
    root["selected"] = True
    _set_replication(entry, root, chosen)
    wanted = _Wanted(chosen, {*stream.primary_key, *_list(root.get("table-key-properties")), _replication_key(entry)})
    schemas = dict(_properties(schema))
    for crumb in [*schemas, *(crumb for crumb in metadata if crumb and crumb not in schemas)]:
        about, part = metadata.setdefault(crumb, {}), schemas.get(crumb)
        about["selected"] = wanted.has(crumb, _inclusion(part, about))
        if classic and isinstance(part, dict):
            part["selected"] = about["selected"]
    if classic:
        schema["selected"] = True
    entry["metadata"] = [{"breadcrumb": list(crumb), "metadata": about} for crumb, about in metadata.items()]
    return entry


class _Wanted:
    """Which properties of a stream shall be read."""

    def __init__(self, chosen: SelectedStream, keys: Iterable[str | None]) -> None:
        self._all = chosen.fields is None
        self._fields = chosen.fields or frozenset()
        self._parents = {parent for field in self._fields for parent in _parents(field)}
        self._always = {*keys, *chosen.stream.automatic}
        self._parents |= {parent for field in self._always if field for parent in _parents(field)}

    def has(self, crumb: Breadcrumb, inclusion: str | None) -> bool:
        """Return whether the property is read: an object with any of its fields, and a field with its object."""
        if inclusion == "unsupported":
            return False
        path = dotted(crumb)
        if self._all or inclusion == "automatic" or path in self._always or path in self._fields:
            return True
        return path in self._parents or any(parent in self._fields for parent in _parents(path))


def _set_replication(entry: dict[str, Any], root: dict[str, Any], chosen: SelectedStream) -> None:
    if _forced(root):
        return  # the tap leaves no choice
    if chosen.mode == "full":
        root["replication-method"] = entry["replication_method"] = "FULL_TABLE"
        return
    key = chosen.cursor or chosen.stream.cursor
    if key:
        root["replication-method"] = entry["replication_method"] = "INCREMENTAL"
        root["replication-key"] = entry["replication_key"] = key


def _replication_key(entry: Mapping[str, Any]) -> str | None:
    key = entry.get("replication_key")
    return key if isinstance(key, str) else None


def _forced(root: Mapping[str, Any]) -> bool:
    return bool(root.get("forced-replication-method"))


def _cursor(entry: Mapping[str, Any], root: Mapping[str, Any]) -> str | None:
    candidates = (entry.get("replication_key"), root.get("replication-key"), *_list(root.get("valid-replication-keys")))
    return next((key for key in candidates if isinstance(key, str) and key), None)


def _metadata(entry: Mapping[str, Any]) -> dict[Breadcrumb, dict[str, Any]]:
    found: dict[Breadcrumb, dict[str, Any]] = {}
    for part in _list(entry.get("metadata")):
        about, crumb = (part.get("metadata"), part.get("breadcrumb")) if isinstance(part, dict) else (None, None)
        if isinstance(about, dict) and isinstance(crumb, list) and all(isinstance(name, str) for name in crumb):
            found[tuple(crumb)] = dict(about)
    return found


def _properties(schema: Mapping[str, Any]) -> Iterator[tuple[Breadcrumb, Any]]:
    """Yield each property of a schema, those of nested objects too, with its breadcrumb."""
    rest: list[tuple[Breadcrumb, Any]] = [((), schema)]
    while rest:
        crumb, part = rest.pop()
        if crumb:
            yield crumb, part
        inner = part.get("properties") if isinstance(part, dict) else None
        if isinstance(inner, dict):
            rest += reversed([((*crumb, "properties", name), child) for name, child in inner.items()])


def _without(schema: dict[str, Any], paths: set[str]) -> dict[str, Any]:
    if not paths:
        return schema
    copy: dict[str, Any] = orjson.loads(orjson.dumps(schema))
    for crumb, _ in list(_properties(copy)):
        if dotted(crumb) in paths:
            _remove(copy, crumb)
    return copy


def _remove(schema: Any, crumb: Breadcrumb) -> None:
    for name in crumb[:-1]:
        schema = schema.get(name, {})
    schema.pop(crumb[-1], None)


def dotted(crumb: Breadcrumb) -> str:
    """Return a breadcrumb as people write a field: `customer.email`."""
    names, rest = [], iter(crumb)
    for word in rest:
        if word == "properties":
            names.append(next(rest, ""))
    return ".".join(names)


def _parents(path: str) -> Iterator[str]:
    while "." in path:
        path = path.rpartition(".")[0]
        yield path


def _inclusion(schema: Any, about: Mapping[str, Any] | None) -> str | None:
    value = (about or {}).get("inclusion") or (schema.get("inclusion") if isinstance(schema, dict) else None)
    return value if isinstance(value, str) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _first_list(*values: Any) -> list[str]:
    return next(([str(each) for each in value] for value in values if isinstance(value, list) and value), [])
