"""The fields that a JSON Schema describes, found as they are asked for: a table may have thousands, and be recursive.

A field of an object in a list counts as a field of the list, as field maps write it: `lines.price`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

from flowmate_airflow.protocols.streams import JsonSchema

MAX_WALK = 200_000
"""How many fields of one table are looked at: references in a schema can make endless ones."""
MAX_DEPTH = 24
_MAX_PARTS = 200
_MAX_LISTS = 5
_MAX_ALIKE = 4
"""Fields whose names are alike because some have dots of their own."""
_WRAPPERS = ("anyOf", "oneOf", "allOf", "$ref")
_JSON_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (str, "string"),
    (int, "integer"),
    (float, "number"),
    (list, "array"),
    (dict, "object"),
)
ANY = "anything"

_Schemas: TypeAlias = Sequence[Mapping[str, Any]]


class Fields:
    """One field, or a whole record, with the fields below it.

    :param schemas: what describes it; any of them may
    :param root: the whole schema, for references into it
    :param above: the schemas it stands in, so that one that refers to itself ends
    """

    def __init__(self, schemas: _Schemas, root: JsonSchema, above: frozenset[int] = frozenset()) -> None:
        self._schemas = schemas
        self._root = root
        self._above = above

    @cached_property
    def children(self) -> dict[str, Fields]:
        """The fields directly below, in the schema's order."""
        objects = self._objects
        own = frozenset(map(id, objects))
        if own & self._above:
            return {}
        found: dict[str, list[Mapping[str, Any]]] = {}
        for part in objects:
            properties = part.get("properties")
            for name, schema in properties.items() if isinstance(properties, Mapping) else ():
                found.setdefault(str(name), []).append(schema if isinstance(schema, Mapping) else {})
        above = self._above | own
        return {name: Fields(schemas, self._root, above) for name, schemas in found.items()}

    @property
    def is_open(self) -> bool:
        """Whether there may be fields below that the schema does not name."""
        if any(part.get("patternProperties") for part in self._objects):
            return True
        inner = {name for part in self._objects for name in _types(part)}
        return not self.children and bool({"object", ANY} & inner or inner - {"null"} == {"array"})

    @cached_property
    def types(self) -> frozenset[str]:
        """What a value may be, in JSON Schema's words; `null` left out."""
        return frozenset(name for part in self._parts for name in _types(part)) - {"null"} or frozenset({ANY})

    @cached_property
    def nullable(self) -> bool:
        """Whether a value may be null: where the schema says so, or says nothing."""
        return any("null" in _types(part) or ANY in _types(part) for part in self._parts)

    @cached_property
    def labels(self) -> frozenset[str]:
        """What a value may be, precisely: with formats, and with what is in a list."""
        return _labels(self._parts, self._root)

    def is_same(self, other: Fields) -> bool:
        """Whether two fields are described in the same words. What they refer to may differ."""
        return self._schemas == other._schemas

    def find(self, name: str) -> Fields | None:
        """Return the field of a name with dots, which may be parts of the names themselves."""
        child = self.children.get(name)
        if child is None and "." in name:
            child = next(iter(self._reached(name).get(name.count(".") + 1, ())), None)
        return child

    def nearest(self, name: str) -> tuple[str, Fields]:
        """Return how much of a name is known, with the field it names: the record itself, when nothing is."""
        reached = self._reached(name)
        known = max(reached)
        return ".".join(name.split(".")[:known]), reached[known][0]

    def may_have(self, name: str) -> bool:
        """Whether there is a field of a name with dots, or may be one that the schema does not name."""
        if name in self.children:
            return True
        reached = self._reached(name)
        return name.count(".") + 1 in reached or any(field.is_open for fields in reached.values() for field in fields)

    def walk(self) -> Iterator[tuple[str, Fields]]:
        """Yield every field below with its name, an object before its fields; at most :data:`MAX_WALK`."""
        rest = [(name, 1, child) for name, child in reversed(self.children.items())]
        for _ in range(MAX_WALK):
            if not rest:
                return
            name, depth, field = rest.pop()
            yield name, field
            if depth < MAX_DEPTH:
                rest += [(f"{name}.{below}", depth + 1, inner) for below, inner in reversed(field.children.items())]

    def describe(self) -> str:
        """Return the type in words for people, such as `string (date-time)` or `list of object`."""
        return " or ".join(sorted(self.labels))

    def _reached(self, name: str) -> dict[int, list[Fields]]:
        """Return the fields along a name, by how many of its parts lead to them."""
        parts = name.split(".")
        reached = {0: [self]}
        for start in range(len(parts)):
            for field in reached.get(start, ()):
                for end in range(start + 1, len(parts) + 1) if field.children else ():
                    child = field.children.get(".".join(parts[start:end]))
                    if child is not None and len(reached.setdefault(end, [])) < _MAX_ALIKE:
                        reached[end].append(child)
        return reached

    @cached_property
    def _parts(self) -> _Schemas:
        return _expanded(self._schemas, self._root)

    @cached_property
    def _objects(self) -> _Schemas:
        """What describes the field or, for a list, what is in it; lists in lists are looked through."""
        found = list(self._parts)
        parts: _Schemas = found
        for _ in range(_MAX_LISTS):
            parts = _expanded([item for part in parts for item in _items_of(part)], self._root)
            found += parts
            if not parts:
                break
        return found


def fields_of(schema: JsonSchema) -> Fields:
    """Return the fields of a record."""
    return Fields([schema], schema)


def _expanded(schemas: _Schemas, root: JsonSchema) -> _Schemas:
    """Return schemas with all that they are put together of, and no more than is sane."""
    found: list[Mapping[str, Any]] = []
    seen: set[int] = set()
    rest = list(reversed(schemas))
    while rest and len(found) < _MAX_PARTS:
        part = rest.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        found.append(part)
        for word in ("anyOf", "oneOf", "allOf"):
            inner = part.get(word)
            rest += reversed([each for each in inner if isinstance(each, Mapping)]) if isinstance(inner, list) else []
        target = _target(part.get("$ref"), root)
        if target is not None:
            rest.append(target)
    return found


def _target(reference: Any, root: JsonSchema) -> Mapping[str, Any] | None:
    """Return what a reference within the schema points at."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    place: Any = root
    for part in reference.removeprefix("#").split("/")[1:]:
        place = place.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(place, Mapping) else None
    return place if isinstance(place, Mapping) else None


def _labels(parts: _Schemas, root: JsonSchema, depth: int = 0) -> frozenset[str]:
    found: set[str] = set()
    for part in parts:
        for name in _types(part):
            items = _expanded(_items_of(part), root) if name == "array" and depth < _MAX_LISTS else ()
            form = part.get("format") or part.get("airbyte_type")
            if items:
                found |= {f"list of {label}" for label in _labels(items, root, depth + 1)}
            elif name != "null":
                plain = "list" if name == "array" else name
                found.add(f"{plain} ({form})" if isinstance(form, str) and name != "array" else plain)
    return frozenset(found or {ANY})


def _items_of(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    items = part.get("items")
    each = items if isinstance(items, list) else [items]
    return [item for item in each if isinstance(item, Mapping)]


def _types(part: Mapping[str, Any]) -> list[str]:
    """Return the types that one schema names, or that it lets guess; none for one that only joins others."""
    kind = part.get("type")
    if kind is not None:
        return [str(name) for name in (kind if isinstance(kind, list) else [kind])]
    if "properties" in part or "items" in part:
        return ["object" if "properties" in part else "array"]
    values = part.get("enum", [part["const"]] if "const" in part else None)
    if isinstance(values, list) and values:
        return sorted({_type_of(value) for value in values})
    return [] if any(word in part for word in _WRAPPERS) else [ANY]


def _type_of(value: Any) -> str:
    return next((name for kind, name in _JSON_TYPES if isinstance(value, kind)), "null")
