"""Where connectors are found: the user's folder, the folder we ship, installed packages."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.catalog.reader import ManifestError, read_manifest
from flowmate_airflow.settings import folder_setting

MANIFEST = "connector.yaml"
ENTRY_POINTS = "flowmate.connectors"
_MAX_NAME = 200
"""Bytes of a folder's name that is looked for."""
"""Entry point group of packages with connectors: the name is the connector's, the value the package's."""


def shipped_folder() -> Path:
    """Return the folder of the connectors that come with FlowMate."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "connectors"
    return installed if installed.is_dir() else package.parent / "connectors"


class Catalog:
    """All connectors that flows may use, read when first asked for.

    A connector of the user's folder hides a shipped one of the same name, and both hide one of a package.

    :param user_folder: the user's own folder with a folder for each connector
    """

    def __init__(self, user_folder: Path | None = None) -> None:
        self._folders: Sequence[Path] = [*([user_folder] if user_folder else []), shipped_folder()]
        self._known: dict[str, Manifest | str | None] = {}

    def get(self, name: str) -> Manifest | str | None:
        """Return a connector, the report of what is wrong with its manifest, or None when there is none."""
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    def names(self) -> list[str]:
        """Return the names of all connectors, sorted."""
        names = {path.parent.name for folder in self._folders for path in folder.glob(f"*/{MANIFEST}")}
        return sorted(names | {point.name for point in _packages()})

    def _read(self, name: str) -> Manifest | str | None:
        path = self._find(name)
        if path is None:
            return None
        try:
            manifest = read_manifest(path)
        except (ManifestError, OSError) as error:
            return str(error)
        if manifest.name != name:
            return f"{path} says `name: {manifest.name}`; its folder (or entry point) says {name}"
        return manifest

    def _find(self, name: str) -> Path | None:
        # Names come from addresses and bodies, too: none is a path.
        if not name.isprintable() or name.startswith(".") or "/" in name or len(name.encode()) > _MAX_NAME:
            return None
        for folder in self._folders:
            path = folder / name / MANIFEST
            if path.is_file():
                return path
        for point in _packages():
            if point.name == name:
                return _package_folder(point) / MANIFEST
        return None


def configured_catalog() -> Catalog:
    """Return the catalog that Airflow's configuration describes."""
    return Catalog(folder_setting("connectors_folder", "connectors"))


def _packages() -> list[EntryPoint]:
    return sorted(entry_points(group=ENTRY_POINTS), key=lambda point: (point.name, point.value))


def _package_folder(point: EntryPoint) -> Path:
    """Return a package's folder without importing the package: a manifest is data, and lint runs nobody's code."""
    top, *below = point.module.split(".")
    spec = importlib.util.find_spec(top)  # of the outermost package: looking for an inner one would import it
    if spec is None or not spec.submodule_search_locations:
        return Path(point.module)
    return Path(next(iter(spec.submodule_search_locations))).joinpath(*below)
