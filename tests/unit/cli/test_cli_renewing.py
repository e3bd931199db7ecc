"""`flowmate run` asks for a Connection again when a token is over, and `connectors check` plays a host that does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_harness import Flowmate, WriteFlow

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.cli import localrun

MANIFEST = """
connector: 1
name: bank
version: 1.0.0
title: Bank
image: example/bank:1.0.0
process: {module: connector}
auth:
  oauth: {type: oauth2, grant: client_credentials, token_url: "https://login.example.com/token"}
triggers:
  entries: {title: Entries}
actions:
  book: {title: Book}
"""
CODE = """
from flowmate_connector import Connector

connector = Connector("bank")


@connector.trigger("entries")
def entries(ctx):
    old = ctx.credentials
    yield {"rejected": ctx.renew(rejected=old) != old}
    new = ctx.credentials
    ctx.log("info", f"the token is {new['access_token']}")


@connector.action("book")
def book(ctx, message):
    return {"renewed": ctx.renew()["access_token"][:4]}


if __name__ == "__main__":
    connector.main()
"""
DEAF = """
import json, sys
if sys.argv[1] == "run":
    sys.stdin.read()
"""


@pytest.fixture
def bank(home: Path) -> Path:
    folder = home / "airflow" / "connectors" / "bank"
    folder.mkdir(parents=True)
    (folder / "connector.yaml").write_text(MANIFEST)
    (folder / "connector.py").write_text(CODE)
    return folder


def test_a_local_run_asks_again_and_hides_the_new_token(
    flowmate: Flowmate, write_flow: WriteFlow, bank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Account | None] = []

    def find(conn_id: str, step: str, use: str, *, manifest: Any, refused: Account | None = None) -> Account:
        asked.append(refused)
        return Account(conn_id, password=f"token-{len(asked)}-of-the-bank")

    monkeypatch.setattr(localrun, "find_account", find)
    result = flowmate("run", write_flow("- {id: entries, use: bank/entries, connection: bank_main}"))
    assert result.code == 0
    assert json.loads(result.out)["data"] == {"rejected": True}
    assert asked == [None, Account("bank_main", password="token-1-of-the-bank")]
    assert "the token is ***" in result.err
    assert "of-the-bank" not in result.err


def test_the_suite_gives_the_credentials_again_and_finds_who_waits_for_the_end_of_file(
    flowmate: Flowmate, bank: Path, home: Path
) -> None:
    config = home / "bank.json"
    given = {"auth": "oauth", "access_token": "good-token-of-the-bank"}
    config.write_text(json.dumps({"credentials": given, "functions": {"book": {"messages": [{}, {}]}}}))
    check = ("connectors", "check", "bank", "--config", str(config), "--only", "read,write,output")
    result = flowmate(*check, "--timeout", "120")
    assert (result.code, "passed" in result.out) == (0, True)
    (bank / "connector.py").write_text(DEAF)
    result = flowmate(*check, "--timeout", "3")
    assert result.code == 1
    assert "did not end within 3 seconds" in result.out
