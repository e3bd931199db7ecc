"""A home of its own for each test, with a small connector, and the command line in this process."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest
from cli_harness import Flowmate, Result, WriteFlow

from flowmate_airflow.cli.main import main

MANIFEST = """
connector: 1
name: shop
version: 1.2.0
title: Test shop
image: example/shop:1.2.0
process: {module: connector}
auth:
  none:
    title: No credentials
    optional: {baseUrl: url}
  key:
    title: A key
    required: {key: password}
    optional: {baseUrl: url}
triggers:
  items:
    title: List items
    fields:
      limit: {type: integer, minimum: 0, default: 2, description: How many.}
      label: {type: string}
  wait: {title: Never ends}
  broken: {title: Fails}
actions:
  save:
    title: Save
    required: [prefix]
    fields:
      prefix: {type: string, minLength: 1}
"""

CODE = """
import threading
from flowmate_connector import ConfigError, Connector, MessageError

connector = Connector("shop")


@connector.trigger("items")
def items(ctx):
    if "key" in ctx.credentials:
        print("the key is", ctx.credentials["key"])
    for number in range(ctx.config.get("limit", 2)):
        yield {"number": number, "label": ctx.config.get("label"), "url": ctx.credentials.get("baseUrl")}


@connector.trigger("wait")
def wait(ctx):
    print("waiting")
    threading.Event().wait()


@connector.trigger("broken")
def broken(ctx):
    raise ConfigError(f"no entry with {ctx.credentials.get('key')}")


@connector.action("save")
def save(ctx, message):
    if message.data.get("number") == 13:
        raise MessageError("13 is not saved")
    return {"saved": f"{ctx.config['prefix']}{message.data['number']}"}


if __name__ == "__main__":
    connector.main()
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder the command runs in, and Airflow's home below it, with the connector `shop`."""
    folder = tmp_path / "airflow" / "connectors" / "shop"
    folder.mkdir(parents=True)
    (folder / "connector.yaml").write_text(MANIFEST)
    (folder / "connector.py").write_text(CODE)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    monkeypatch.setenv("AIRFLOW__FLOWMATE__RUNTIME", "process")
    # Other tests may have imported Airflow, whose configuration is that of the home it saw first.
    monkeypatch.delitem(sys.modules, "airflow.configuration", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def flowmate(home: Path, capfd: pytest.CaptureFixture[str]) -> Flowmate:
    """Runs a command in this process."""

    def run(*arguments: str) -> Result:
        try:
            code = main(arguments)
        except SystemExit as error:
            code = int(error.code or 0)
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return run


@pytest.fixture
def write_flow(home: Path) -> WriteFlow:
    """Writes a flow below the folder the command runs in; returns its name."""

    def write(steps: str, name: str = "orders.yaml", head: str = "") -> str:
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = ["flowmate: 1", textwrap.dedent(head).strip(), "steps:", textwrap.indent(textwrap.dedent(steps), "  ")]
        path.write_text("\n".join(part for part in parts if part))
        return name

    return write
