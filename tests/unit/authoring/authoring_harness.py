"""What the tests of authoring share: components in folders, and a way to add one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.catalog.reader import read_manifest
from flowmate_airflow.cli.main import main


def write_component(folder: Path, component: Any, *, package: Any = None, **files: str) -> Path:
    """Write a component's folder and return it.

    :param component: its component.json, or the text of one
    :param files: further files by name, with `__` for a slash and `_js` for the suffix
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = component if isinstance(component, str) else json.dumps(component)
    (folder / "component.json").write_text(text, encoding="utf-8")
    if package is not None:
        (folder / "package.json").write_text(json.dumps(package))
    for name, content in files.items():
        path = folder / (name.replace("__", "/").removesuffix("_js") + (".js" if name.endswith("_js") else ".json"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def component(**functions: Any) -> dict[str, Any]:
    """Return a component.json with triggers; a name that begins with `do_` is an action's."""
    triggers = {name: each for name, each in functions.items() if not name.startswith("do_")}
    actions = {name: each for name, each in functions.items() if name.startswith("do_")}
    return {"title": "Shop", "triggers": triggers, "actions": actions}


def trigger(**values: Any) -> dict[str, Any]:
    """Return a function of a component.json."""
    return {"main": "./lib/trigger.js", "title": "Read", **values}


def add(folder: Path, out: Path, *options: str) -> Manifest:
    """Add the component in a folder and return the manifest that was written."""
    assert main(["connectors", "add", "--repo", str(folder), "--out", str(out), *options]) == 0
    return read_manifest(written(out))


def written(out: Path) -> Path:
    """Return the one manifest below a folder."""
    (path,) = out.glob("*/connector.yaml")
    return path


def as_yaml(path: Path) -> dict[str, Any]:
    """Return what a manifest's file says."""
    value: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return value
