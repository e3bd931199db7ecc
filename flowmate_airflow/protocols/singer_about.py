"""What a Singer program's `--help` and `--about` tell about it: its options, its settings, which of them are secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from flowmate_airflow.catalog.manifest import SingerImage
from flowmate_airflow.protocols.singer_json import Answer

_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9_-]*)")
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|secret|token|api_?key|apikey|access_key|private_key|client_secret|"
    r"secret_key|auth_key|credentials?|connection_string|sqlalchemy_url|dsn)(?:$|_(?:value|json|string|pem)$)",
    re.IGNORECASE,
)
_LEFT_OUT = frozenset({"batch_config"})  # its files would stay in the container


class Settings(NamedTuple):
    """A program's settings.

    :param fields: JSON Schema properties, without the secrets
    :param required: fields that must be set
    :param secrets: names of secret settings, with dots where they are nested
    :param required_secrets: those of them that must be set
    """

    fields: dict[str, dict[str, Any]]
    required: list[str]
    secrets: list[str]
    required_secrets: list[str]


def read_about(text: str) -> Mapping[str, Any] | None:
    """Return what `--about --format=json` printed, whatever stands before and after it; None: it printed none."""
    answer = Answer()
    for line in text.encode(errors="replace").splitlines():
        answer.add(line)
    return answer.find(lambda value: isinstance(value.get("settings"), dict) or "capabilities" in value)


def singer_facts(help_text: str, about_text: str | None = None) -> SingerImage:
    """Return which options a tap or target knows.

    A classic tap may list `--catalog` and read only `--properties`: no text tells that, only a run without records.

    :param help_text: what `--help` printed
    :param about_text: what `--about --format=json` printed, if it did
    """
    options = set(_OPTION.findall(help_text))
    about = read_about(about_text) if about_text else None
    if not options and about is not None:  # its help cannot be had: believe its description
        options = {str(each) for each in about.get("capabilities") or ()}
    catalog: Literal["catalog", "properties", "none"] = "none"
    if "catalog" in options:
        catalog = "catalog"
    elif "properties" in options:
        catalog = "properties"
    settings = _properties((about or {}).get("settings"))
    return SingerImage(
        catalog=catalog,
        discover="discover" in options,
        state="state" in options,
        about=about is not None or "about" in options,
        load_method="load_method" in settings,
    )


def settings_schema(about: Mapping[str, Any]) -> Settings:
    """Return the settings of a description, the secret ones apart."""
    schema = about.get("settings")
    needed = _required(schema)
    secrets = dict(_secrets(schema, "", True))
    fields = {
        name: _without_secrets(part, name, secrets)
        for name, part in _properties(schema).items()
        if name not in secrets and name not in _LEFT_OUT and isinstance(part, dict)
    }
    return Settings(
        fields=fields,
        required=sorted(name for name in needed if name in fields),
        secrets=sorted(secrets),
        required_secrets=sorted(name for name, must in secrets.items() if must),
    )


def _secrets(schema: Any, path: str, must: bool) -> Iterator[tuple[str, bool]]:
    needed = _required(schema)
    for name, part in _properties(schema).items():
        inner, inner_must = f"{path}{name}", must and name in needed
        if _properties(part):
            yield from _secrets(part, f"{inner}.", inner_must)
        elif isinstance(part, dict) and _is_secret(name, part):
            yield inner, inner_must


def _is_secret(name: str, schema: Mapping[str, Any]) -> bool:
    if schema.get("secret") is True or schema.get("writeOnly") is True or schema.get("format") == "password":
        return True
    types = schema.get("type")
    textual = types is None or types == "string" or (isinstance(types, list) and "string" in types)
    return textual and "enum" not in schema and bool(_SECRET_NAME.search(name))


def _without_secrets(schema: dict[str, Any], path: str, secrets: Mapping[str, bool]) -> dict[str, Any]:
    inner = _properties(schema)
    if not inner:
        return schema
    kept = {
        name: _without_secrets(part, f"{path}.{name}", secrets) if isinstance(part, dict) else part
        for name, part in inner.items()
        if f"{path}.{name}" not in secrets
    }
    cleaned = {**schema, "properties": kept}
    if isinstance(schema.get("required"), list):
        cleaned["required"] = [name for name in schema["required"] if name in kept]
    return cleaned


def _properties(schema: Any) -> dict[str, Any]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return properties if isinstance(properties, dict) else {}


def _required(schema: Any) -> set[str]:
    required = schema.get("required") if isinstance(schema, dict) else None
    return {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
