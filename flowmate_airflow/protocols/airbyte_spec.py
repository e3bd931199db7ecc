"""What an Airbyte connector's specification says about its settings: which a step may give, and which are secret."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flowmate_airflow.protocols.airbyte_oauth import OAuth, oauth_of

_DEEP = 20
_ALTERNATIVES = ("oneOf", "anyOf")
_MOST_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Secret:
    """A setting that must not stand in a flow.

    :param name: with dots where it is nested
    :param required: whether the connector cannot do without it, in the alternative it belongs to
    :param alternative: the title of the alternative it belongs to, where the connector has several ways
    """

    name: str
    title: str = ""
    description: str = ""
    required: bool = False
    alternative: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """A connector's settings.

    :param fields: JSON Schema properties of those that a step may give, in the order of a form
    :param required: those of them that it must give
    :param secrets: the others
    :param modes: how a destination can store records, as the protocol names it
    :param oauth: how people log in, where the connector knows
    """

    fields: Mapping[str, Any]
    required: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()
    modes: tuple[str, ...] = ()
    oauth: OAuth | None = None


@dataclass(slots=True)
class _Place:
    """Where in a specification we are."""

    definitions: Mapping[str, Any]
    path: tuple[str, ...] = ()
    alternative: str | None = None
    secrets: list[Secret] = field(default_factory=list)
    parts: Iterator[int] = field(default_factory=itertools.count)

    def below(self, name: str) -> _Place:
        return replace(self, path=(*self.path, name))

    def within(self, alternative: str | None) -> _Place:
        return replace(self, alternative=alternative or self.alternative)


def settings_schema(spec: Mapping[str, Any]) -> Settings:
    """Return the settings that a specification describes.

    Alternatives (`oneOf`) stay in the fields. Their secrets do not; the value that tells one alternative from the
    others becomes required, since nothing else may be left to tell it.

    :param spec: the object `spec` of a SPEC message
    :raises ValueError: it describes no settings, or too many
    """
    given = spec.get("connectionSpecification")
    if not isinstance(given, Mapping):
        raise ValueError("the specification has no object `connectionSpecification`")
    place = _Place(definitions=given)
    root = _root(_resolved(given, place))
    schema = _without_secrets(root, place, 0)
    fields = schema.get("properties", {})
    modes = spec.get("supported_destination_sync_modes")
    return Settings(
        fields=dict(sorted(fields.items(), key=_order)),
        required=tuple(name for name in _strings(root.get("required")) if name in fields),
        secrets=tuple(dict.fromkeys(place.secrets)),
        modes=tuple(_strings(modes)),
        oauth=oauth_of(spec.get("advanced_auth")),
    )


def _root(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema with properties; some connectors have alternatives instead."""
    variants = [each for word in _ALTERNATIVES for each in _mappings(schema.get(word))]
    if schema.get("properties") or not variants:
        return schema
    properties: dict[str, Any] = {}
    for variant in variants:
        for name, part in (variant.get("properties") or {}).items():
            properties.setdefault(name, part)
    required = [set(_strings(variant.get("required"))) for variant in variants]
    return {"type": "object", "properties": properties, "required": sorted(set.intersection(*required))}


def _without_secrets(schema: Mapping[str, Any], place: _Place, depth: int) -> dict[str, Any]:
    """Return a schema without its secrets, which are added to the place's."""
    if depth > _DEEP or next(place.parts) > _MOST_PARTS:  # it refers to itself, or means no good
        raise ValueError("the specification is nested too deeply, or has too many settings")
    kept = {key: part for key, part in schema.items() if key not in ("$schema", "$defs", "definitions")}
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        kept["properties"] = _kept_properties(schema, properties, place, depth)
        required = [name for name in _strings(schema.get("required")) if name in kept["properties"]]
        kept.pop("required", None)
        if required:
            kept["required"] = required
    if isinstance(schema.get("items"), Mapping):  # a secret in a list has no name: it cannot be told apart
        kept["items"] = _resolved(schema["items"], place)
    for word in _ALTERNATIVES:
        variants = [_resolved(each, place) for each in _mappings(schema.get(word))]
        if variants:
            kept[word] = _kept_variants(variants, place, depth)
    return kept


def _kept_properties(
    schema: Mapping[str, Any], properties: Mapping[str, Any], place: _Place, depth: int
) -> dict[str, Any]:
    required = set(_strings(schema.get("required")))
    kept = {}
    for name, given in properties.items():
        part = _resolved(given, place)
        here = place.below(name)
        if part.get("airbyte_secret"):
            place.secrets.append(_secret(part, here, name in required))
            continue
        before = len(place.secrets)
        inner = _without_secrets(part, here, depth + 1)
        if len(place.secrets) > before and not inner.get("properties") and not _has_variants(inner):
            continue  # nothing but secrets was in it
        kept[name] = inner
    return kept


def _kept_variants(variants: list[Mapping[str, Any]], place: _Place, depth: int) -> list[dict[str, Any]]:
    kept = []
    for variant in variants:
        title = variant.get("title")
        inner = _without_secrets(variant, place.within(str(title) if title else None), depth + 1)
        required = _strings(inner.get("required"))
        telling = [name for name, part in _properties(inner).items() if _is_constant(part) and name not in required]
        if required or telling:
            inner["required"] = [*required, *telling]
        kept.append(inner)
    return kept


def _is_constant(schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return False
    values = schema.get("enum")
    return "const" in schema or (isinstance(values, list) and len(values) == 1)


def _secret(schema: Mapping[str, Any], place: _Place, required: bool) -> Secret:
    return Secret(
        name=".".join(place.path),
        title=str(schema.get("title") or ""),
        description=str(schema.get("description") or ""),
        required=required,
        alternative=place.alternative,
    )


def _has_variants(schema: Mapping[str, Any]) -> bool:
    return any(_properties(each) for word in _ALTERNATIVES for each in _mappings(schema.get(word)))


def _resolved(schema: Any, place: _Place) -> Mapping[str, Any]:
    """Return a schema, followed to where it refers to."""
    for _ in range(_DEEP):
        reference = schema.get("$ref") if isinstance(schema, Mapping) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        found: Any = place.definitions
        for part in reference[2:].split("/"):
            found = found.get(part) if isinstance(found, Mapping) else None
        schema = {**(found if isinstance(found, Mapping) else {}), **{k: v for k, v in schema.items() if k != "$ref"}}
    whole = schema.get("allOf") if isinstance(schema, Mapping) else None
    if isinstance(whole, list) and len(whole) == 1 and isinstance(whole[0], Mapping):  # as older pydantic refers
        inner = _resolved(whole[0], place)
        return {**inner, **{key: part for key, part in schema.items() if key != "allOf"}}
    return schema if isinstance(schema, Mapping) else {}


def _order(item: tuple[str, Any]) -> float:
    order = item[1].get("order") if isinstance(item[1], Mapping) else None
    return order if isinstance(order, int | float) and not isinstance(order, bool) else float("inf")


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _mappings(values: Any) -> list[Mapping[str, Any]]:
    return [each for each in values if isinstance(each, Mapping)] if isinstance(values, list) else []


def _strings(values: Any) -> list[str]:
    if not isinstance(values, Iterable) or isinstance(values, str | Mapping):
        return []
    return [each for each in values if isinstance(each, str)]
