"""Fixtures that start connectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from connector_process import CONNECTORS, Outcome, Run, feed, run_process
from http_service import Service


@pytest.fixture
def run_http() -> Run:
    """Runs a function of the connector `http`."""

    def run(function: str, config: dict[str, Any] | None = None, *messages: Any, **options: Any) -> Outcome:
        command = ["-m", "connector", *(["check"] if function == "check" else ["run", function])]
        return run_process(command, feed(config, messages, **options), CONNECTORS / "http")

    return run


@pytest.fixture
def run_files(tmp_path: Path) -> Run:
    """Runs a function of the connector `files`; its files lie in `tmp_path/root`."""
    root = tmp_path / "root"
    root.mkdir()

    def run(function: str, config: dict[str, Any] | None = None, *messages: Any, **options: Any) -> Outcome:
        command = ["-m", "connector", *(["check"] if function == "check" else ["run", function])]
        stdin = feed(config, messages, **options)
        return run_process(command, stdin, CONNECTORS / "files", FLOWMATE_FILES_ROOT=str(root))

    return run


@pytest.fixture
def author(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a connector as an author would: give it the functions."""

    def write(body: str, name: str = "sample.py") -> Path:
        path = tmp_path / name
        path.write_text(
            "from flowmate_connector import *\n"
            "connector = Connector('sample')\n" + body + "\nif __name__ == '__main__':\n    connector.main()\n"
        )
        return path

    return write


@pytest.fixture
def service() -> Iterator[Service]:
    """A web service."""
    started = Service()
    yield started
    started.close()


@pytest.fixture
def other_service() -> Iterator[Service]:
    """A web service on another host (another port counts as one)."""
    started = Service()
    yield started
    started.close()
