"""A component's folder as a connector's manifest. Nothing in it is run: it is read as text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flowmate_airflow.authoring.component_json import Component, component_draft
from flowmate_airflow.authoring.draft import Draft
from flowmate_airflow.authoring.errors import AuthoringError
from flowmate_airflow.authoring.icons import find_icon
from flowmate_airflow.authoring.jsontext import JsonFileError, read_json
from flowmate_airflow.authoring.names import connector_name, version

COMPONENT = "component.json"
MAX_SOURCE = 512 * 1024
LOCAL = "flowmate-local"
"""Where images are named that nobody has built yet."""

_KEEPS = re.compile(r"""\bemit\(\s*['"`](snapshot|updateSnapshot)['"`]""")


def draft_of_repo(folder: Path, *, name: str | None = None, image: str | None = None) -> Draft:
    """Return the manifest of the component in a folder.

    :raises AuthoringError: there is none, or it cannot be a connector
    :raises JsonFileError: its component.json is not JSON
    """
    if not folder.is_dir():
        raise AuthoringError(f"there is no folder {folder}")
    if not (folder / COMPONENT).is_file():
        raise AuthoringError(
            f"{folder} has no {COMPONENT}, so that it is no component of Open Integration Hub or elastic.io; for a "
            "Singer or Airbyte connector build its image first (`flowmate connectors build`) and give --image"
        )
    return draft_of_file(folder / COMPONENT, name=name, image=image)


def draft_of_file(path: Path, *, name: str | None = None, image: str | None = None) -> Draft:
    """Return the manifest of the component that a component.json describes, with what lies beside it.

    :param image: the image, once it is built
    :raises AuthoringError: the file cannot be read, or cannot be a connector
    :raises JsonFileError: it is not JSON
    """
    try:
        json = read_json(path)
    except OSError as error:
        raise AuthoringError(f"{path} cannot be read: {error.strerror}") from None
    folder = path.parent
    notes: list[str] = []
    package = _package(folder, notes)
    json = json if isinstance(json, Mapping) else {}
    component = Component(
        json=json,
        package=package,
        metadata=_metadata(json, folder, notes),
        keeping={function for function, main in _mains(json) if _keeps(folder, main)},
        icon=find_icon(folder),
    )
    used = name or connector_name(_text(package.get("name")), _text(json.get("title")), folder.resolve().name)
    if image is None:
        image = f"{LOCAL}/{used}:{version(package.get('version'), json.get('version'))}"
        notes.append(f"its image is not known: `flowmate connectors build FOLDER --tag {image}` makes it")
    draft = component_draft(component, image, used)
    draft.notes[:0] = notes
    return draft


def read_inside(folder: Path, name: str, limit: int) -> bytes | None:
    """Return the content of a file in a folder, None when it is not there, lies outside, or is larger."""
    try:
        root = folder.resolve()
        path = (root / name).resolve()
        if not path.is_relative_to(root) or not path.is_file() or path.stat().st_size > limit:
            return None
        return path.read_bytes()
    except (OSError, ValueError):
        return None


def _package(folder: Path, notes: list[str]) -> Mapping[str, Any]:
    try:
        package = read_json(folder / "package.json")
    except FileNotFoundError:
        return {}
    except (JsonFileError, OSError) as error:
        notes.append(f"package.json was left out: {error}")
        return {}
    return package if isinstance(package, Mapping) else {}


def _functions(json: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key in ("triggers", "actions"):
        group = json.get(key)
        if isinstance(group, Mapping):
            yield from ((str(name), each) for name, each in group.items() if isinstance(each, Mapping))


def _mains(json: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, definition in _functions(json):
        if isinstance(definition.get("main"), str):
            yield name, definition["main"]


def _keeps(folder: Path, main: str) -> bool:
    """Whether a function's own file emits snapshots."""
    for candidate in (main, f"{main}.js", f"{main}/index.js"):
        content = read_inside(folder, candidate, MAX_SOURCE)
        if content is not None:
            return bool(_KEEPS.search(content.decode("utf-8", errors="replace")))
    return False


def _metadata(json: Mapping[str, Any], folder: Path, notes: list[str]) -> dict[str, Any]:
    """Return the schemas that component.json names files for."""
    found: dict[str, dict[str, Any]] = {}
    for name, definition in _functions(json):
        stated = definition.get("metadata")
        if not isinstance(stated, Mapping):
            continue
        for side in ("in", "out"):
            if isinstance(stated.get(side), str):
                found.setdefault(name, {})[side] = _schema(folder, stated[side], f"{name}.metadata.{side}", notes)
    return found


def _schema(folder: Path, name: str, where: str, notes: list[str]) -> Any:
    root = folder.resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        notes.append(f"{where} names the file {name[:200]!r}, which is not there")
        return None
    try:
        return read_json(path, name)
    except (JsonFileError, OSError) as error:
        notes.append(f"{where}: {error}")
        return None


def _text(value: Any) -> str | None:
    return value.rpartition("/")[2] if isinstance(value, str) else None
