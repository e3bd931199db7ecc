"""The Airflow plugin."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

PLUGIN_FILE = Path(__file__).parents[3] / "plugins" / "flowmate_plugin.py"


@pytest.fixture
def plugin() -> Any:
    (point,) = entry_points(group="airflow.plugins", name="flowmate")
    return point.load()


@pytest.fixture
def client(plugin: Any) -> TestClient:
    app = FastAPI()
    for mounted in plugin.fastapi_apps:  # as airflow.api_fastapi.app does
        app.mount(mounted["url_prefix"], mounted["app"])
    return TestClient(app)


def test_editors_get_the_flows_schema_without_a_login(client: TestClient) -> None:
    answer = client.get("/flowmate/schema/flow.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/schema+json"
    Draft202012Validator.check_schema(answer.json())
    assert "steps" in answer.json()["properties"]


def test_nothing_else_is_open(client: TestClient) -> None:
    for path in ("/flowmate/", "/flowmate/docs", "/flowmate/openapi.json"):
        assert client.get(path).status_code == 404


def test_the_plugins_folder_and_the_entry_point_give_one_plugin_without_errors(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "flowmate_plugin.py").write_text(PLUGIN_FILE.read_text())
    code = (
        "from airflow import plugins_manager as manager\n"
        "plugins, errors = manager._get_plugins()\n"
        "print([plugin.name for plugin in plugins].count('flowmate'), errors)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"AIRFLOW_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "1 {}", done.stderr


def test_the_plugins_folder_alone_gives_the_plugin_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: ())
    names: dict[str, Any] = {}
    exec(compile(PLUGIN_FILE.read_text(), PLUGIN_FILE, "exec"), names)
    assert names["FlowMatePlugin"].name == "flowmate"
