"""A component.json of Open Integration Hub or elastic.io as a connector's manifest."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from flowmate_airflow.authoring.component_auth import component_auth
from flowmate_airflow.authoring.draft import Draft, without_nothing
from flowmate_airflow.authoring.errors import AuthoringError
from flowmate_airflow.authoring.names import connector_name, function_names, name_of_image, tag_of_image, version
from flowmate_airflow.authoring.schematidy import MAX_DEPTH, fitting_default, tidy
from flowmate_airflow.authoring.texts import plain, sentence
from flowmate_airflow.authoring.views import field_order, field_schema

NODE_SETTINGS: dict[str, Any] = {
    "type": "object",
    "description": "What the platform tells the component beside its fields, such as idLinking or logLevel.",
}
MAX_FUNCTIONS = 500
MAX_SIZE = 40_000
"""Keys and values of one manifest; its reader takes a few more."""
MAX_BYTES = 600 * 1024
"""Of one manifest as JSON; YAML's indentation makes it longer."""
_DEPTHS = (MAX_DEPTH, 6, 4, 3, 2, 1)


@dataclass(frozen=True, slots=True)
class Component:
    """What a component says about itself.

    :param json: its component.json
    :param package: its package.json
    :param metadata: the schemas `in` and `out` of its functions by name, read from the files that component.json names
    :param dialect: as the image says
    :param keeping: functions that emit snapshots, as far as their code shows it
    """

    json: Mapping[str, Any]
    package: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    dialect: str = "auto"
    keeping: Collection[str] = ()
    icon: bytes | None = field(default=None, repr=False)


def component_draft(component: Component, image: str, name: str | None = None) -> Draft:
    """Return the manifest of a component.

    :param image: its image
    :param name: instead of the component's own
    :raises AuthoringError: its component.json has no functions, or something else where they should be
    """
    json = component.json
    if not isinstance(json, Mapping):
        raise AuthoringError("component.json must be an object with the keys `triggers` and `actions`")
    triggers, actions = _functions(json, "triggers"), _functions(json, "actions")
    notes: list[str] = []
    if _is_lookup(triggers.get("lookup")):
        del triggers["lookup"]
        notes.append("the trigger `lookup` serves forms only and was left out")
    if not triggers and not actions:
        raise AuthoringError("component.json has neither triggers nor actions; a connector needs one")
    trigger_names = function_names(triggers)
    action_names = function_names(actions, trigger_names.values())
    for names, kind in ((trigger_names, "trigger"), (action_names, "action")):
        notes += [f"the {kind} `{old[:80]}` is called `{new}` in steps" for old, new in names.items() if old != new]
    twice = sorted(set(triggers) & set(actions))
    if twice:
        notes.append(
            f"{', '.join(twice)}: both a trigger and an action of the component; the runner starts the trigger"
        )
    values: dict[str, Any] = {
        "connector": 1,
        "name": name or connector_name(name_of_image(image), _package_name(component), str(json.get("title") or "")),
        "version": version(component.package.get("version"), json.get("version"), tag_of_image(image)),
        "title": plain(json.get("title"), 100) or connector_name(name_of_image(image)),
        "description": sentence(json.get("description"), limit=1000),
        "image": image,
        "auth": component_auth(json.get("credentials"), sailor=_is_sailor(component)),
    }
    for depth in _DEPTHS:
        maker = _Maker(component, depth)
        for kind, names, functions in (("triggers", trigger_names, triggers), ("actions", action_names, actions)):
            values[kind] = {
                new: maker.function(old, functions[old], new, trigger=kind == "triggers") for old, new in names.items()
            }
        if _size(values) <= MAX_SIZE and len(orjson.dumps(values)) <= MAX_BYTES:
            break
    if depth != _DEPTHS[0]:
        notes.append(f"its schemas are large: what lies in them below level {depth} was left open")
    _apply_defaults(values)
    return Draft({**without_nothing(values), "node": {}}, component.icon, notes)


class _Maker:
    def __init__(self, component: Component, depth: int) -> None:
        self._component = component
        self._depth = depth
        common = component.json.get("fields")
        self._common = dict(common) if isinstance(common, Mapping) else {}

    def function(self, name: str, definition: Mapping[str, Any], shown: str, *, trigger: bool) -> dict[str, Any]:
        own = definition.get("fields")
        fields = {**self._common, **(own if isinstance(own, Mapping) else {})}
        ordered = {each: fields[each] for each in field_order(fields) if isinstance(fields[each], Mapping)}
        schemas = {each: tidy(field_schema(field)) for each, field in ordered.items()}
        schemas.setdefault("nodeSettings", dict(NODE_SETTINGS))
        told = definition.get("help")
        return without_nothing(
            {
                "title": plain(definition.get("title"), 100) or name[:100],
                "description": sentence(
                    definition.get("description"),
                    definition.get("note"),
                    told.get("description") if isinstance(told, Mapping) else None,
                    "Out of use: the component calls it deprecated" if definition.get("deprecated") is True else None,
                ),
                "calls": name if name != shown else None,
                "state": (trigger or name in self._component.keeping) or None,
                "fields": schemas,
                "required": [each for each, field in ordered.items() if field.get("required") is True],
                "in": None if trigger else self._schema(name, definition, "in"),
                "out": self._schema(name, definition, "out"),
            }
        )

    def _schema(self, name: str, definition: Mapping[str, Any], side: str) -> dict[str, Any] | None:
        read = self._component.metadata.get(name)
        given: Any = read.get(side) if isinstance(read, Mapping) else None
        if given is None:
            stated = definition.get("metadata")
            given = stated.get(side) if isinstance(stated, Mapping) else None
        if not isinstance(given, Mapping):
            return None
        if (
            "properties" not in given
            and "type" not in given
            and all(isinstance(each, Mapping) for each in given.values())
        ):
            given = {"type": "object", "properties": dict(given)} if given else {}
        return tidy(given, depth=self._depth) or None


def _functions(json: Mapping[str, Any], key: str) -> dict[str, Mapping[str, Any]]:
    group = json.get(key)
    if group is None:
        return {}
    if not isinstance(group, Mapping):
        raise AuthoringError(f"`{key}` of component.json must be an object: a name and an object for each function")
    wrong = [str(name) for name, each in group.items() if not isinstance(each, Mapping)]
    if wrong:
        raise AuthoringError(f"`{key}.{wrong[0][:80]}` of component.json must be an object with `main` and `title`")
    if len(group) > MAX_FUNCTIONS:
        raise AuthoringError(f"component.json has {len(group):,} {key}; a connector may have {MAX_FUNCTIONS}")
    return {str(name): each for name, each in group.items()}


def _is_lookup(definition: Mapping[str, Any] | None) -> bool:
    return definition is not None and not definition.get("callParams") and not definition.get("metadata")


def _apply_defaults(values: dict[str, Any]) -> None:
    """Let steps start from the fields' defaults, which a form fills in: the component itself does not.

    A field that has another default in another function has none for steps.
    """
    functions = [*values["triggers"].values(), *values["actions"].values()]
    stated: dict[str, list[Any]] = {}
    for function in functions:
        for name, schema in function.get("fields", {}).items():
            stated.setdefault(name, []).append(fitting_default(schema))
    defaults = {name: given[0] for name, given in stated.items() if given[0] is not None and _same(given)}
    values["defaults"] = defaults
    for function in functions:
        function["required"] = [name for name in function.get("required", ()) if name not in defaults]
        if not function["required"]:
            del function["required"]


def _same(values: Sequence[Any]) -> bool:
    return all(value == values[0] for value in values)


def _is_sailor(component: Component) -> bool:
    if component.dialect != "auto":
        return component.dialect == "sailor"
    dependencies = component.package.get("dependencies")
    names = list(dependencies) if isinstance(dependencies, Mapping) else []
    return "elasticio-sailor-nodejs" in names and not any("ferryman" in name for name in names)


def _package_name(component: Component) -> str | None:
    name = component.package.get("name")
    return name.rpartition("/")[2] if isinstance(name, str) else None


def _size(value: Any) -> int:
    if isinstance(value, Mapping):
        return 1 + sum(1 + _size(child) for child in value.values())
    return 1 + sum(map(_size, value)) if isinstance(value, list) else 1
