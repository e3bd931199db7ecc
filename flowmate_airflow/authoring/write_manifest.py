"""A draft becomes a folder with `connector.yaml`, read again before anybody relies on it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from flowmate_airflow.authoring.draft import Draft
from flowmate_airflow.authoring.errors import AuthoringError
from flowmate_airflow.authoring.icons import icon_name
from flowmate_airflow.catalog.catalog import MANIFEST
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.catalog.reader import ManifestError, read_manifest
from flowmate_airflow.flows.yamltext import Loader

_ORDER = (
    *("connector", "name", "version", "title", "description", "icon", "image", "entrypoint", "protocol", "node"),
    *("singer", "defaults", "process", "files", "limits", "auth", "triggers", "actions"),
)
_PARAGRAPHS = frozenset({"defaults", "limits", "auth", "triggers", "actions"})
_WIDTH = 110
_HEAD = "# {}\n# Change it as you like; `flowmate connectors check {}` tells whether it still agrees with the image.\n"


class _Dumper(yaml.SafeDumper):
    """Writes what our own reader takes: its scalars, no aliases, small things on one line."""

    yaml_implicit_resolvers = Loader.yaml_implicit_resolvers

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else ">" if len(text) > _WIDTH - 20 and " " in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _mapping(dumper: yaml.SafeDumper, value: dict[str, Any]) -> yaml.MappingNode:
    return dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=_is_short(value))


def _list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.SequenceNode:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=_is_short(value))


def _is_short(value: Any) -> bool:
    """Whether a value reads better on one line."""
    children = list(value.values()) if isinstance(value, dict) else value
    flat = all(not isinstance(child, dict | list) or not child for child in children)
    shallow = all(
        not isinstance(child, dict) and (not isinstance(child, list) or _is_short(child)) for child in children
    )
    texts = "".join(map(str, [*(value if isinstance(value, dict) else ()), *children]))
    return (flat or shallow) and len(texts) + 4 * len(children) < 70 and "\n" not in texts


class _Block(dict[str, Any]):
    """An object that never stands on one line."""


def _block(dumper: yaml.SafeDumper, value: _Block) -> yaml.MappingNode:
    return dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=False)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(_Block, _block)
_Dumper.add_representer(dict, _mapping)
_Dumper.add_representer(list, _list)


def manifest_text(values: Mapping[str, Any], origin: str) -> str:
    """Return the text of a `connector.yaml`.

    :param origin: a sentence about what it was made from
    """
    ordered = {key: values[key] for key in _ORDER if key in values}
    ordered |= {key: value for key, value in values.items() if key not in ordered}
    parts = [_HEAD.format(origin, values["name"])]
    for key, value in ordered.items():
        block = yaml.dump(_Block({key: value}), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
        parts.append(f"\n{block}" if key in _PARAGRAPHS else block)
    return "".join(parts)


def check_draft(draft: Draft, origin: str = "") -> Manifest:
    """Return the manifest that a draft becomes, read by the reader of all manifests.

    :raises AuthoringError: it cannot be one
    """
    with tempfile.TemporaryDirectory(prefix="flowmate-manifest-") as folder:
        path = Path(folder) / MANIFEST
        path.write_text(manifest_text(draft.values, origin), encoding="utf-8")
        try:
            return read_manifest(path)
        except ManifestError as error:
            report = str(error).replace(f"{folder}/", "")
            raise AuthoringError(f"the manifest that came of it is not valid:\n\n{report}") from None


def write_connector(draft: Draft, parent: Path, origin: str, *, force: bool = False) -> Path:
    """Write a connector's folder and return the path of its manifest.

    :param parent: the folder of connectors
    :param force: replace a manifest (and icon) that is there
    :raises AuthoringError: it is not valid, is there already, or cannot be written
    """
    icon = icon_name(draft.icon) if draft.icon else None
    if icon is not None:
        draft.values["icon"] = icon
    elif draft.icon:
        draft.notes.append("its logo was left out: only small PNG files and SVG files without scripts are taken")
    manifest = check_draft(draft, origin)
    folder = parent / manifest.name
    path = folder / MANIFEST
    if path.exists() and not force:
        raise AuthoringError(f"{path} is there already; --force replaces it, --name gives the connector another name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if icon is not None and draft.icon:
            _replace(folder / icon, draft.icon)
        _replace(path, manifest_text(draft.values, origin).encode())
    except OSError as error:
        raise AuthoringError(f"{error.filename or folder} cannot be written: {error.strerror}") from None
    return path


def _replace(path: Path, content: bytes) -> None:
    if path.is_symlink():
        raise AuthoringError(f"{path} is a link; nothing was written")
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
