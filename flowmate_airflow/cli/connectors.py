"""`flowmate connectors`: which connectors there are, and what one can do."""

from __future__ import annotations

import json
import textwrap
from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from flowmate_airflow.catalog.authmethod import AuthMethod
from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.catalog.manifest import Function, Manifest
from flowmate_airflow.cli.common import catalog_of, print_json
from flowmate_airflow.cli.errors import CommandError, UsageError
from flowmate_airflow.flows.errors import did_you_mean

_WIDTH = 110
_PLACEHOLDERS = {"login": "LOGIN", "password": "PASSWORD", "host": "HOST", "port": "443", "schema": "SCHEMA"}
_EXAMPLE_URL = "https://api.example.com"
_SAMPLES: dict[str, Any] = {"integer": 1, "number": 1, "boolean": True, "array": ["…"], "object": {}}


def list_connectors(arguments: Namespace) -> int:
    """Print a line for each connector."""
    catalog = catalog_of(arguments)
    found = {name: catalog.get(name) for name in catalog.names()}
    if arguments.format == "json":
        print_json([_summary(name, manifest) for name, manifest in found.items()])
    else:
        names = max((len(name) for name in found), default=0)
        for name, manifest in found.items():
            if isinstance(manifest, Manifest):
                functions = ", ".join([*manifest.triggers, *manifest.actions])
                print(f"{name:<{names}}  {manifest.version}  {manifest.title}: {functions}")
    broken = [problem for problem in found.values() if isinstance(problem, str)]
    if broken:
        raise CommandError("\n\n".join(broken))
    return 0


def show_connector(arguments: Namespace) -> int:
    """Print all about one connector."""
    manifest = _find(arguments.name, catalog_of(arguments))
    if arguments.format == "json":
        print_json(_as_dict(manifest))
    else:
        print("\n".join(line.rstrip() for line in _description(manifest)))
    return 0


def _find(name: str, catalog: Catalog) -> Manifest:
    found = catalog.get(name)
    if found is None:
        hint = did_you_mean(name, catalog.names())
        raise UsageError(f"there is no connector `{name}`" + (f"; {hint}" if hint else ""))
    if isinstance(found, str):
        raise CommandError(found)
    return found


def _summary(name: str, manifest: Manifest | str | None) -> dict[str, Any]:
    if not isinstance(manifest, Manifest):
        return {"name": name, "problem": manifest}
    return {
        "name": name,
        "version": manifest.version,
        "title": manifest.title,
        "description": manifest.description,
        "image": manifest.image,
        "triggers": list(manifest.triggers),
        "actions": list(manifest.actions),
    }


def _as_dict(manifest: Manifest) -> dict[str, Any]:
    functions = {**manifest.triggers, **manifest.actions}
    return {
        **manifest.model_dump(mode="json", by_alias=True),
        "folder": str(manifest.folder),
        "examples": {
            "connections": {name: add_connection(manifest, name) for name in manifest.auth},
            "steps": {name: example_step(manifest, name, function) for name, function in functions.items()},
        },
    }


def _description(manifest: Manifest) -> Iterator[str]:
    yield f"{manifest.name} {manifest.version}: {manifest.title}"
    yield from _wrapped(manifest.description, "")
    also = "; without an engine as a process" if manifest.process else ""
    yield f"image {manifest.image}{also}"
    if manifest.auth:
        yield ""
        yield "Credentials, in an Airflow Connection:"
        for name, method in manifest.auth.items():
            yield ""
            yield from _auth_lines(manifest, name, method)
    for kind, functions in (("Triggers", manifest.triggers), ("Actions", manifest.actions)):
        if functions:
            yield ""
            yield f"{kind}:"
        for name, function in functions.items():
            yield ""
            yield from _function_lines(manifest, name, function)


def _auth_lines(manifest: Manifest, name: str, method: AuthMethod) -> Iterator[str]:
    kind = method.type if method.type != "custom" else None
    yield (
        f"  {name}: " + ", ".join(word for word in (method.title, kind) if word)
        if method.title or kind
        else f"  {name}"
    )
    yield from _wrapped(method.description, "    ")
    parts = list(_parts(method))
    width = max((len(source) for source, _, _ in parts), default=0)
    for source, needed, key in parts:
        yield f"    {source:<{width}}  {needed}  as {key}"
    yield from _scope_lines(getattr(method, "scopes", {}))
    if _is_login(method):
        chosen = f" --method {name}" if len(manifest.auth) > 1 else ""
        yield f"    flowmate links add TENANT {manifest.name}{chosen}"
    else:
        yield f"    {add_connection(manifest, name)}"


def _parts(method: AuthMethod) -> Iterator[tuple[str, str, str]]:
    """Yield the parts of the Connection with how they are come by: asked, for the login alone, or brought by it."""
    for names, needed in ((method.required, "required"), (method.optional, "optional")):
        for key, source in names.items():
            yield source, needed if key in method.asked else "by login", key
    for key, source in method.login_parts.items():
        yield source, "to log in", key


def _scope_lines(scopes: Mapping[str, str]) -> Iterator[str]:
    width = max((len(scope) for scope in scopes), default=0)
    for scope, purpose in scopes.items():
        yield from _wrapped(purpose, " " * (width + 12), first=f"    scope {scope:<{width}}  ") or [
            f"    scope {scope}"
        ]


def _is_login(method: AuthMethod) -> bool:
    """Whether the credential is what a login brings, which no form can ask for."""
    return any(key not in method.asked for key in method.required)


def _function_lines(manifest: Manifest, name: str, function: Function) -> Iterator[str]:
    yield f"  {manifest.name}/{name}: {function.title}"
    yield from _wrapped(function.description, "    ")
    width = max((len(field) for field in function.fields), default=0)
    for field, schema in function.fields.items():
        needed = " (required)" if field in function.required else ""
        about = f"{_kind(schema)}{needed}. {schema.get('description', '')}"
        if "default" in schema:
            about = f"{about.rstrip()} Default: {json.dumps(schema['default'], ensure_ascii=False)}."
        yield from _wrapped(about, " " * (width + 8), first=f"      {field:<{width}}  ")
    yield "    example:"
    yield from (f"      {line}" for line in example_step(manifest, name, function).splitlines())


def add_connection(manifest: Manifest, name: str) -> str:
    """Return the command that adds a Connection for one of a connector's ways to authenticate."""
    method = manifest.auth[name]
    sources = set(method.required.values()) | set(method.optional.values())
    options = [f"--conn-{source} {placeholder}" for source, placeholder in _PLACEHOLDERS.items() if source in sources]
    if "url" in sources and "host" not in sources:
        options.append(f"--conn-host {_EXAMPLE_URL}")
    extra = {"auth": name} if len(manifest.auth) > 1 else {}
    extra |= {part: "…" for _, _, part in (source.partition("extra.") for source in method.required.values()) if part}
    if extra:
        options.append(f"--conn-extra '{json.dumps(extra, ensure_ascii=False)}'")
    return " ".join([f"airflow connections add my_{manifest.name} --conn-type generic", *options])


def example_step(manifest: Manifest, name: str, function: Function) -> str:
    """Return a step that uses a function, as YAML."""
    step: dict[str, Any] = {"id": name, "use": f"{manifest.name}/{name}"}
    if manifest.auth:
        step["connection"] = f"my_{manifest.name}"
    values = {field: _sample(function.fields[field]) for field in function.required}
    if values:
        step["with"] = values
    return str(yaml.dump([step], Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True))


def _sample(schema: Mapping[str, Any]) -> Any:
    """Return a value that a field's schema probably allows."""
    for given in (schema.get("examples"), schema.get("enum")):
        if given:
            return given[0]
    if "default" in schema:
        return schema["default"]
    kind = schema.get("type")
    return _SAMPLES.get(kind[0] if isinstance(kind, list) else str(kind), "…")


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    kind = schema.get("type", "any value")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _wrapped(text: str, indent: str, first: str | None = None) -> list[str]:
    start = indent if first is None else first
    return textwrap.wrap(" ".join(text.split()), _WIDTH, initial_indent=start, subsequent_indent=indent)
