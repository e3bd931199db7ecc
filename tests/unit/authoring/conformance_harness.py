"""Small connectors that do all right, and ways to break them."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONNECTORS = Path(__file__).parent / "connectors"
CONFIGS: dict[str, Any] = {
    "piece": {
        "credentials": {"apiKey": "right-key"},
        "functions": {"save": {"messages": [{"a": 1}, {"a": 2}, {"a": 3}]}},
    },
    "tap": {"token": "right-token"},
    "target": {},
    "source": {"count": 10, "credentials": {"token": "right-token", "region": "eu"}},
    "destination": {},
}


@dataclass(frozen=True)
class Broken:
    """One of the good connectors with one thing changed.

    :param check: the check that must fail
    :param reason: what its reason must say
    :param manifest: whether the change is in the manifest, not the code
    """

    id: str
    base: str
    old: str
    new: str
    check: str
    reason: str
    manifest: bool = False


def write_connector(base: str, folder: Path, broken: Broken | None = None) -> Path:
    """Write a connector into a folder of connectors, and what it is run with beside it; return the file of the last."""
    shutil.copytree(CONNECTORS / base, folder / base, ignore=shutil.ignore_patterns("__pycache__"))
    if broken is not None:
        path = folder / base / ("connector.yaml" if broken.manifest else "connector.py")
        text = path.read_text()
        assert broken.old in text, f"{broken.id}: the code to break is not there"
        path.write_text(text.replace(broken.old, broken.new))
    config = folder / f"{base}.json"
    config.write_text(json.dumps(CONFIGS[base]))
    return config
