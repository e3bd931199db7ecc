"""The catalog that the documentation's flows are checked against."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pages import blocks

from flowmate_airflow.catalog.catalog import Catalog


@pytest.fixture(scope="session")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The shipped connectors, and those whose manifest a page shows."""
    folder: Path = tmp_path_factory.mktemp("connectors")
    for block in blocks("yaml"):
        value = yaml.safe_load(block.text)
        if isinstance(value, dict) and "connector" in value:
            (folder / value["name"]).mkdir()
            (folder / value["name"] / "connector.yaml").write_text(block.text, encoding="utf-8")
    return Catalog(folder)
