"""Where connectors are found, and what is said about a manifest that cannot be used."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from flowmate_airflow.catalog import catalog as module
from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.catalog.manifest import Manifest, size_in_bytes

MANIFEST = "connector: 1\nname: {name}\nversion: '1'\ntitle: T\nimage: i\ntriggers: {{get: {{title: G}}}}\n"


def _put(folder: Path, name: str, text: str | None = None) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "connector.yaml").write_text(text if text is not None else MANIFEST.format(name=name))


def test_the_users_connector_hides_a_shipped_one(tmp_path: Path) -> None:
    _put(tmp_path, "http")
    found = Catalog(tmp_path).get("http")
    assert isinstance(found, Manifest)
    assert found.image == "i"
    shipped = Catalog().get("http")
    assert isinstance(shipped, Manifest)
    assert shipped.image != "i"
    assert Catalog().get("nothing") is None


def test_every_shipped_manifest_is_right() -> None:
    catalog = Catalog()
    assert {"http", "files"} <= set(catalog.names())
    for name in catalog.names():
        assert isinstance(catalog.get(name), Manifest), catalog.get(name)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must be a mapping"),
        ("[1]", "must be a mapping of keys to values, not a list"),
        (MANIFEST.format(name="other"), "says `name: other`"),
        (MANIFEST.format(name="mine") + "imgae: x\n", "did you mean `image`?"),
        (MANIFEST.format(name="mine") + "limits: {memory: lots}\n", "`memory` cannot be"),
        (MANIFEST.format(name="mine") + "actions: {get: {title: G}}\n", "both a trigger and an action"),
        (MANIFEST.format(name="mine") + "actions: {put: {title: P, required: [x]}}\n", "which `fields` does not have"),
        (MANIFEST.format(name="mine") + "actions: {put: {title: P, fields: {x: {type: texts}}}}\n", "is not a type"),
        (MANIFEST.format(name="mine") + "actions: {put: {title: P, in: {$ref: 'http://x/'}}}\n", "leads to"),
    ],
)
def test_a_wrong_manifest_is_told(tmp_path: Path, text: str, told: str) -> None:
    _put(tmp_path, "mine", text)
    found = Catalog(tmp_path).get("mine")
    assert isinstance(found, str)
    assert told in found


def test_a_package_is_found_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "boom_package"
    _put(package, "inner", MANIFEST.format(name="mine"))
    (package / "__init__.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("mine", "boom_package.inner", "flowmate.connectors")
    monkeypatch.setattr(module, "_packages", lambda: [point])
    found = Catalog().get("mine")
    assert isinstance(found, Manifest)
    assert found.folder == package / "inner"
    assert "boom_package" not in sys.modules


@pytest.mark.parametrize(("text", "size"), [("1k", 1024), ("512m", 512 * 1024**2), ("2g", 2 * 1024**3)])
def test_sizes(text: str, size: int) -> None:
    assert size_in_bytes(text) == size
    with pytest.raises(ValueError, match="no size"):
        size_in_bytes(f"{text}b")
