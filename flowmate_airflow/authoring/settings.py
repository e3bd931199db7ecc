"""The settings of a Singer or Airbyte connector as `auth` and fields: secrets come from the Connection."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowmate_airflow.authoring.component_auth import PASSWORDS, extra
from flowmate_airflow.authoring.schematidy import fitting_default, tidy
from flowmate_airflow.authoring.texts import plain
from flowmate_airflow.protocols import airbyte_spec, singer_about


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret setting.

    :param name: with dots where it is nested
    :param alternative: the title of the way to authenticate it belongs to, where there are several
    """

    name: str
    required: bool
    alternative: str | None = None


@dataclass(frozen=True, slots=True)
class SettingsDraft:
    """What a manifest says about a connector's settings."""

    auth: dict[str, Any]
    fields: dict[str, Any]
    required: list[str]
    defaults: dict[str, Any]


def singer_settings(about: Mapping[str, Any]) -> SettingsDraft:
    """Return the manifest's part for the settings of a tap or target; it applies its defaults itself.

    :param about: what it tells about itself
    """
    told = singer_about.settings_schema(about)
    secrets = [Secret(name, name in told.required_secrets) for name in told.secrets]
    draft = _draft(told.fields, told.required, secrets)
    draft.defaults.clear()
    return draft


def airbyte_settings(spec: Mapping[str, Any]) -> SettingsDraft:
    """Return the manifest's part for the settings of a source or destination.

    :raises ValueError: it describes none
    """
    told = airbyte_spec.settings_schema(spec)
    secrets = [Secret(each.name, each.required, each.alternative) for each in told.secrets]
    return _draft(told.fields, told.required, secrets)


def _draft(fields: Mapping[str, Any], required: Sequence[str], secrets: Sequence[Secret]) -> SettingsDraft:
    tidied = {name: tidy(schema) for name, schema in fields.items()}
    stated = {name: fitting_default(schema) for name, schema in tidied.items()}
    defaults = {name: default for name, default in stated.items() if default is not None}
    return SettingsDraft(
        auth=_auth(secrets),
        fields=tidied,
        required=[name for name in required if name in tidied and name not in defaults],
        defaults=defaults,
    )


def _auth(secrets: Sequence[Secret]) -> dict[str, Any]:
    """Return one way to authenticate for each alternative of the first setting that has several, else one for all."""
    top = next((each.name.partition(".")[0] for each in secrets if each.alternative), None)
    alternatives = list(
        dict.fromkeys(each.alternative for each in secrets if each.alternative and each.name.startswith(f"{top}."))
    )
    if len(alternatives) < 2:
        return {"credentials": _method("Credentials", secrets, bool(alternatives))} if secrets else {}
    methods: dict[str, Any] = {}
    for alternative in alternatives:
        mine = [each for each in secrets if each.alternative in (None, alternative) or not _below(each, top)]
        methods[_key(alternative, methods)] = _method(plain(alternative, 80) or "Credentials", mine, True, alternative)
    return methods


def _below(secret: Secret, top: str | None) -> bool:
    return secret.name.startswith(f"{top}.")


def _method(title: str, secrets: Sequence[Secret], several: bool, alternative: str | None = None) -> dict[str, Any]:
    needed = [
        each.name for each in secrets if each.required and (each.alternative in (None, alternative) or not several)
    ]
    used: set[str] = set()
    parts: dict[str, str] = {}
    for name in sorted(dict.fromkeys(each.name for each in secrets), key=lambda each: _rank(each, needed)):
        parts[name] = extra(name, used) if parts else "password"
    required = {name: part for name, part in parts.items() if name in needed}
    optional = {name: part for name, part in parts.items() if name not in needed}
    return {
        "title": title,
        **({"required": required} if required else {}),
        **({"optional": optional} if optional else {}),
    }


def _rank(name: str, needed: Sequence[str]) -> tuple[bool, bool]:
    """Rank secrets for the Connection's password: one that must be set comes first, then one of that name."""
    return (name not in needed, name.rpartition(".")[2].lower() not in PASSWORDS)


def _key(title: str, taken: Mapping[str, Any]) -> str:
    word = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:40] or "credentials"
    found, number = word, 2
    while found in taken:
        found = f"{word}_{number}"
        number += 1
    return found
