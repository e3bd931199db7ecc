"""The connector's manifest, for the verb `describe`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from flowmate_connector.errors import ConfigError


def load_manifest() -> Any:
    """Return the manifest that lies beside the connector's module (or beside its package).

    `connector.json` is preferred; `connector.yaml` is read where PyYAML happens to be installed.

    :raises ConfigError: there is none, or it cannot be read
    """
    folders = _folders()
    path = _find(folders, "connector.json")
    if path is not None:
        try:
            return json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read: {error}") from None
    path = _find(folders, "connector.yaml")
    if path is None:
        raise ConfigError(f"there is no connector.json or connector.yaml in {' or '.join(map(str, folders))}")
    return _load_yaml(path)


def _load_yaml(path: Path) -> Any:
    try:
        yaml: Any = importlib.import_module("yaml")
    except ImportError:
        raise ConfigError(
            f"{path} cannot be read because PyYAML is not installed here; put connector.json beside it"
        ) from None
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None


def _folders() -> list[Path]:
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    folder = Path(main).resolve().parent if main else Path.cwd()
    # `python -m connector` may have started a package, whose manifest lies one folder up.
    return [folder, folder.parent] if (folder / "__init__.py").exists() else [folder]


def _find(folders: list[Path], name: str) -> Path | None:
    return next((folder / name for folder in folders if (folder / name).is_file()), None)
