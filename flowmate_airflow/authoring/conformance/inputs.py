"""What an author gives to the suite: configuration, credentials, messages for actions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowmate_airflow.authoring.errors import AuthoringError
from flowmate_airflow.authoring.jsontext import read_json
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.flows.errors import did_you_mean

_SECRET = re.compile(r"pass|secret|token|key|credential|private|pin$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the connector is run with.

    :param credentials: by the names that the manifest declares; None: none were given
    :param config: the fields of each function
    :param messages: the data of messages for each action
    """

    credentials: Mapping[str, Any] | None = field(default=None, repr=False)
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    messages: Mapping[str, Sequence[Any]] = field(default_factory=dict, repr=False)


def read_inputs(path: Path, manifest: Manifest) -> Inputs:
    """Return what a file gives.

    For Singer and Airbyte it is the connector's own config.json. For components it is an object with `credentials`,
    and `functions`, which has `config` and `messages` for each.

    :raises AuthoringError: it cannot be read, or says something else
    :raises JsonFileError: it is not JSON
    """
    try:
        value = read_json(path)
    except OSError as error:
        raise AuthoringError(f"{path} cannot be read: {error.strerror}") from None
    if not isinstance(value, dict):
        raise AuthoringError(f"{path} must be a JSON object")
    if manifest.protocol != "component":
        return _whole_config(value, manifest)
    unknown = sorted(set(value) - {"credentials", "functions"})
    if unknown:
        raise AuthoringError(f"{path} has the key `{unknown[0]}`; it may have `credentials` and `functions`")
    functions = _object(value.get("functions"), f"{path}: `functions`")
    known = [*manifest.triggers, *manifest.actions]
    for name, each in functions.items():
        if name not in known:
            raise AuthoringError(f"{path}: there is no function `{name}`; {did_you_mean(name, known)}")
        _object(each, f"{path}: `functions.{name}`")
    return Inputs(
        credentials=_object(value["credentials"], f"{path}: `credentials`") if "credentials" in value else None,
        config={name: _object(each.get("config"), f"{path}: `{name}.config`") for name, each in functions.items()},
        messages={name: _list(each["messages"], path, name) for name, each in functions.items() if "messages" in each},
    )


def _whole_config(value: dict[str, Any], manifest: Manifest) -> Inputs:
    config = deepcopy(value)
    credentials = {}
    for name in credential_names(manifest):
        found = _take(config, name.split("."))
        if found is not None:
            credentials[name] = found
    functions = [*manifest.triggers, *manifest.actions]
    return Inputs(credentials, {name: config for name in functions})


def credential_names(manifest: Manifest) -> list[str]:
    """Return the names of all credentials that a connector knows."""
    return list(
        dict.fromkeys(name for method in manifest.auth.values() for name in (*method.required, *method.optional))
    )


def secret_names(manifest: Manifest) -> set[str]:
    """Return the credentials that nobody may see; of a component not its addresses and such."""
    found = set()
    for method in manifest.auth.values():
        for name, source in {**method.required, **method.optional}.items():
            if manifest.protocol != "component" or source == "password" or _SECRET.search(name):
                found.add(name)
    return found


def texts_in(value: Any) -> Iterator[str]:
    """Yield the texts in a credential."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for child in value.values():
            yield from texts_in(child)
    elif isinstance(value, list):
        for child in value:
            yield from texts_in(child)


def _take(config: dict[str, Any], path: Sequence[str]) -> Any:
    """Return a value of nested objects, and take it out of them."""
    *parents, last = path
    for part in parents:
        inner = config.get(part)
        if not isinstance(inner, dict):
            return None
        config = inner
    return config.pop(last, None)


def _object(value: Any, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise AuthoringError(f"{what} must be an object")
    return value


def _list(value: Any, path: Path, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise AuthoringError(f"{path}: `{name}.messages` must be a list of messages' data")
    return value
