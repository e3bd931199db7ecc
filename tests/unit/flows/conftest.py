"""The made-up connectors that the flows of tests/flows use."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowmate_airflow.catalog.catalog import Catalog

FLOWS = Path(__file__).resolve().parents[2] / "flows"


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog(FLOWS / "connectors")
