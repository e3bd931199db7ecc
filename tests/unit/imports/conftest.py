"""The command line in this process, and a folder of its own for each test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from imports_harness import Import, ImportOih

from flowmate_airflow.cli.main import main


@pytest.fixture
def import_oih(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> ImportOih:
    """Import a value (or a text, or bytes) and return what was printed and written."""
    monkeypatch.chdir(tmp_path)

    def run(source: Any, *arguments: str) -> Import:
        raw = source if isinstance(source, str | bytes) else json.dumps(source)
        Path("flows.json").write_bytes(raw if isinstance(raw, bytes) else raw.encode())
        code = main(["import", "oih", "flows.json", "--out", "flows", *arguments])
        captured = capsys.readouterr()
        files = {path.name: path.read_text(encoding="utf-8") for path in sorted(Path("flows").glob("*"))}
        return Import(code, captured.out, captured.err, files)

    return run
