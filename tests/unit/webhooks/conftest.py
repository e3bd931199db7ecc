"""Stores that tests open are closed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flowmate_airflow.store.store import close_stores


@pytest.fixture(autouse=True, scope="module")
def _closed_stores() -> Iterator[None]:
    yield
    close_stores()
